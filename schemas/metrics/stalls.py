"""Stalls: how often, how long, and both shares that products call rebuffering."""

from __future__ import annotations

from schemas.metrics.metric import Example, Metric, per_minute, ratio, total
from schemas.metrics.time import FAILED_AD, SEVENTY

_SEEK = "0 play\n1 first_frame\n10 seek\n10.2 stall_start\n12 stall_end\n20 stop"

METRICS = (
    Metric(
        name="stall_count",
        title="Number of stalls",
        level="aggregate",
        meaning="How often playback was interrupted.",
        formula="Number of `stall_start` events while content plays.",
        unit="stalls",
        worse="higher",
        sql=total("stalls"),
        parts=("stalls",),
        counted="Interruptions by an empty buffer after the first frame.",
        left_out="Startup, waiting after a seek, stalls of ads, a second `stall_start` within a stall. A pause ends a "
        "stall; waiting after it is a new one.",
        elsewhere="Also called rebuffering events.",
        sources=("CTA-2066", "CTA-5004", "Mux"),
        examples=(
            Example(sessions={"a": SEVENTY}, value=1, working="One."),
            Example(sessions={"a": _SEEK}, value=0, working="The waiting belongs to the seek."),
            Example(
                sessions={"a": FAILED_AD},
                value=1,
                working="The stall in the ad that failed is the ad's; the one after it is the content's.",
            ),
        ),
    ),
    Metric(
        name="stall_time_ms",
        title="Stalled time",
        level="aggregate",
        meaning="How long playback was interrupted.",
        formula="Wall clock between `stall_start` and what ends the stall.",
        unit="ms",
        worse="higher",
        sql=total("stall_ms"),
        parts=("stall_ms",),
        counted="The time of the stalls above.",
        left_out="The same. Time paused within a stall is a pause.",
        sources=("CTA-2066", "Mux"),
        examples=(
            Example(sessions={"a": SEVENTY}, value=10_000, working="From 31 s to 41 s."),
            Example(sessions={"a": FAILED_AD}, value=1000, working="The 5 s within the ad are ad_stall_ms."),
        ),
    ),
    Metric(
        name="stalled_share",
        title="Stalled share, of watched time",
        level="aggregate",
        meaning="The share of watched time that was spent in stalls.",
        formula="Stalled time / watched time.",
        unit="share, 0..1",
        worse="higher",
        sql=ratio("stall_ms", "watched_ms"),
        parts=("stall_ms", "watched_ms"),
        counted="Of all sessions together: sums are divided, so long sessions weigh more.",
        left_out="As for both times.",
        elsewhere="The rebuffering ratio of products whose denominator holds the stalls. Mux's holds startup and seeks "
        "as well.",
        sources=("CTA-2066", "Conviva", "Mux"),
        examples=(
            Example(sessions={"a": SEVENTY}, value=1 / 7, working="10 s / 70 s."),
            Example(
                sessions={"a": SEVENTY, "b": "0 play\n0 first_frame\n30 stop"},
                value=0.1,
                working="(10 s + 0 s) / (70 s + 30 s). The mean of 1/7 and 0 would be 0.071.",
            ),
            Example(sessions={"a": "0 play\n5 stop"}, value=None, working="Nothing was watched: unknown, not 0."),
        ),
    ),
    Metric(
        name="stalled_per_playing",
        title="Stalled share, of playing time",
        level="aggregate",
        meaning="Stalled time for each unit of playing time.",
        formula="Stalled time / playing time. It is s / (1 − s) of the stalled share s.",
        unit="ratio, may exceed 1",
        worse="higher",
        sql=ratio("stall_ms", "playing_ms"),
        parts=("stall_ms", "playing_ms"),
        counted="As above.",
        left_out="As above.",
        elsewhere="The rebuffering ratio of products whose denominator is playing time. Compare numbers only when the "
        "denominators are the same: 0.10 of one is 0.111 of the other.",
        sources=("CTA-2066",),
        examples=(Example(sessions={"a": SEVENTY}, value=1 / 6, working="10 s / 60 s."),),
    ),
    Metric(
        name="stalls_per_minute",
        title="Rebuffer frequency",
        level="aggregate",
        meaning="How often playback is interrupted in a minute of watching.",
        formula="Stalls / minutes of watched time.",
        unit="stalls a minute",
        worse="higher",
        sql=per_minute("stalls", "watched_ms"),
        parts=("stalls", "watched_ms"),
        counted="As above.",
        left_out="As above.",
        elsewhere="Stalls a session depend on how long sessions are; this does not.",
        sources=("CTA-2066", "Mux"),
        examples=(Example(sessions={"a": SEVENTY}, value=6 / 7, working="1 stall in 70 s: 60 / 70 a minute."),),
    ),
    Metric(
        name="stall_average_ms",
        title="Length of a stall, average",
        level="aggregate",
        meaning="How long an interruption lasts.",
        formula="Stalled time / stalls.",
        unit="ms",
        worse="higher",
        sql=ratio("stall_ms", "stalls"),
        parts=("stall_ms", "stalls"),
        counted="A stall that runs over a minute's end counts where it began, its time in both minutes: ask this over "
        "many minutes, or of whole sessions.",
        left_out="As above.",
        sources=("CTA-2066", "Mux"),
        examples=(
            Example(
                sessions={"a": SEVENTY, "b": "0 play\n0 first_frame\n10 stall_start\n14 stall_end\n20 stop"},
                value=7000,
                working="(10 s + 4 s) / 2.",
            ),
        ),
    ),
)
