"""What columns mean that no published table has: those of the live file, of the publish record and of the views."""

from __future__ import annotations

from schemas.metrics.parts import VIEW_PARTS
from schemas.metrics.registry import SESSION_METRICS
from schemas.quality import DIMENSIONS, PARTS
from schemas.tables.sessions import SESSIONS

_ROLLUP = {
    "rollup": "named rollup; the dimensions that it does not keep are null in its rows",
    "minute": "start of the minute in which it happened, UTC",
    "startup_histogram": "startups by bucket: bucket i counts those in [2^(i/4), 2^((i+1)/4)) ms",
    **dict.fromkeys(DIMENSIONS, "of the views that the row counts; null where the rollup does not keep it"),
    **PARTS,
}
_CLOCK = {
    "publish_id": "the publish in force",
    "published_at": "when batch published it",
    "cutover_minute": "minutes before it are answered by published tables, minutes from it on by live ones",
    "written_at": "when the server wrote the live file",
    "kept_from": "first minute that the live file holds",
    "gap_from": "first minute that neither side has; null when there is no gap",
    "gap_to": "the minute after the last that neither side has",
}
_NOW = {
    "received_at": "when the stream worker said so: whatever it had taken by then counts",
    "concurrent": "viewers at this moment: sessions that play or stall",
    "open_sessions": "sessions that have not ended, as the worker holds them",
    "events": "events taken in since the topic's beginning",
    "late": "events too late for a live minute; batch adds them",
    "duplicates": "events that had come before",
    "rejected": "records that break their contract",
}

COLUMNS: dict[str, dict[str, str]] = {
    "live.quality_minute": _ROLLUP,
    "metrics.quality_minute": _ROLLUP,
    "live.quality_second": {
        "second": "the second in which the broker received it, UTC",
        "concurrent": "viewers in that second: sessions that play or stall; null where a stream worker did not say",
        **{part: f"{doc.replace(' in the minute', '')}; by the second in which it came" for part, doc in PARTS.items()},
    },
    "live.now": _NOW
    | {
        "topic": "Kafka topic that its sessions are made of",
        "partition": "Kafka partition",
        "position": "offset of the next record to take",
        "applied": "records since the topic's beginning: events, late, duplicates, rejected and those that wait",
    },
    "live.alerts": {
        "id": "the same for an alert however often it is told",
        "rule": "the rule's file, or automatic: a cohort left its own recent range",
        "severity": "warning or critical",
        "metric": "the metric that is out of range (docs/metrics.md)",
        "argument": "of a metric that takes one, such as 0.95 of a quantile",
        "unit": "of value, peak, expected and limit",
        "by": "dimensions of the cohort, with commas; their values stand in the columns; empty: everything",
        **dict.fromkeys(DIMENSIONS, "of the cohort, where `by` names it; null there is unknown"),
        "began_at": "start of the first minute that was out of range",
        "opened_at": "end of the minute that opened it",
        "closed_at": "end of the minute that closed it; null: open",
        "judged_at": "end of the newest minute that the figures are made of",
        "is_open": "whether it is open",
        "close_reason": "recovered, or merged: another open alert explains it",
        "value": "the metric's, over the last minutes",
        "peak": "the worst value since it began",
        "expected": "what the cohort's own past let expect; null for rules with a fixed limit",
        "limit": "end of the range that was left",
        "is_high": "whether values above the limit are out of range, or those below",
        "sample": "what the value is made of",
        "sample_unit": "of sample: a part of the metric",
        "minutes": "length of what the value is made of",
        "covers": "other cohorts that were out of range because of this one",
        "record": "the alert as JSON, as it is in the topic live.alerts",
    },
    "live.meta": _CLOCK,
    "main.meta": _CLOCK | {"versions": "published table → version of its Delta table"},
    "metrics.cutover": {"minute": _CLOCK["cutover_minute"]},
    "metrics.freshness": _CLOCK
    | {
        "live_to": "newest live minute",
        "live_at": "when a stream worker last said how it stands: whatever it had taken by then counts",
        "live_written_at": _CLOCK["written_at"],
    },
    "metrics.pulse": _NOW | {"plays_last_minute": "attempts of the last closed minute"},
    "metrics.trending_titles": {
        "content_id": "the title",
        "viewers": "average viewers of the last 5 closed minutes",
        "viewers_before": "average viewers of the 30 minutes before them",
        "change": "viewers - viewers_before",
        "surge": "change / sqrt(viewers_before + 1): the gain against the noise of small numbers",
        "plays": "attempts of the last 5 closed minutes",
    },
    "metrics.session_quality": {
        **{part: doc for part, (_, doc) in VIEW_PARTS.items()},
        **{metric.name: metric.meaning for metric in SESSION_METRICS},
        **{column.name: column.doc for column in SESSIONS.columns},
    },
}
"""Table as it is asked for → column → meaning."""
