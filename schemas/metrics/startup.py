"""How playback begins: the time to the first frame, and what becomes of attempts that never get there."""

from __future__ import annotations

from schemas.metrics.metric import Example, Metric, ratio

_TWO_STARTUPS = {"a": "0 play\n2 first_frame\n9 stop", "b": "0 play\n1 ad_start\n16 ad_end\n19 first_frame\n30 stop"}
_ATTEMPTS = {
    "a": "0 play\n1 first_frame\n9 stop",
    "b": "0 play\n3 error fatal=true",
    "c": "0 play\n6 stop",
    "d": "0 play\n1 error fatal=true error_category=business",
    "e": "0 play\n1 first_frame\n40 error fatal=true",
}

METRICS = (
    Metric(
        name="startups",
        title="Measured startups",
        level="aggregate",
        meaning="How many startups the startup times are made of.",
        formula="Number of sessions with both a `play` and a `first_frame`: the sum of the startup histogram.",
        unit="startups",
        sql="CAST(sum(coalesce(list_sum(startup_histogram), 0)) AS BIGINT)",
        parts=("startup_histogram",),
        counted="The first startup of a session.",
        left_out="Joined sessions, and clients that tell no first frame: unknown is not zero.",
        sources=("CTA-2066",),
        examples=(
            Example(sessions=_TWO_STARTUPS | {"c": "0 play\n5 stop"}, value=2, working="a and b; c never started."),
        ),
    ),
    Metric(
        name="startup_average_ms",
        title="Startup time, average",
        level="aggregate",
        meaning="How long viewers wait from asking to seeing.",
        formula="Σ startup time / startups. The startup time of a session is first frame − play − pre-roll ads.",
        unit="ms",
        worse="higher",
        sql="CAST(sum(startup_ms) AS DOUBLE) / nullif(startups(startup_histogram), 0)",
        parts=("startup_ms", "startup_histogram"),
        counted="All waiting for content: before, between and after the ads of a pre-roll.",
        left_out="The ads themselves, stalls in them included; attempts that never started, which have no startup "
        "time and show up as start failures and exits before start.",
        elsewhere="A mean hides the tail: ask for a quantile as well.",
        sources=("CTA-2066", "CTA-5004", "Mux"),
        examples=(
            Example(
                sessions=_TWO_STARTUPS,
                value=3000,
                working="a: 2 s. b: 19 s − 15 s of ads = 4 s. (2 s + 4 s) / 2.",
            ),
        ),
    ),
    Metric(
        name="startup_quantile_ms",
        title="Startup time, quantile",
        level="aggregate",
        meaning="The startup time that a share q of the startups stays under; 0.95 gives the p95.",
        formula="The bucket of the histogram that holds rank q × n is found by running sums; within it counts are "
        "taken to lie evenly on the logarithmic axis. Bucket i holds [2^(i/4), 2^((i+1)/4)) ms, so the answer is "
        "within 19 % of the true quantile.",
        unit="ms",
        worse="higher",
        sql="list_transform([startup_histogram_sum(startup_histogram)], "
        "lambda h: startup_histogram_quantile_ms(h, q))[1]",
        parts=("startup_histogram",),
        arguments=("q",),
        counted="As in the average.",
        left_out="As in the average.",
        elsewhere="Quantiles of quantiles are nobody's quantile, so histograms are stored and added up instead.",
        sources=("CTA-2066",),
        examples=(
            Example(
                sessions={"a": "0 play\n1.1 first_frame\n9 stop"},
                call="0.5",
                value=2 ** (40.5 / 4),
                working="1100 ms lie in bucket 40, [1024, 1218) ms: its middle on the logarithmic axis, 2^(40.5 / 4).",
            ),
        ),
    ),
    Metric(
        name="start_failure_rate",
        title="Start failures",
        level="aggregate",
        meaning="How often playback breaks before the first frame.",
        formula="Attempts that a fatal technical error ended before the first frame / attempts.",
        unit="share, 0..1",
        worse="higher",
        sql=ratio("start_failures", "plays"),
        parts=("start_failures", "plays"),
        counted="`error` with `fatal` before content played, unless its category is `business`; once a session. By "
        "minutes also when the viewer tried again in the session and got to play; of a whole session its end counts.",
        left_out="Business refusals, errors that are not fatal, failed ads (`ad_error`), exits without an error.",
        elsewhere="Conviva: video start failure, technical.",
        sources=("CTA-2066", "Conviva", "Mux"),
        examples=(Example(sessions=_ATTEMPTS, value=0.2, working="b, of five attempts."),),
    ),
    Metric(
        name="exit_before_start_rate",
        title="Exits before video start",
        level="aggregate",
        meaning="How often viewers give up before the first frame.",
        formula="Attempts that ended by `stop` before the first frame / attempts.",
        unit="share, 0..1",
        worse="higher",
        sql=ratio("exits_before_start", "plays"),
        parts=("exits_before_start", "plays"),
        counted="However short the wait was; `starting_ms` of silver.sessions says how long. In tables of whole "
        "sessions also those that fell silent until the time-out, which no minute can know.",
        left_out="Attempts that an error ended.",
        elsewhere="Mux leaves out exits within a second of waiting; is_good_stream has a setting for that.",
        sources=("CTA-2066", "Conviva", "Mux"),
        examples=(Example(sessions=_ATTEMPTS, value=0.2, working="c, of five attempts."),),
    ),
    Metric(
        name="business_failure_rate",
        title="Business failures",
        level="aggregate",
        meaning="How often viewers are refused on purpose: no subscription, wrong country, too many devices.",
        formula="Attempts and plays that a fatal error of category `business` ended / attempts.",
        unit="share, 0..1",
        worse="higher",
        sql=ratio("business_failures", "plays"),
        parts=("business_failures", "plays"),
        counted="Before and after the first frame.",
        left_out="Technical errors; an error without a category is technical.",
        elsewhere="Conviva tells start and playback failures of this kind apart.",
        sources=("Conviva",),
        examples=(Example(sessions=_ATTEMPTS, value=0.2, working="d, of five attempts."),),
    ),
    Metric(
        name="playback_failure_rate",
        title="Playback failures",
        level="aggregate",
        meaning="How often playback breaks after it began.",
        formula="Plays that a fatal technical error ended after the first frame / attempts. With start failures and "
        "exits it adds up to all attempts that went wrong. Pass `starts` in place of `plays` to divide by plays.",
        unit="share, 0..1",
        worse="higher",
        sql=ratio("playback_failures", "plays"),
        parts=("playback_failures", "plays"),
        counted="`error` with `fatal` after content began, unless its category is `business`.",
        left_out="Business refusals, errors that are not fatal, failed ads: content goes on after `ad_error`.",
        elsewhere="Conviva divides by ended plays.",
        sources=("CTA-2066", "Conviva", "Mux"),
        examples=(
            Example(sessions=_ATTEMPTS, value=0.2, working="e, of five attempts."),
            Example(
                sessions={"a": "0 play\n1 first_frame\n11 ad_start\n12 ad_error error_code=402\n30 stop"},
                value=0,
                working="A failed ad is no failure of the content.",
            ),
        ),
    ),
)
