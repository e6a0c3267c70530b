"""From a playback event to the fact that the session fold takes: of a decoded record (stream) or of rows (batch)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.event import identity, occurred_at, unknown_fields
from schemas.events.playback import PlaybackEvent
from schemas.registry import PLAYBACK
from schemas.session_state import Fact

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def to_ms(at: datetime) -> int:
    """Unix ms of a moment, rounded down: exactly what a table's microseconds give."""
    return (at - _EPOCH) // _MS


def from_ms(at_ms: int) -> datetime:
    """The moment of a Unix ms stamp, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def fact_of(raw: bytes, event: PlaybackEvent, received_ms: int) -> Fact:
    """The fact of one record. `received_ms` is the broker's stamp of the record."""
    at, _ = occurred_at(event, from_ms(received_ms))
    extra = unknown_fields(raw, event)
    return Fact(
        at_ms=to_ms(at),
        received_ms=received_ms,
        kind=event.event_type,
        event_id=identity(raw, event),
        rank=PLAYBACK.rank[event.event_type],
        extra=msgspec.json.encode(extra).decode() if extra else None,
        **{name: getattr(event, name) for name in _SHARED},
    )


def facts_of(rows: pa.RecordBatch) -> list[Fact]:
    """The facts of rows of `silver.playback_events`, which need the columns `FACT_COLUMNS`."""
    import pyarrow as pa

    at, received, kinds, *others = (rows.column(name) for name in FACT_COLUMNS)
    stamps = ([us // 1000 for us in column.cast(pa.int64()).to_pylist()] for column in (at, received))
    kinds = kinds.to_pylist()
    ids, *fields = (column.to_pylist() for column in others)
    ranks = [PLAYBACK.rank[kind] for kind in kinds]
    return list(map(Fact, *stamps, kinds, ids, ranks, *fields))


def rows_of(facts: Sequence[Fact], groups: Sequence[str], schema: pa.Schema) -> pa.RecordBatch:
    """Facts as rows, back again: of `schema`, whose columns are those of `FACT_COLUMNS` and `group_id`."""
    import pyarrow as pa

    values: dict[str, Sequence[Any]] = {
        name: [getattr(fact, name) for fact in facts] for name in Fact.__struct_fields__[5:]
    }
    values |= {"occurred_at": [fact.at_ms * 1000 for fact in facts], "event_type": [fact.kind for fact in facts]}
    values |= {"received_at": [fact.received_ms * 1000 for fact in facts], "group_id": groups}
    values["event_id"] = [fact.event_id for fact in facts]
    # A timestamp takes microseconds only as the integer that they are.
    plain = [pa.int64() if pa.types.is_timestamp(kind) else kind for kind in schema.types]
    arrays = [pa.array(values[name], kind) for name, kind in zip(schema.names, plain, strict=True)]
    return pa.record_batch([array.cast(kind) for array, kind in zip(arrays, schema.types, strict=True)], schema=schema)


FACT_COLUMNS = ("occurred_at", "received_at", "event_type", "event_id", *Fact.__struct_fields__[5:])
"""Columns of `silver.playback_events` that make a fact, in the order of its fields (the rank follows from the type)."""
_SHARED = tuple(
    name for name in Fact.__struct_fields__ if name in PlaybackEvent.__struct_fields__ and name != "event_id"
)
