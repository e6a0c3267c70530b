"""Sessions, attempts and plays: what is counted before anything can be divided."""

from __future__ import annotations

from schemas.metrics.metric import Example, Metric, ratio, total

METRICS = (
    Metric(
        name="session_count",
        title="Sessions",
        level="aggregate",
        meaning="How many viewing sessions there were.",
        formula="Number of sessions. A session is all that happened under one session id. Where clients send none, it "
        "is the events of one user, device and title, cut where 30 minutes (setting SESSION_TIMEOUT_S) pass without "
        "any. It ends by `stop`, by a fatal error, or when the time-out has passed since its last event was received.",
        unit="sessions",
        sql=total("sessions"),
        parts=("sessions",),
        counted="Every session, with or without playback; a session that is reopened by a later event stays one.",
        left_out="Repeated deliveries of an event (same event id): they change nothing but a tally.",
        elsewhere="What others call a view is an attempt here; a session that only sends heartbeats is none of theirs.",
        sources=("CTA-2066", "Mux"),
        examples=(
            Example(
                sessions={"a": "0 play\n1 first_frame\n9 stop", "b": "0 play\n3 stop", "c": "0 heartbeat\n10 stop"},
                value=3,
                working="a, b and c.",
            ),
        ),
    ),
    Metric(
        name="attempt_count",
        title="Attempts",
        level="aggregate",
        meaning="How often viewers asked for playback.",
        formula="Number of sessions with a `play` event or, where that was lost, with what can only follow one: "
        "content that plays, a fatal error. The part is called `plays`, after the event.",
        unit="attempts",
        sql=total("plays"),
        parts=("plays",),
        counted="The first `play` of a session, whatever became of it, autoplay too.",
        left_out="Further `play` events of the session: they resume it, or try again after an error.",
        elsewhere="Mux: view. Conviva: attempt.",
        sources=("CTA-2066", "Mux", "Conviva"),
        examples=(
            Example(
                sessions={
                    "a": "0 play\n1 first_frame\n5 pause\n9 play\n12 stop",
                    "b": "0 play\n3 stop",
                    "c": "0 heartbeat\n10 stop",
                },
                value=3,
                working="a and b asked; c plays, so it must have. That a asked twice is one attempt.",
            ),
        ),
    ),
    Metric(
        name="attempts_per_second",
        title="Attempts a second",
        level="aggregate",
        meaning="How fast viewers ask for playback.",
        formula="Attempts / length of the stretch in seconds. Of one row of live.quality_second: seconds = 1; of one "
        "of quality_minute: seconds = 60.",
        unit="attempts/s",
        sql="sum(plays) / CAST(seconds AS DOUBLE)",
        parts=("plays",),
        arguments=("seconds",),
        counted="As attempts.",
        left_out="As attempts.",
        elsewhere="Dashboards call them plays a second.",
        examples=(
            Example(
                sessions={"a": "0 play\n3 stop", "b": "20 play\n21 first_frame\n50 stop", "c": "40 play\n41 stop"},
                call="60",
                value=0.05,
                working="3 attempts in a minute.",
            ),
        ),
    ),
    Metric(
        name="play_count",
        title="Plays",
        level="aggregate",
        meaning="How many sessions got to see content.",
        formula="Number of sessions in which content began to play: told by `first_frame` or, where the client does "
        "not tell it, by the first sign of playback (`heartbeat`, `resume`, a stall; without session ids `play`).",
        unit="plays",
        sql=total("starts"),
        parts=("starts",),
        counted="Each session once, in the minute in which it began to play.",
        left_out="Attempts that failed or were given up before; sessions that saw nothing but a pre-roll ad.",
        elsewhere="Conviva: play, by the first frame.",
        sources=("CTA-2066", "Conviva"),
        examples=(
            Example(
                sessions={
                    "a": "0 play\n1 first_frame\n9 stop",
                    "b": "0 play\n3 stop",
                    "c": "0 heartbeat\n10 stop",
                    "d": "0 play\n1 ad_start\n16 ad_end\n16 stop",
                },
                value=2,
                working="a by its first frame, c by its heartbeat; b saw nothing, d an ad only.",
            ),
        ),
    ),
    Metric(
        name="dropped_view_rate",
        title="Share of dropped views",
        level="aggregate",
        meaning="How often a play just fell silent: a crash, a lost network, a tab that was closed without a word.",
        formula="Plays that ended by time-out / plays that ended.",
        unit="share, 0..1",
        worse="higher",
        sql=ratio("dropped_views", "ended_plays"),
        parts=("dropped_views", "ended_plays"),
        counted="Plays without `stop` and without a fatal error, once the time-out has passed.",
        left_out="Sessions that are still open; attempts that never played (they are exits before start).",
        elsewhere="Mux waits 60 s, not the session's time-out, and takes a dropped view back when it goes on. Here a "
        "session that goes on is restated as well.",
        sources=("Mux",),
        examples=(
            Example(
                sessions={
                    "a": "0 play\n1 first_frame\n60 stop",
                    "b": "0 play\n1 first_frame\n31 heartbeat",
                    "c": "0 play\n1 first_frame\n9 error fatal=true",
                    "d": "0 play",
                },
                value=1 / 3,
                working="Of the plays a, b and c, b ended without a word: 1 / 3. d never played.",
            ),
        ),
    ),
)
