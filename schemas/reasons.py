"""Why a record is not taken as an event: the reason codes of dead letters and of verdicts, each with its meaning.

The one list: `docs/dead-letters.md` is made from it, and a test holds every ContractError of the code to it.
"""

from __future__ import annotations

REASONS = {
    "empty": "The record has no value (a Kafka tombstone), where an event was expected.",
    "not_json": "The bytes are not one JSON object in UTF-8; for an HTTP request: nothing in its body can be read.",
    "unknown_event_type": "`eventType` is none that the topic knows, or one that several topics know.",
    "missing_field": "A required field is not there; `field` names it.",
    "invalid_field": "A field has a value of the wrong type, form or vocabulary; `field` names it.",
    "too_large": "The event is larger than `collector_max_event_bytes`; only its beginning is kept.",
    "too_deep": "Objects and arrays are nested deeper than `collector_max_depth`.",
    "topic_not_allowed": "The write key does not allow events of this topic.",
    "bad_encoding": "The body is not what its Content-Encoding says, or is cut.",
    "refused_by_kafka": "The broker will never take the record, e.g. because its topic allows smaller ones only.",
}
"""Reason code → meaning."""

REFUSALS = {
    "unknown_key": 401,
    "origin_not_allowed": 403,
    "unknown_topic": 404,
    "slow": 408,
    "too_large": 413,
    "too_many": 413,
    "unknown_encoding": 415,
    "too_fast": 429,
    "too_busy": 503,
}
"""Why the collector takes nothing of a request → status of its answer."""
