"""Who watches: concurrent viewers, average viewers, unique viewers."""

from __future__ import annotations

from schemas.metrics.metric import Example, Function, Metric, total

FUNCTIONS = (
    Function(
        name="viewer_registers_merge",
        parameters=("viewer_registers",),
        comment="HyperLogLog registers of a group, merged by their maxima. Register r holds the highest rank (leading "
        "zeros + 1) of the hashes with pmod(hash, 1024) = r.",
        sql="list_reduce(list(viewer_registers), "
        "lambda a, b: list_transform(list_zip(a, b), lambda pair: greatest(pair[1], pair[2])))",
    ),
    Function(
        name="viewer_registers_count",
        parameters=("registers",),
        comment="Distinct count of one merged register array. Unit: viewers. Standard error 1.04 / sqrt(1024) = 3.3 %. "
        "alpha * m^2 / sum(2^-register), alpha = 0.7213 / (1 + 1.079 / m); while registers are still empty and the "
        "estimate is below 2.5 m, linear counting m * ln(m / empty) instead. Source: Flajolet 2007.",
        sql="""list_transform(
    [{
      'm': len(registers)::DOUBLE,
      'empty': len(list_filter(registers, lambda r: r = 0)),
      'sum': list_sum(list_transform(registers, lambda r: pow(2.0, -r)))
    }],
    lambda s: CASE
      WHEN s.empty > 0 AND 0.7213 / (1 + 1.079 / s.m) * s.m * s.m / s.sum <= 2.5 * s.m THEN s.m * ln(s.m / s.empty)
      ELSE 0.7213 / (1 + 1.079 / s.m) * s.m * s.m / s.sum
    END
  )[1]""",
    ),
)

_THREE = {
    "a": "0 play user_id=ann\n1 first_frame\n9 stop",
    "b": "0 play user_id=bob\n1 first_frame\n9 stop",
    "c": "60 play user_id=ann\n61 first_frame\n99 stop",
    "d": "0 play\n1 first_frame\n9 stop",
}

METRICS = (
    Metric(
        name="concurrent_viewers",
        title="Concurrent viewers",
        level="aggregate",
        meaning="How many sessions are watching now.",
        formula="Σ over the stream's partitions (live.now) of the sessions that play or are stalled, and of which an "
        "event was received within the last minute.",
        unit="viewers (sessions)",
        sql=total("concurrent"),
        parts=("concurrent",),
        counted="Content that plays, and stalls in it; in the background too.",
        left_out="Who waits for the start or after a seek, is paused, in an ad, or has ended; who has gone silent.",
        elsewhere="Mux counts who waits for the start and who has just failed. Conviva counts sessions that "
        "have seen a frame and have not ended.",
        sources=("Mux", "Conviva"),
        examples=(
            Example(
                sessions={
                    "plays": "0 play\n1 first_frame\n60 heartbeat",
                    "stalls": "0 play\n1 first_frame\n58 stall_start",
                    "pauses": "0 play\n1 first_frame\n50 pause",
                    "waits": "55 play",
                    "in_ad": "0 play\n1 first_frame\n50 ad_start",
                    "ended": "0 play\n1 first_frame\n30 stop",
                },
                value=2,
                working="At 60 s one plays and one is stalled.",
            ),
        ),
    ),
    Metric(
        name="average_viewers",
        title="Average viewers",
        level="aggregate",
        meaning="How many watched at one time, on average over a stretch of minutes.",
        formula="Watched time / length of the stretch. Of one row of quality_minute: minutes = 1.",
        unit="viewers (sessions)",
        sql="sum(watched_ms) / (CAST(60000 AS DOUBLE) * minutes)",
        parts=("watched_ms",),
        arguments=("minutes",),
        counted="As watched time. It adds up over any rows, which a concurrent count taken now and then does not.",
        left_out="As watched time.",
        elsewhere="Broadcasters' average audience.",
        examples=(
            Example(
                sessions={"a": "0 play\n0 first_frame\n60 stop", "b": "0 play\n0 first_frame\n30 stop"},
                call="1",
                value=1.5,
                working="90 s watched within one minute.",
            ),
        ),
    ),
    Metric(
        name="unique_viewers",
        title="Unique viewers",
        level="aggregate",
        meaning="How many different viewers there were, over any rows: days, countries, devices.",
        formula="HyperLogLog over 1024 registers of the viewers' hashes, which merge by their maxima.",
        unit="viewers, estimate with a standard error of 3.3 %",
        sql="CAST(round(viewer_registers_count(viewer_registers_merge(viewer_registers))) AS BIGINT)",
        parts=("viewer_registers",),
        counted="A viewer is a user id; without one, the session. A viewer of two days or devices counts once.",
        left_out="Profiles: a household counts as its account.",
        sources=("Flajolet 2007", "Mux"),
        examples=(Example(sessions=_THREE, value=3, working="ann, bob, and the nameless one of d."),),
    ),
    Metric(
        name="unique_viewers_exact",
        title="Unique viewers, exact",
        level="aggregate",
        meaning="The same, counted one by one over the sessions themselves.",
        formula="Number of distinct user ids; a session without one counts as a viewer.",
        unit="viewers",
        sql="count(DISTINCT coalesce(user_id, session_id))",
        parts=("user_id", "session_id"),
        counted="As above; of the sessions that are asked.",
        left_out="As above. It reaches as far back as silver.sessions does.",
        sources=("Mux",),
        examples=(Example(sessions=_THREE, value=3, working="ann, bob, and the nameless one of d."),),
    ),
)
