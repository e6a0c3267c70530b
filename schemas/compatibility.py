"""Which changes of a contract break somebody who relies on the old one.

Events: whatever the old contract let in, the new one must let in, and keep in the same column. Tables: a query over the
old columns must still run and mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def breaking_changes(old: dict[str, Any], new: dict[str, Any] | None) -> list[str]:
    """What of `old` is broken by `new` (both as generated; None: it is gone), in words."""
    kind, name = ("topic", old["title"]) if "$defs" in old else ("table", old["name"])
    if new is None:
        return [f"{name}: the {kind} was removed"]
    compare = _events if kind == "topic" else _columns
    return [f"{name}: {change}" for change in compare(old, new)]


def _events(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    after = _by_event_type(new)
    for event_type, before in _by_event_type(old).items():
        if event_type not in after:
            yield f"event {event_type} was removed"
        else:
            yield from (f"{event_type}.{change}" for change in _fields(before, after[event_type]))


def _by_event_type(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    mapping = schema["discriminator"]["mapping"].items()
    return {event_type: schema["$defs"][reference.rpartition("/")[2]] for event_type, reference in mapping}


def _fields(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name in new["required"]:
        if name not in old["required"]:
            yield f"{name} became required"
    for name, before in old["properties"].items():
        after = new["properties"].get(name)
        if after is None:
            yield f"{name} was removed"
            continue
        for arm in _arms(before):
            if not any(_covers(other, arm) for other in _arms(after)):
                yield f"{name} no longer takes {_words(arm)}"


def _arms(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The alternatives of a property; a list of constants is one alternative for each."""
    arms = schema.get("anyOf", [schema])
    return [{"const": value} for arm in arms for value in arm.get("enum", ())] + [a for a in arms if "enum" not in a]


def _covers(new: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether every value that `old` takes is taken by `new`."""
    if "const" in new:
        return new == old
    if "const" in old:
        old = {"type": "string" if isinstance(old["const"], str) else "integer"}
    wider = new.get("type") == "number" and old.get("type") == "integer"
    if new.get("type") != old.get("type") and not wider:
        return False
    if "additionalProperties" in new and not _covers(new["additionalProperties"], old["additionalProperties"]):
        return False
    for bound, sign in _BOUNDS.items():
        if bound in new and (bound not in old or sign * new[bound] > sign * old[bound]):
            return False
    return all(new[word] == old.get(word) for word in _SAME if word in new)


_BOUNDS = {
    "minimum": 1, "exclusiveMinimum": 1, "minLength": 1, "minItems": 1, "minProperties": 1,
    "maximum": -1, "exclusiveMaximum": -1, "maxLength": -1, "maxItems": -1, "maxProperties": -1,
}  # fmt: skip
"""Bound → the sign by which a larger one is tighter."""
_SAME = ("format", "pattern", "multipleOf", "items")


def _words(arm: dict[str, Any]) -> str:
    if "const" in arm:
        return f"the value {arm['const']!r}"
    return f"every {arm.get('format') or arm.get('type')} that it took"


def _columns(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    if old["grain"] != new["grain"]:
        yield f"its grain changed from {', '.join(old['grain'])} to {', '.join(new['grain'])}"
    after = {column["name"]: column for column in new["columns"]}
    for column in old["columns"]:
        name, other = column["name"], after.get(column["name"])
        if other is None:
            yield f"column {name} was removed"
        elif other["type"] != column["type"]:
            yield f"column {name} changed from {column['type']} to {other['type']}"
