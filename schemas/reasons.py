"""Why a record is a dead letter: the codes that `bronze.dead_letters.reason` and a collector's verdicts hold."""

from __future__ import annotations

CONTRACT_REASONS: dict[str, str] = {
    "empty": "the record has no value (what Kafka calls a tombstone)",
    "not_json": "the value is not one JSON text in UTF-8",
    "not_cmcd": "a player's report is no list of CMCD keys in UTF-8",
    "unknown_event_type": "`eventType` is none of the topic's",
    "missing_field": "a required field is absent, or all fields that could be the key are",
    "invalid_field": "a field has another type, or a value out of its list or bounds; without a field: no JSON object",
}
"""Reason code → what it means, of records that break the contract of their topic."""
