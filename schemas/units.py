"""Units of columns. A name carries its unit (`startup_ms`), which is read off it; those that carry none stand here."""

from __future__ import annotations

from schemas.metrics.parts import AD_PARTS, VIEW_PARTS
from schemas.metrics.registry import METRICS
from schemas.quality import PARTS

COUNT = "count"
UTC = "UTC"

_SUFFIXES = {
    "_ms": "ms",
    "_kbps": "kbit/s",
    "_bytes": "bytes",
    "_percent": "%",
    "_score": "points, 0..100",
    "_score_sum": "points, 0..100, summed",
    "_at": UTC,
    "_date": "UTC day",
    "_minute": UTC,
    "_count": COUNT,
    "_plays": COUNT,
    "_sessions": COUNT,
}
_NAMED = {
    **dict.fromkeys(("second", "minute", "hour", "as_of", "live_to", "kept_from", "gap_from", "gap_to"), UTC),
    "bits_played": "bits",
    "dropped_frames": "frames",
    "startup_histogram": "startups a bucket",
    "viewer_registers": "rank by register",
    "completeness": "share, 0..1",
    "allocation": "share, 0..1",
    "playback_rate": "×",
    "frames_per_second": "frames/s",
    **dict.fromkeys(("concurrent", "viewers", "viewers_before", "change"), "viewers"),
    **dict.fromkeys(("late", "duplicates", "rejected", "applied"), COUNT),
}


def unit_of(name: str) -> str | None:
    """The unit of what a column of this name holds; None for names, kinds and identifiers."""
    if name in _NAMED:
        return _NAMED[name]
    if name in METRICS:
        return METRICS[name].unit
    suffix = max((one for one in _SUFFIXES if name.endswith(one)), key=len, default=None)
    if suffix is not None:
        return _SUFFIXES[suffix]
    return COUNT if name in PARTS or name in VIEW_PARTS or name in AD_PARTS else None
