"""The contracts as a page for people: `docs/events.md`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from schemas.derive import json_schema
from schemas.examples import smallest
from schemas.topic import EventTopic

HEAD = """# Events

Made from `schemas/events/` by `make contracts`; change it there.

An event is one JSON object in UTF-8, camelCase, the value of one Kafka record. Its key is the `userId`, else the
`sessionId`, one of which must be there; partitioned by murmur2, as Java does it (librdkafka:
`partitioner=murmur2_random`). Fields that no contract names are kept, in the column `extra`. A record that breaks its
contract becomes a dead letter with the reason, the field and its bytes.

    curl -X POST localhost:8700/v1/events -d '{example}'
"""


def events(topics: Iterable[EventTopic]) -> str:
    """The page, one chapter a topic."""
    topics = list(topics)
    first = topics[0]
    example = json.dumps(smallest(first, next(iter(first.rank))))
    return HEAD.replace("{example}", example) + "".join(_chapter(topic) for topic in topics)


def _chapter(topic: EventTopic) -> str:
    schema = json_schema(topic)
    kinds = {
        event_type: schema["$defs"][reference.rpartition("/")[2]]
        for event_type, reference in schema["discriminator"]["mapping"].items()
    }
    # What all events of the topic have is said once.
    shared = set.intersection(*(set(kind["properties"]) for kind in kinds.values())) - {"eventType"}
    shared = {name for name in shared if len({name in kind["required"] for kind in kinds.values()}) == 1}
    first = next(iter(kinds.values()))
    lines = [
        "",
        f"## {topic.name}",
        "",
        f"Kept in `bronze.{topic.bronze_table}` as it came, and in `silver.{topic.table}` each once.",
        "",
        *_fields("Every event", {n: p for n, p in first["properties"].items() if n in shared}, first["required"]),
        "",
        "| eventType | what happened |",
        "|---|---|",
    ]
    lines += [f"| `{name}` | {kind.get('description', '')} |" for name, kind in kinds.items()]
    for name, kind in kinds.items():
        own = {n: p for n, p in kind["properties"].items() if n not in shared | {"eventType"}}
        if own:
            lines += ["", *_fields(f"`{name}` also", own, kind["required"]), ""]
            lines += [f"    {json.dumps(smallest(topic, name))}"]
    return "\n".join(lines) + "\n"


def _fields(whose: str, properties: dict[str, Any], required: list[str]) -> list[str]:
    head = [f"| {whose} | type | meaning |", "|---|---|---|"]
    return head + [
        f"| `{name}`{' (required)' if name in required else ''} | {_type(schema)} | {schema.get('description', '')} |"
        for name, schema in properties.items()
    ]


def _type(schema: dict[str, Any]) -> str:
    arm = next(arm for arm in schema.get("anyOf", [schema]) if arm.get("type") != "null")
    if "enum" in arm:
        return ", ".join(f"`{value}`" for value in arm["enum"])
    if arm.get("format") == "date-time":
        return "RFC 3339 time with offset"
    if arm["type"] == "object":
        return f"object of {arm['additionalProperties']['type']}s"
    return str(arm["type"])
