"""Scores of a session from 0 to 100, the experience score made of them, and the share of good streams.

Every curve and weight is here and in `docs/metrics.md`; each is an option of its macro. A score is a whole number, so
that sums of scores add up exactly: tables keep `<score>_sum` and `<score>_count`.
"""

from __future__ import annotations

from schemas.metrics.metric import Example, Metric, ratio


def _points(sql: str) -> str:
    """The nearest whole number. Engines differ in the last digits of a power or a logarithm: without those, half a
    point is half a point in each of them."""
    return f"CAST(round(round({sql}, 6)) AS BIGINT)"


_WAIT = _points("100 * power(2, -greatest({ms} - free_ms, 0) / half_ms)")
_WAIT_OPTIONS = {"free_ms": "500", "half_ms": "4000"}
_GOOD = "0 play\n0.5 first_frame bitrate_kbps=6000\n600.5 stop"
_MIXED = (
    "0 play\n4.5 first_frame bitrate_kbps=1095\n34.5 stall_start\n37.5 stall_end\n67.5 stall_start\n70.5 stall_end\n"
    "124.5 stop"
)
_UNTOLD = "0 play\n4.5 first_frame\n124.5 stop"
_FAILED = "0 play\n0.5 first_frame bitrate_kbps=6000\n300 error fatal=true"

