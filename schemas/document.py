"""The contracts as a page for people: `docs/events.md`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from infra.errors import ContractError
from schemas.derive import wire_name
from schemas.examples import Rejected, definition, rejected, smallest, typical
from schemas.reasons import CONTRACT_REASONS
from schemas.topic import DAY_MS, EventTopic

HEAD = """# Events

Made from `schemas/events/` by `make contracts`; change it there.

An event is one JSON object in UTF-8, camelCase, the value of one Kafka record. The record's key is the field that its
topic names below, partitioned by murmur2, as Java does it (librdkafka: `partitioner=murmur2_random`). Every topic
reaches a bronze table, as it came, and a silver table, each event once, without code of its own. Fields that no
contract names are kept there in the column `extra`. A time needs its offset (`Z` or `+01:00`).

    curl -X POST localhost:8700/v1/events -d '{example}'

A collector finds the topic by the `eventType`. `?topic=` names it for all events of a request, and then counts.
{shared}

{topics}

## What is turned away

A record that breaks its contract becomes a dead letter, with the reason, the field at fault and the record's bytes; the
others of its batch do not. `playlake deadletters list` shows them. Each chapter ends with examples.

{reasons}
"""


def events(topics: Iterable[EventTopic]) -> str:
    """The page, one chapter a topic."""
    topics = list(topics)
    first = next(topic for topic in topics if topic.name == "user.playback.events")
    parts = {
        "example": json.dumps(smallest(first, next(iter(first.rank)))),
        "shared": _shared_names(topics),
        "topics": _lines(
            ["| topic | key | what |", "|---|---|---|"],
            (f"| [{t.name}](#{t.name.replace('.', '')}) | {_key(t)} | {_summary(t)} |" for t in topics),
        ),
        "reasons": _lines(
            ["| reason | what it means |", "|---|---|"],
            (f"| `{code}` | {meaning} |" for code, meaning in CONTRACT_REASONS.items()),
        ),
    }
    head = HEAD
    for name, text in parts.items():
        head = head.replace(f"{{{name}}}", text)
    return head + "".join(_lines(_chapter(topic)) + "\n" for topic in topics)


def _chapter(topic: EventTopic) -> Iterator[str]:
    kinds = {event_type: definition(topic, event_type) for event_type in topic.rank}
    yield from ("", f"## {topic.name}", "", inspect.cleandoc(_module(topic)), "")
    yield f"Key: {_key(topic)}. In Kafka: {_kept(topic)}."
    yield f"In the lake: `bronze.{topic.bronze_table}` and `silver.{topic.table}`."
    groups = _groups(kinds)
    for holders, fields in groups.items():
        if len(holders) == len(kinds):
            yield from ("", *_fields("Every event", fields, kinds[holders[0]]["required"]))
    for holders, fields in groups.items():
        if 1 < len(holders) < len(kinds):
            whose = ", ".join(f"`{name}`" for name in holders)
            yield from ("", *_fields(f"{whose} also", fields, kinds[holders[0]]["required"]))
    for name, kind in kinds.items():
        yield from ("", f"### {name}", "", str(kind.get("description", "")), "")
        if own := groups.get((name,)):
            yield from (*_fields(f"`{name}` also", own, kind["required"]), "")
        yield f"    {json.dumps(typical(topic, name))}"
    yield from ("", f"### Turned away from {topic.name}", "")
    yield from ("| for example | reason | field | what is said |", "|---|---|---|---|")
    for one in _telling(topic):
        said = _detail(topic, one).replace("|", "\\|")
        yield f"| {_how(one)} | `{one.reason}` | `{one.field}` | {said} |"


def _groups(kinds: Mapping[str, dict[str, Any]]) -> dict[tuple[str, ...], dict[str, Any]]:
    """The event types that have a field in common → such fields. What several events have is said once."""
    holders: dict[tuple[str, bool], list[str]] = {}
    for event_type, kind in kinds.items():
        for name in kind["properties"]:
            holders.setdefault((name, name in kind["required"]), []).append(event_type)
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for (name, _), of in holders.items():
        if name != "eventType":
            groups.setdefault(tuple(of), {})[name] = kinds[of[0]]["properties"][name]
    return groups


def _telling(topic: EventTopic) -> Iterator[Rejected]:
    """Of the ways to break an event, one of each kind."""
    seen = set()
    for event_type in topic.rank:
        for one in rejected(topic, event_type):
            schema = definition(topic, event_type)["properties"][one.field]
            kind = one.field if one.reason != "invalid_field" or "`" in _type(schema) else _type(schema)
            if (one.reason, kind) not in seen:
                seen.add((one.reason, kind))
                yield one


def _how(one: Rejected) -> str:
    if one.field not in one.event:
        return f"{'`{}` '.format(one.event['eventType']) if 'eventType' in one.event else ''}without `{one.field}`"
    return f"`{one.field}` is `{json.dumps(one.event[one.field])}`"


def _detail(topic: EventTopic, one: Rejected) -> str:
    try:
        topic.decode(json.dumps(one.event).encode())
    except ContractError as error:
        return error.detail
    raise AssertionError(one)


def _module(topic: EventTopic) -> str:
    module = inspect.getmodule(topic.events[0])
    return (module.__doc__ if module else None) or ""


def _summary(topic: EventTopic) -> str:
    return _module(topic).partition("\n")[0].partition(": topic")[0]


def _key(topic: EventTopic) -> str:
    return ", else ".join(f"`{wire_name(topic.events[0], name)}`" for name in topic.key_fields)


def _kept(topic: EventTopic) -> str:
    partitions = f"{topic.partitions} partition" if topic.partitions == 1 else "partitions as set (`TOPIC_PARTITIONS`)"
    if topic.is_compacted:
        return f"{partitions}, compacted: the newest record of each key stays"
    return f"{partitions}, kept for {topic.retention_ms // DAY_MS} days"


def _shared_names(topics: list[EventTopic]) -> str:
    """What to know of event types that several topics have."""
    holders: dict[str, list[EventTopic]] = {}
    for topic in topics:
        for event_type in topic.rank:
            holders.setdefault(event_type, []).append(topic)
    said = []
    for topic in topics:
        names = [f"`{name}`" for name, others in holders.items() if len(others) > 1 and topic in others]
        if names and topic.marker:
            rest = sorted({o.name for n in names for o in holders[n.strip("`")] if o is not topic})
            said.append(
                f"Without it, {', '.join(names)} go to `{topic.name}` if they have the field `{topic.marker}`, else to "
                f"{' or '.join(f'`{name}`' for name in rest)}."
            )
    return "\n".join(said)


def _fields(whose: str, properties: Mapping[str, Any], required: list[str]) -> list[str]:
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
    if arm["type"] == "array":
        return f"array of {arm['items']['type']}s"
    return str(arm["type"])


def _lines(*parts: Iterable[str]) -> str:
    return "\n".join(line for part in parts for line in part)
