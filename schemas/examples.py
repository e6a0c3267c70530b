"""Example events, derived from the contracts: the smallest that is accepted, and one with every field."""

from __future__ import annotations

from typing import Any

from schemas.derive import json_schema
from schemas.topic import EventTopic

SAMPLES: dict[str, Any] = {
    "timestamp": "2026-01-15T20:30:45Z",
    "userId": "user123",
    "contentId": "title456",
    "sessionId": "session789",
    "eventId": "b6f1d3",
    "country": "DE",
    "region": "DE-BE",
    "experiments": {"abr": "bold"},
    "query": "detective",
    "plan": "standard",
}
"""Wire field → a value that reads well; any other field gets one of its type."""


def smallest(topic: EventTopic, event_type: str) -> dict[str, Any]:
    """The event with what it needs and no more."""
    event = definition(topic, event_type)
    names = dict.fromkeys(["userId", *event["required"]])
    return {"eventType": event_type} | {n: _sample(n, event["properties"][n]) for n in names if n != "eventType"}


def fullest(topic: EventTopic, event_type: str) -> dict[str, Any]:
    """The event with every field that its contract names."""
    properties = definition(topic, event_type)["properties"]
    return {"eventType": event_type} | {n: _sample(n, p) for n, p in properties.items() if n != "eventType"}


def definition(topic: EventTopic, event_type: str) -> dict[str, Any]:
    """The JSON Schema of one event of a topic."""
    schema = json_schema(topic)
    name = schema["discriminator"]["mapping"][event_type].rpartition("/")[2]
    return schema["$defs"][name]  # type: ignore[no-any-return]


def _sample(name: str, schema: dict[str, Any]) -> Any:
    if name in SAMPLES:
        return SAMPLES[name]
    arm = next(arm for arm in schema.get("anyOf", [schema]) if arm.get("type") != "null")
    if "enum" in arm:
        return arm["enum"][0]
    if arm.get("format") == "date-time":
        return SAMPLES["timestamp"]
    return {"string": name, "integer": 1, "number": 1.5, "boolean": True, "object": {"name": "value"}}[arm["type"]]
