"""The additive parts of every quality metric, and the minute rows that carry them.

Only parts are stored: sums and counts that may be added over minutes, dimensions and Kafka partitions. Every ratio and
quantile is made of them, by the definitions in `schemas/metrics`.
"""

from __future__ import annotations

import msgspec

MINUTE_MS = 60_000
HEARD_WITHIN_MS = 60_000
"""Concurrent sessions are those in playing or stalled state that were heard from within this time."""

PARTS: dict[str, str] = {
    "events": "events that happened in the minute",
    "plays": "attempts: sessions in which the viewer asked for playback, or must have",
    "starts": "plays: sessions in which content began to play, told by a first frame or, failing that, by a sign of it",
    "first_frames": "attempts that reached the first frame",
    "start_failures": "attempts ended by a fatal technical error before the first frame",
    "playback_failures": "plays ended by a fatal technical error after the first frame",
    "business_failures": "attempts and plays ended by a refusal that is meant (no subscription, geo-block, ...)",
    "exits_before_start": "attempts that the viewer gave up before the first frame",
    "stalls": "interruptions of playback by an empty buffer; startup and seeking are none",
    "stall_ms": "time in such stalls, ms",
    "playing_ms": "time in which content moved, ms",
    "watched_ms": "playing_ms + stall_ms: time in which the viewer watched or waited for content, ms",
    "media_ms": "content played, ms of media (playing time × rate)",
    "bits_played": "bitrate × media time, bits",
    "bitrate_media_ms": "media_ms that played at a known bitrate, ms of media",
    "startup_ms": "sum of startup times, ms",
    "active_sessions": "sessions with any watched time in the minute",
    "bitrate_switches": "changes of rendition while playing",
    "dropped_frames": "frames that the player dropped",
    "live_latency_sum_ms": "sum of the distances to the live edge that were reported, ms",
    "live_latency_samples": "how many such distances were reported",
    "ad_starts": "ads that began, as the player tells it",
    "ad_errors": "ads that failed; never a stall or a failure of the content",
}
"""Part → what it counts. All are integers and none is negative."""

PART = {part: place for place, part in enumerate(PARTS)}
"""Part → its place in a row of parts."""

DIMENSIONS = ("content_id", "country", "device_type", "cdn", "app_version")

ROLLUPS: dict[str, tuple[str, ...]] = {
    "total": (),
    "title": ("content_id",),
    "country_device": ("country", "device_type"),
    "cdn_app_country": ("cdn", "app_version", "country"),
}
"""Named rollup → the dimensions it keeps; the others are null in its rows. Never the full cross product."""

STARTUP_BUCKETS = 80
"""Bucket i counts startups in [2^(i/4), 2^((i+1)/4)) ms: 19 % wide, up to 17 minutes."""


def sql_names() -> dict[str, str]:
    """What `$name` stands for in the SQL of a gold table. `m` is a minute of `silver.sessions.minutes`, exploded.

    parts               every part, summed: lines of a SELECT, each with its comma
    startup_histogram   the histogram, as the last line of a SELECT
    rollups             the sets of dimensions to group by, one a named rollup
    rollup              the name of a row's rollup, where it was grouped by them
    part_names, rollup_names   for checks
    """
    return {
        "parts": "\n  ".join(f"sum(m.{part}) AS {part},  -- {doc}" for part, doc in PARTS.items()),
        "startup_histogram": startup_histogram("m"),
        "rollups": ", ".join(f"({', '.join(kept)})" for kept in ROLLUPS.values()),
        "rollup": f"CASE {' + '.join(f'{bit} * grouping({name})' for name, bit in _BITS.items())} "
        + " ".join(f"WHEN {_left_out(kept)} THEN '{name}'" for name, kept in ROLLUPS.items())
        + " END",
        "part_names": ", ".join(PARTS),
        "rollup_names": ", ".join(ROLLUPS),
    }


def startup_histogram(alias: str) -> str:
    """The histogram over rows of `alias` that have a `startup_bucket`, as the last line of a SELECT in Spark.

    Two buckets are counted by one sum, in its lower and its upper half: sums are what Spark groups by fastest, and to
    list buckets and count them in the end would be most of what fine tables cost. A half counts to 2,000 million.
    Most rows of a fine table have no startup: a list of zeros for each would be most of what it costs to write them.
    No sum is below zero, so shifting it either way is the same; DuckDB knows this one only.
    """
    bucket, upper = f"{alias}.startup_bucket", 1 << 32
    counts = []
    for even in range(0, STARTUP_BUCKETS, 2):
        both = f"coalesce(sum(CASE {bucket} WHEN {even} THEN 1L WHEN {even + 1} THEN {upper}L ELSE 0L END), 0L)"
        counts += [f"{both} & {upper - 1}L", f"shiftright({both}, 32)"]
    return (
        f"CASE WHEN count({bucket}) > 0 THEN array({', '.join(counts)}) END AS startup_histogram"
        "  -- startups by bucket: bucket i counts those in [2^(i/4), 2^((i+1)/4)) ms; null: no startups"
    )


_BITS = {dimension: 1 << place for place, dimension in enumerate(DIMENSIONS)}
"""One by one, where `grouping_id()` would be shorter: each engine has its own idea of which columns that is about."""


def _left_out(kept: tuple[str, ...]) -> int:
    """Tells the sets of dimensions apart, by those that they do not keep."""
    return sum(bit for dimension, bit in _BITS.items() if dimension not in kept)


class MinuteParts(msgspec.Struct, array_like=True):
    """What one session adds to one minute, under the dimensions it had then. `minute_ms` is the minute's start."""

    minute_ms: int
    content_id: str | None
    country: str | None
    device_type: str | None
    cdn: str | None
    app_version: str | None
    parts: dict[str, int]
    startup_bucket: int | None = None