METRICS = (
    Metric(
        name="startup_score",
        title="Startup score",
        level="session",
        meaning="How good a startup was.",
        formula="100 up to free_ms; beyond that it halves with every half_ms more. Null without a startup time.",
        unit="points, 0..100",
        worse="lower",
        sql=f"CASE WHEN startup_ms IS NOT NULL THEN {_WAIT.format(ms='startup_ms')} END",
        parts=("startup_ms",),
        options=_WAIT_OPTIONS,
        counted="The startup time, without ads.",
        left_out="Attempts that never started: the success score has them.",
        elsewhere="Every vendor has a curve of its own, few publish it. Viewers begin to leave after about 2 s, where "
        "this one says 77.",
        sources=("Krishnan 2012", "Mux"),
        examples=(
            Example(sessions={"a": _MIXED}, value=50, working="4500 ms are one half_ms beyond 500: 100 / 2."),
            Example(sessions={"a": _MIXED}, call="half_ms := 2000", value=25, working="Two of them: 100 / 4."),
            Example(sessions={"a": _GOOD}, value=100, working="500 ms are free."),
        ),
    ),
    Metric(
        name="smoothness_score",
        title="Smoothness score",
        level="session",
        meaning="How little a session was interrupted.",
        formula="100 × 2^−(stalled share / share_half + stalls a minute / per_minute_half), both of watched time; less "
        "than a minute watched counts as one, so that one stall does not ruin a short session. Null if nothing was "
        "watched.",
        unit="points, 0..100",
        worse="lower",
        sql="CASE WHEN watched_ms > 0 THEN "
        + _points(
            "100 * power(2, -(stall_ms / watched_ms / share_half"
            " + stall_count * 60000 / greatest(watched_ms, 60000) / per_minute_half))"
        )
        + " END",
        parts=("stall_count", "stall_ms", "watched_ms"),
        options={"share_half": "0.1", "per_minute_half": "2"},
        counted="How long and how often, since many short stalls are worse than one of the same length.",
        left_out="Startup, seeks, ads, changes of bitrate.",
        elsewhere="Mux averages a curve of the share and one of the count, whatever the session's length.",
        sources=("Mux",),
        examples=(
            Example(
                sessions={"a": _MIXED},
                value=50,
                working="6 s of 120 s watched: 0.05 / 0.1 = 0.5. 2 stalls in 2 minutes: 1 / 2 = 0.5. 100 / 2^1.",
            ),
            Example(sessions={"a": _GOOD}, value=100, working="No stall."),
        ),
    ),
    Metric(
        name="quality_score",
        title="Quality score",
        level="session",
        meaning="How good the picture was, as far as the bitrate tells.",
        formula="100 × ln(average bitrate / floor_kbps) / ln(full_kbps / floor_kbps), within 0..100: each doubling is "
        "worth the same. Null if no bitrate was told.",
        unit="points, 0..100",
        worse="lower",
        sql="CASE WHEN bitrate_media_ms > 0 THEN "
        + _points(
            "100 * least(1, ln(greatest(bits_played / bitrate_media_ms, floor_kbps) / floor_kbps)"
            " / ln(full_kbps / floor_kbps))"
        )
        + " END",
        parts=("bits_played", "bitrate_media_ms"),
        options={"floor_kbps": "200", "full_kbps": "6000"},
        counted="Media time at each bitrate.",
        left_out="Codec, screen size, content: set full_kbps by device where that matters (a phone's is lower). "
        "Switches: ask for them beside it.",
        elsewhere="Mux compares the picture's size with the player's.",
        sources=("Spiteri 2016", "Mux"),
        examples=(
            Example(
                sessions={"a": _MIXED},
                value=50,
                working="1095 is the geometric mean of 200 and 6000, so half way: ln(5.475) / ln(30) = 1.700 / 3.401.",
            ),
            Example(sessions={"a": _UNTOLD}, value=None, working="No bitrate told."),
        ),
    ),
    Metric(
        name="success_score",
        title="Success score",
        level="session",
        meaning="Whether playback worked at all.",
        formula="0 for a start failure; failed_points for a playback failure; for an exit before start, the startup "
        "score of the time that was waited, null below min_wait_ms; 100 for any other play; else null.",
        unit="points, 0..100",
        worse="lower",
        sql="CASE WHEN is_start_failure THEN 0 WHEN is_playback_failure THEN failed_points WHEN is_exit_before_start "
        f"THEN CASE WHEN starting_ms >= min_wait_ms THEN {_WAIT.format(ms='starting_ms')} END "
        "WHEN is_started THEN 100 END",
        parts=("is_start_failure", "is_playback_failure", "is_exit_before_start", "starting_ms", "is_started"),
        options={"failed_points": "20", "min_wait_ms": "1000", **_WAIT_OPTIONS},
        counted="An exit is held against the service as far as the wait was long.",
        left_out="Refusals that are meant; exits so early that they say nothing.",
        elsewhere="Mux gives every exit 50 and every failure 0.",
        sources=("Mux",),
        examples=(
            Example(sessions={"a": _GOOD}, value=100, working="It played."),
            Example(sessions={"a": _FAILED}, value=20, working="It broke while playing."),
            Example(sessions={"a": "0 play\n2 error fatal=true"}, value=0, working="It broke before."),
            Example(sessions={"a": "0 play\n4.5 stop"}, value=50, working="Given up after 4.5 s: 100 / 2."),
            Example(sessions={"a": "0 play\n0.6 stop"}, value=None, working="Given up within a second."),
        ),
    ),
    Metric(
        name="experience_score",
        title="Experience score",
        level="session",
        meaning="One number for how good a session was.",
        formula="Success score × the weighted geometric mean of startup, smoothness and quality score (each / 100, at "
        "least 0.01): exp(Σ weight × ln(score / 100) / Σ weight), over the scores that are known. Null without a "
        "success score.",
        unit="points, 0..100",
        worse="lower",
        sql="CASE WHEN success_score IS NOT NULL THEN "
        + _points(
            "success_score * exp(coalesce(("
            "CASE WHEN startup_score IS NULL THEN 0 ELSE startup_weight * ln(greatest(startup_score, 1) / 100) END + "
            "CASE WHEN smoothness_score IS NULL THEN 0 ELSE smoothness_weight * ln(greatest(smoothness_score, 1) / 100)"
            " END + "
            "CASE WHEN quality_score IS NULL THEN 0 ELSE quality_weight * ln(greatest(quality_score, 1) / 100) END)"
            " / nullif(CASE WHEN startup_score IS NULL THEN 0 ELSE startup_weight END"
            " + CASE WHEN smoothness_score IS NULL THEN 0 ELSE smoothness_weight END"
            " + CASE WHEN quality_score IS NULL THEN 0 ELSE quality_weight END, 0), 0))"
        )
        + " END",
        parts=("success_score", "startup_score", "smoothness_score", "quality_score"),
        options={"startup_weight": "1", "smoothness_weight": "2", "quality_weight": "1"},
        counted="A geometric mean: a session that stalls all the time is not saved by a sharp picture.",
        left_out="What is unknown is left out with its weight, neither good nor bad.",
        elsewhere="Mux's overall score is made of four like these.",
        sources=("Mux",),
        examples=(
            Example(sessions={"a": _MIXED}, value=50, working="100 × the mean of 0.5, 0.5 and 0.5."),
            Example(
                sessions={"a": _UNTOLD},
                value=79,
                working="Startup 50, smoothness 100, no quality: 100 × 0.5^(1/3) × 1^(2/3) = 79.4.",
            ),
            Example(sessions={"a": _FAILED}, value=20, working="20 × the mean of 1, 1 and 1."),
            Example(sessions={"a": "0 play\n4.5 stop"}, value=50, working="Nothing but the success score is known."),
        ),
    ),
    Metric(
        name="score_average",
        title="Score, average",
        level="aggregate",
        meaning="The mean of a score over the sessions that have it.",
        formula="Σ score / number of scores. Pass `<score>_sum` and `<score>_count` of any of the five.",
        unit="points, 0..100",
        worse="lower",
        sql=ratio("experience_score_sum", "experience_score_count"),
        parts=("experience_score_sum", "experience_score_count"),
        counted="Each session alike, however long.",
        left_out="Sessions without the score.",
        examples=(
            Example(
                sessions={"a": _GOOD, "b": _MIXED, "c": _FAILED, "d": "0 play\n0.6 stop"},
                value=170 / 3,
                working="(100 + 50 + 20) / 3; d has none.",
            ),
        ),
    ),
    Metric(
        name="is_good_stream",
        title="Good stream",
        level="session",
        meaning="Whether a session met every threshold of the service.",
        formula="False for a start or playback failure, and for an exit before start after at least min_wait_ms. For "
        "other plays: startup ≤ max_startup_ms and stalled share ≤ max_stalled_share and average bitrate ≥ min_kbps, "
        "each as far as it is known. Null, not judged: refusals that are meant, quick exits, sessions still open.",
        unit="true or false",
        sql="CASE WHEN is_business_failure OR end_reason = 'open' THEN NULL "
        "WHEN is_start_failure OR is_playback_failure THEN false "
        "WHEN is_exit_before_start THEN CASE WHEN starting_ms >= min_wait_ms THEN false END "
        "WHEN is_started THEN coalesce(startup_ms, 0) <= max_startup_ms "
        "AND stall_ms <= max_stalled_share * watched_ms "
        "AND bits_played >= min_kbps * coalesce(bitrate_media_ms, 0) END",
        parts=(
            "is_business_failure",
            "end_reason",
            "is_start_failure",
            "is_playback_failure",
            "is_exit_before_start",
            "starting_ms",
            "is_started",
            "startup_ms",
            "stall_ms",
            "watched_ms",
            "bits_played",
            "bitrate_media_ms",
        ),
        options={
            "max_startup_ms": "5000",
            "max_stalled_share": "0.01",
            "min_kbps": "1000",
            "min_wait_ms": "10000",
        },
        counted="The thresholds are options: pass yours, by device if need be.",
        left_out="See null.",
        elsewhere="Conviva's Streaming Performance Index is of this kind; its thresholds are set by each customer.",
        sources=("Conviva",),
        examples=(
            Example(sessions={"a": _GOOD}, value=True, working="0.5 s, no stall, 6000 kbit/s."),
            Example(sessions={"a": _MIXED}, value=False, working="5 % stalled."),
            Example(
                sessions={"a": _MIXED},
                call="max_stalled_share := 0.05",
                value=True,
                working="5 % allowed, 4.5 s, 1095.",
            ),
            Example(sessions={"a": "0 play\n12 stop"}, value=False, working="Given up after 12 s."),
            Example(sessions={"a": "0 play\n4 stop"}, value=None, working="Given up after 4 s: not judged."),
        ),
    ),
    Metric(
        name="good_stream_share",
        title="Share of good streams",
        level="aggregate",
        meaning="The share of sessions that met every threshold.",
        formula="Good streams / judged streams.",
        unit="share, 0..1",
        worse="lower",
        sql=ratio("good_streams", "judged_streams"),
        parts=("good_streams", "judged_streams"),
        counted="is_good_stream with its defaults. With others: avg(CAST(is_good_stream(...) AS INT)) over "
        "silver.sessions.",
        left_out="Sessions that are not judged.",
        elsewhere="Conviva: Streaming Performance Index.",
        sources=("Conviva",),
        examples=(
            Example(
                sessions={"a": _GOOD, "b": _MIXED, "c": "0 play\n12 stop", "d": "0 play\n4 stop"},
                value=1 / 3,
                working="a, of a, b and c; d is not judged.",
            ),
        ),
    ),
)
