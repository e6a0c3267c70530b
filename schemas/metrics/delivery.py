"""What was delivered: bitrate, changes of rendition, dropped frames, distance to the live edge."""

from __future__ import annotations

from schemas.metrics.metric import Example, Metric, per_minute, ratio, total

_SWITCHING = (
    "0 play\n1 first_frame bitrate_kbps=2000\n21 quality_change bitrate_kbps=5000\n"
    "31 quality_change bitrate_kbps=5000\n61 stop"
)

METRICS = (
    Metric(
        name="average_bitrate_kbps",
        title="Average bitrate",
        level="aggregate",
        meaning="The bitrate that viewers saw, weighted by how much of the content they saw at it.",
        formula="Σ (bitrate × media time) / Σ media time, over media whose bitrate is known. Bits per ms are kbit/s.",
        unit="kbit/s",
        worse="lower",
        sql=ratio("bits_played", "bitrate_media_ms"),
        parts=("bits_played", "bitrate_media_ms"),
        counted="The newest bitrate that an event told, until the next one tells another.",
        left_out="Media played before a bitrate was told, or by clients that tell none: it would pull the average "
        "towards 0. Bitrates outside 0..1 Gbit/s.",
        elsewhere="Averages by download, or by wall clock, come out higher when viewers slow down or skip.",
        sources=("CTA-2066", "CTA-5004", "Conviva"),
        examples=(
            Example(
                sessions={"a": _SWITCHING},
                value=4000,
                working="20 s at 2000 and 40 s at 5000: (40 + 200) Mbit / 60 s.",
            ),
            Example(
                sessions={"a": _SWITCHING, "b": "0 play\n1 first_frame\n600 stop"},
                value=4000,
                working="b tells no bitrate and changes nothing.",
            ),
        ),
    ),
    Metric(
        name="bitrate_switch_count",
        title="Bitrate switches",
        level="aggregate",
        meaning="How often the rendition changed while playing.",
        formula="Number of `quality_change` events that tell another bitrate than the one before.",
        unit="switches",
        worse="higher",
        sql=total("bitrate_switches"),
        parts=("bitrate_switches",),
        counted="Up and down, by the player or by the viewer.",
        left_out="The first bitrate of a session; a change to the bitrate that plays already.",
        sources=("CTA-2066", "Conviva"),
        examples=(Example(sessions={"a": _SWITCHING}, value=1, working="2000 to 5000; the second change is none."),),
    ),
    Metric(
        name="bitrate_switches_per_minute",
        title="Bitrate switches a minute",
        level="aggregate",
        meaning="How restless the picture is.",
        formula="Bitrate switches / minutes of playing time.",
        unit="switches a minute",
        worse="higher",
        sql=per_minute("bitrate_switches", "playing_ms"),
        parts=("bitrate_switches", "playing_ms"),
        counted="As above.",
        left_out="As above.",
        sources=("CTA-2066",),
        examples=(Example(sessions={"a": _SWITCHING}, value=1, working="1 switch in 60 s of playing."),),
    ),
    Metric(
        name="dropped_frame_count",
        title="Dropped frames",
        level="aggregate",
        meaning="How many frames the device did not show in time.",
        formula="Increase of the player's running count `droppedFrames` within a session.",
        unit="frames",
        worse="higher",
        sql=total("dropped_frames"),
        parts=("dropped_frames",),
        counted="The rise over the highest count told before; a lower one told later changes nothing.",
        left_out="Negative counts. Sessions that tell none count as 0 here; in silver.sessions they are null.",
        sources=("CTA-5004",),
        examples=(
            Example(
                sessions={
                    "a": "0 play\n1 first_frame\n31 heartbeat dropped_frames=4\n61 heartbeat dropped_frames=30\n61 stop"
                },
                value=30,
                working="4, then 26 more.",
            ),
        ),
    ),
    Metric(
        name="dropped_frames_per_minute",
        title="Dropped frames a minute",
        level="aggregate",
        meaning="How much the device falls behind.",
        formula="Dropped frames / minutes of playing time.",
        unit="frames a minute",
        worse="higher",
        sql=per_minute("dropped_frames", "playing_ms"),
        parts=("dropped_frames", "playing_ms"),
        counted="As above.",
        left_out="As above.",
        sources=("CTA-5004",),
        examples=(
            Example(
                sessions={
                    "a": "0 play\n1 first_frame\n31 heartbeat dropped_frames=4\n61 heartbeat dropped_frames=30\n61 stop"
                },
                value=30,
                working="30 frames in 60 s of playing.",
            ),
        ),
    ),
    Metric(
        name="live_latency_average_ms",
        title="Live latency",
        level="aggregate",
        meaning="How far behind the live edge viewers are.",
        formula="Σ reported distances to the live edge / number of reports.",
        unit="ms",
        worse="higher",
        sql=ratio("live_latency_sum_ms", "live_latency_samples"),
        parts=("live_latency_sum_ms", "live_latency_samples"),
        counted="Every event with `liveLatencyMs`; with heartbeats at a fixed pace that weighs by watched time.",
        left_out="Negative distances; sessions that tell none.",
        elsewhere="CMCD's `ltc` is the same distance, and is taken over from players' reports.",
        sources=("CTA-5004",),
        examples=(
            Example(
                sessions={
                    "a": "0 play\n1 first_frame\n10 heartbeat live_latency_ms=4000\n20 heartbeat live_latency_ms=6000",
                    "b": "0 play\n1 first_frame\n10 heartbeat live_latency_ms=8000\n11 stop",
                    "c": "0 play\n1 first_frame\n10 heartbeat\n11 stop",
                },
                value=6000,
                working="(4 + 6 + 8) s / 3; c tells none.",
            ),
        ),
    ),
)
