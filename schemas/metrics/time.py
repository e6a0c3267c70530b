"""The three times of a session: watched, playing, media."""

from __future__ import annotations

from schemas.metrics.metric import Example, Metric, total

SEVENTY = "0 play\n1 first_frame\n31 stall_start\n41 stall_end\n51 pause\n81 resume\n101 stop"
"""60 s of video, 10 s of stall, 30 s of pause, after a startup of 1 s."""
HALF_SPEED = "0 play\n0 first_frame playback_rate=0.5\n120 stop"
FAILED_AD = "0 play\n1 first_frame\n11 ad_start\n12 stall_start\n17 ad_error\n27 stall_start\n28 stall_end\n38 stop"

METRICS = (
    Metric(
        name="watched_time_ms",
        title="Watched time",
        level="aggregate",
        meaning="How long viewers watched content or waited within it.",
        formula="Playing time + time in stalls.",
        unit="ms",
        sql=total("watched_ms"),
        parts=("watched_ms",),
        counted="Wall clock from the first frame on, while content plays or is stalled, whatever the speed; in the "
        "background too (`background_ms` of silver.sessions says how much of it).",
        left_out="Startup, pauses, ads, waiting after a seek. A silence counts up to the session's time-out.",
        elsewhere="Mux counts startup and seeking as watch time.",
        sources=("CTA-2066", "Mux"),
        examples=(
            Example(sessions={"a": SEVENTY}, value=70_000, working="60 s of video + 10 s of stall; the pause is none."),
            Example(sessions={"a": HALF_SPEED}, value=120_000, working="60 s of media at half speed take 120 s."),
        ),
    ),
    Metric(
        name="playing_time_ms",
        title="Playing time",
        level="aggregate",
        meaning="How long content moved on screen.",
        formula="Wall clock between first frame and end in which content plays.",
        unit="ms",
        sql=total("playing_ms"),
        parts=("playing_ms",),
        counted="Content, whatever the speed.",
        left_out="All that watched time leaves out, and stalls.",
        elsewhere="Mux counts ads in.",
        sources=("CTA-2066", "Mux"),
        examples=(
            Example(
                sessions={"a": SEVENTY}, value=60_000, working="30 s before the stall, 10 s after, 20 s at the end."
            ),
        ),
    ),
    Metric(
        name="media_time_ms",
        title="Media time",
        level="aggregate",
        meaning="How much content was played, in its own time.",
        formula="Playing time × playback rate, piece by piece between the changes of rate.",
        unit="ms of media",
        sql=total("media_ms"),
        parts=("media_ms",),
        counted="What is played twice counts twice.",
        left_out="Rates outside 0..16, which are kept in silver and counted as absurd.",
        sources=("CTA-2066", "CTA-5004"),
        examples=(
            Example(sessions={"a": HALF_SPEED}, value=60_000, working="120 s × 0.5."),
            Example(
                sessions={"a": "0 play\n0 first_frame\n60 rate_change playback_rate=2\n90 stop"},
                value=120_000,
                working="60 s × 1 + 30 s × 2.",
            ),
        ),
    ),
)
