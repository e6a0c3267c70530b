"""Contract → everything else: table columns, Arrow schema, Spark schema, JSON Schema. Nothing is typed twice."""

from __future__ import annotations

import types
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from schemas.event import Event, snake
from schemas.quality import DIMENSIONS, PARTS
from schemas.table import Column, Type
from schemas.topic import EventTopic

if TYPE_CHECKING:
    import pyarrow as pa

_TYPES: dict[type, Type] = {
    str: "string", int: "long", float: "double", bool: "boolean", datetime: "timestamp", dict: "map",
    list: "strings",
}  # fmt: skip


def event_columns(topic: EventTopic) -> tuple[Column, ...]:
    """The columns of all events of a topic together, in the order of their first appearance.

    A field that two events define with different types is an error, since both share one column.
    """
    columns: dict[str, Column] = {}
    for event in topic.events:
        hints = get_type_hints(event, include_extras=True)
        for field in msgspec.structs.fields(event):
            column = Column(field.name, _logical_type(hints[field.name]), _description(hints[field.name]))
            other = columns.setdefault(field.name, column)
            if other.type != column.type:
                msg = f"{topic.name}: {field.name} is {other.type} in one event and {column.type} in {event.__name__}"
                raise TypeError(msg)
    return tuple(columns.values())


def _logical_type(hint: Any) -> Type:
    origin = get_origin(hint)
    if origin is Annotated:
        return _logical_type(get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return _logical_type(next(arm for arm in get_args(hint) if arm is not type(None)))
    if origin is Literal:
        return _TYPES[type(get_args(hint)[0])]
    return _TYPES[origin or hint]


def _description(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        return next((m.description for m in reversed(get_args(hint)) if isinstance(m, Meta) and m.description), "")
    return ""


MINUTE: dict[str, Type] = {
    "minute": "timestamp", **dict.fromkeys(DIMENSIONS, "string"), **dict.fromkeys(PARTS, "long"),
    "startup_bucket": "int",
}  # fmt: skip
"""Fields of an element of a column of type `minutes`, in their order."""
SPARK: dict[Type, str] = {
    "string": "STRING", "long": "BIGINT", "int": "INT", "double": "DOUBLE", "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP", "date": "DATE", "binary": "BINARY", "map": "MAP<STRING, STRING>",
    "longs": "ARRAY<BIGINT>", "strings": "ARRAY<STRING>",
}  # fmt: skip
"""Type of a column → Spark's; that of `minutes` is made of these."""


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """Columns as an Arrow schema, their descriptions as field metadata."""
    import pyarrow as pa

    arrow: dict[Type, pa.DataType] = {
        "string": pa.string(), "long": pa.int64(), "int": pa.int32(), "double": pa.float64(), "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"), "date": pa.date32(), "binary": pa.binary(),
        "map": pa.map_(pa.string(), pa.string()), "longs": pa.list_(pa.int64()), "strings": pa.list_(pa.string()),
    }  # fmt: skip
    arrow["minutes"] = pa.list_(pa.struct([(name, arrow[kind]) for name, kind in MINUTE.items()]))
    return pa.schema([pa.field(c.name, arrow[c.type], c.nullable, metadata={"comment": c.doc}) for c in columns])


def spark_ddl(columns: Iterable[Column]) -> str:
    """Columns as Spark DDL, e.g. `event_id STRING NOT NULL COMMENT '...', seq BIGINT COMMENT '...'`."""
    minute = ", ".join(f"{name}: {SPARK[kind]}" for name, kind in MINUTE.items())
    spark = {**SPARK, "minutes": f"ARRAY<STRUCT<{minute}>>"}
    return ", ".join(
        f"`{c.name}` {spark[c.type]}{'' if c.nullable else ' NOT NULL'} COMMENT '{c.doc.replace(chr(39), chr(8217))}'"
        for c in columns
    )


def json_schema(topic: EventTopic) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a topic's records."""
    _, definitions = msgspec.json.schema_components(topic.events, ref_template="#/$defs/{name}")
    references = {str(e.__struct_config__.tag): f"#/$defs/{e.__name__}" for e in topic.events}
    # The envelope's one rule across fields, which the structs check in code: one of those that may be the key is there.
    for event in topic.events:
        definitions[event.__name__]["anyOf"] = [{"required": [wire_name(event, name)]} for name in topic.key_fields]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:playlake:{topic.name}",
        "title": topic.name,
        "anyOf": [{"$ref": reference} for reference in references.values()],
        "discriminator": {"propertyName": "eventType", "mapping": references},
        "$defs": definitions,
    }


def wire_name(event_type: type[Event], column: str) -> str:
    """`bitrate_kbps` → `bitrateKbps`."""
    return {f.name: f.encode_name for f in msgspec.structs.fields(event_type)}[column]


__all__ = ["arrow_schema", "event_columns", "json_schema", "snake", "spark_ddl", "wire_name"]
