"""What a record says by the contract alone, one at a time, and what the columns say of it: both as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from infra.errors import ContractError
from schemas.columnar.columns import Columns, Text
from schemas.columnar.decoder import ColumnDecoder
from schemas.columnar.stamps import to_us
from schemas.derive import event_columns
from schemas.event import identity, occurred_at, unknown_fields
from schemas.fact import from_ms
from schemas.registry import EVENT_TOPICS
from schemas.topic import EventTopic

COLUMNS = {name: event_columns(topic) for name, topic in EVENT_TOPICS.items()}
DECODERS = {name: ColumnDecoder(topic) for name, topic in EVENT_TOPICS.items()}
ACCESS = {
    "string": "text", "map": "text", "strings": "text", "long": "integer", "timestamp": "integer", "double": "number",
    "boolean": "flag",
}  # fmt: skip


def by_contract(topic: EventTopic, raw: bytes | None, received_ms: int) -> dict[str, Any]:
    """The record as `schemas.event` has it."""
    try:
        event = topic.decode(raw)
    except ContractError as error:
        return {"broken": (error.reason, error.field, str(error))}
    at, is_suspect = occurred_at(event, from_ms(received_ms))
    extra = unknown_fields(raw or b"", event)
    row: dict[str, Any] = {
        "kind": topic.rank[event.event_type], "occurred_us": to_us(at), "is_clock_suspect": is_suspect,
        "key": event.key, "extra": msgspec.json.encode(extra).decode() if extra else None,
    }  # fmt: skip
    for column in COLUMNS[topic.name]:
        value = getattr(event, column.name, None)
        if value is not None and column.type == "timestamp":
            value = to_us(value)
        elif value is not None and column.type in ("map", "strings"):
            value = msgspec.json.encode(value).decode()
        row[column.name] = value
    return row | {"event_id": identity(raw or b"", event)}


def by_columns(columns: Columns, broken: dict[int, ContractError], topic: EventTopic, place: int) -> dict[str, Any]:
    """One row of the columns."""
    if columns.kind[place] < 0:
        error = broken[place]
        return {"broken": (error.reason, error.field, str(error))}
    assert place not in broken
    row: dict[str, Any] = {
        "kind": int(columns.kind[place]), "occurred_us": int(columns.occurred_us[place]),
        "is_clock_suspect": bool(columns.is_clock_suspect[place]), "key": _text(columns, columns.key, place),
        "extra": _text(columns, columns.text("extra"), place),
    }  # fmt: skip
    for column in COLUMNS[topic.name]:
        of = getattr(columns, ACCESS[column.type])(column.name)
        row[column.name] = _text(columns, of, place) if isinstance(of, Text) else _value(column.type, of, place)
    return row


def _text(columns: Columns, text: Text, place: int) -> str | None:
    start, size = int(text.start[place]), int(text.size[place])
    return None if size < 0 else columns.data[start : start + size].tobytes().decode()


def _value(kind: str, of: Any, place: int) -> Any:
    if not of.present[place]:
        assert of.values[place] == 0
        return None
    value = of.values[place].item()
    return bool(value) if kind == "boolean" else value


def assert_same(topic: EventTopic, values: Sequence[bytes | None], received_ms: Sequence[int]) -> Columns:
    """The columns say of every record what the contract does. Returns them."""
    columns = DECODERS[topic.name].decode(values, np.array(received_ms, np.int64))
    broken = dict(columns.broken)
    for place, (raw, received) in enumerate(zip(values, received_ms, strict=True)):
        found, expected = by_columns(columns, broken, topic, place), by_contract(topic, raw, received)
        assert repr(found) == repr(expected), raw
    return columns
