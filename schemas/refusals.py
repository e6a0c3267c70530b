"""Reason codes of the ways in, beside those of the contracts (`schemas/reasons.py`)."""

from __future__ import annotations

from schemas.reasons import CONTRACT_REASONS

INTAKE_REASONS: dict[str, str] = {
    "too_large": "the event is larger than `collector_max_event_bytes`; only its beginning is kept",
    "too_deep": "objects and arrays are nested deeper than `collector_max_depth`",
    "topic_not_allowed": "the write key is not for the event's topic",
    "bad_encoding": "the body is not what its Content-Encoding says, or is cut; kept as it came",
    "refused_by_kafka": "the broker will never take the record, e.g. because its topic allows smaller ones only",
}
"""Reason code → what it means, of records that a way in did not let into a topic."""

REASONS = CONTRACT_REASONS | INTAKE_REASONS
"""Every reason that a dead letter can have."""

REFUSALS: dict[str, tuple[int, str]] = {
    "unknown_key": (401, "no write key, or none that is known"),
    "no_reports": (400, "there are no reports of players in it (`/v1/cmcd`), or its `?t=` is too long"),
    "not_for_reports": (403, "the write key is not for players' reports"),
    "reports_too_fast": (403, "too many reports; not 429, which players answer by sending everything again"),
    "origin_not_allowed": (403, "pages of this origin may not send here"),
    "unknown_topic": (404, "`?topic=` names none"),
    "slow": (408, "the body took too long to come"),
    "too_large": (413, "the body has more bytes, packed or unpacked, than `collector_max_body_bytes`"),
    "too_many": (413, "the body has more events than `collector_max_events`"),
    "unknown_encoding": (415, "a Content-Encoding other than gzip and zstd"),
    "too_fast": (429, "too many events of this write key or client network; Retry-After says when to come again"),
    "too_busy": (503, "too many bytes are on their way at this moment"),
}
"""Why nothing of a request is taken → the status of the answer, and what it means. No dead letter comes of these."""
