"""Example events, derived from the contracts: good ones, and ones that are turned away with the reason for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from schemas.derive import json_schema, wire_name
from schemas.topic import EventTopic

SAMPLES: dict[str, Any] = {
    "timestamp": "2026-01-15T20:30:45Z",
    "userId": "user123",
    "contentId": "title456",
    "sessionId": "session789",
    "eventId": "b6f1d3",
    "deviceType": "smart_tv",
    "country": "DE",
    "region": "DE-BE",
    "experiments": {"abr": "bold"},
    "query": "detective",
    "plan": "standard",
    "fromPlan": "ads",
    "channel": "partner",
    "effectiveAt": "2026-02-01T00:00:00Z",
    "screen": "home",
    "rowId": "trending",
    "rowIndex": 2,
    "position": 4,
    "artworkId": "title456-b",
    "requestId": "rec-5521",
    "visibleMs": 1800,
    "target": "play",
    "resultCount": 12,
    "rating": 4.0,
    "scale": "stars",
    "adRequestId": "adreq-81",
    "breakId": "break-1",
    "breakDurationMs": 30000,
    "adSystem": "adserver.example",
    "adCount": 2,
    "responseMs": 180,
    "adId": "ad-17",
    "creativeId": "creative-42",
    "universalAdId": "ad-id.org/CNPA0484000H",
    "campaignId": "campaign-7",
    "advertiser": "example.com",
    "sequence": 1,
    "adDurationMs": 15000,
    "positionMs": 3750,
    "price": 12.5,
    "currency": "EUR",
    "destination": "example.com/offer",
    "vastErrorCode": 402,
    "experiment": "abr",
    "arm": "bold",
    "allocation": 0.5,
    "unit": "user",
    "assignedBy": "random",
    "viewability": "viewable",
    "isMuted": False,
    "pricingModel": "cpm",
    "breakPosition": "pre_roll",
    "title": "The Last Island",
    "kind": "episode",
    "parentId": "series-12",
    "seasonNumber": 1,
    "episodeNumber": 3,
    "durationMs": 2_700_000,
    "genres": ["drama", "thriller"],
    "originalLanguage": "en",
    "releaseYear": 2024,
    "maturityRating": "12+",
    "availableFrom": "2026-01-15T00:00:00Z",
    "availableUntil": "2027-01-14T23:59:59Z",
    "gameId": "game-9",
    "delivery": "cloud",
    "controller": "gamepad",
    "outcome": "won",
    "reason": "user",
    "level": "chapter-2",
    "score": 18250.0,
    "achievementId": "first-win",
    "productId": "hint-pack",
    "quantity": 1,
    "errorCode": "E42",
    "source": "home",
    "loadMs": 4200,
    "activeMs": 28000,
    "framesPerSecond": 59.4,
    "roundTripMs": 62,
    "bitrateKbps": 8000,
    "playedMs": 1_260_000,
}
"""Wire field → a value that reads well; any other field gets one of its type."""


class Rejected(NamedTuple):
    """An event that a topic turns away: the reason code, and the wire field that is at fault."""

    event: dict[str, Any]
    reason: str
    field: str


def smallest(topic: EventTopic, event_type: str) -> dict[str, Any]:
    """The event with what it needs and no more."""
    names = [*_keys(topic)[:1], *definition(topic, event_type)["required"]]
    return _example(topic, event_type, names)


def typical(topic: EventTopic, event_type: str) -> dict[str, Any]:
    """What it needs, and what is its own: the fields that not all events of the topic have."""
    shared = set.intersection(*(set(definition(topic, other)["properties"]) for other in topic.rank))
    own = [name for name in definition(topic, event_type)["properties"] if name not in shared]
    return smallest(topic, event_type) | _example(topic, event_type, own)


def fullest(topic: EventTopic, event_type: str) -> dict[str, Any]:
    """The event with every field that its contract names."""
    return _example(topic, event_type, definition(topic, event_type)["properties"])


def rejected(topic: EventTopic, event_type: str) -> Iterator[Rejected]:
    """Every way to break one field of the event: absent, of another type, out of its list or bounds."""
    good, contract = fullest(topic, event_type), definition(topic, event_type)
    yield Rejected({**good, "eventType": "teleport"}, "unknown_event_type", "eventType")
    for field in contract["required"]:
        yield Rejected({name: value for name, value in good.items() if name != field}, "missing_field", field)
    keys = _keys(topic)
    at_fault = next((name for name in keys if name in contract["required"]), keys[0])
    yield Rejected({name: value for name, value in good.items() if name not in keys}, "missing_field", at_fault)
    for field, schema in contract["properties"].items():
        if field != "eventType":
            yield from (Rejected({**good, field: value}, "invalid_field", field) for value in wrong_values(schema))


def wrong_values(schema: dict[str, Any]) -> Iterator[Any]:
    """Values that a field must not have."""
    arm = _arm(schema)
    kind = arm.get("type")
    if "enum" in arm:
        yield from ("none of these", 17)
    elif arm.get("format") == "date-time":
        yield from ("yesterday", "2026-01-15T20:30:45", "2026-13-15T20:30:45Z", "", 17)
    elif kind == "string":
        yield from (17, True)
    elif kind == "integer":
        yield from ("seventeen", 1.5, 2**63, -(2**63) - 1)
    elif kind in ("number", "boolean"):
        yield "seventeen"
    elif kind == "array":
        yield from ("one", [17], [None])
    elif kind == "object":
        yield from (3, {"name": 17})
    yield {} if kind != "object" else []
    yield [] if kind != "array" else {}


def definition(topic: EventTopic, event_type: str) -> dict[str, Any]:
    """The JSON Schema of one event of a topic."""
    return _definitions(topic)[event_type]


@cache
def _definitions(topic: EventTopic) -> dict[str, dict[str, Any]]:
    schema = json_schema(topic)
    mapping = schema["discriminator"]["mapping"].items()
    return {event_type: schema["$defs"][reference.rpartition("/")[2]] for event_type, reference in mapping}


def _keys(topic: EventTopic) -> list[str]:
    return [wire_name(topic.events[0], name) for name in topic.key_fields]


def _example(topic: EventTopic, event_type: str, names: Iterable[str]) -> dict[str, Any]:
    properties = definition(topic, event_type)["properties"]
    fields = dict.fromkeys(name for name in names if name != "eventType")
    return {"eventType": event_type} | {name: _sample(name, properties[name]) for name in fields}


def _arm(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field's value when it is not null."""
    return next(arm for arm in schema.get("anyOf", [schema]) if arm.get("type") != "null")


def _sample(name: str, schema: dict[str, Any]) -> Any:
    arm = _arm(schema)
    if "enum" in arm:
        return SAMPLES.get(name, arm["enum"][0])
    if name in SAMPLES:
        return SAMPLES[name]
    if arm.get("format") == "date-time":
        return SAMPLES["timestamp"]
    plain = {"string": name, "integer": 1, "number": 1.5, "boolean": True, "array": [name], "object": {"name": "value"}}
    return plain[arm["type"]]
