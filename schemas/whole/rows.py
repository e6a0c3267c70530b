"""Rows of playback events, as Arrow columns, in; rows of `silver.sessions` out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infra.errors import LakeDamaged
from schemas.derive import MINUTE as MINUTE_FIELDS
from schemas.derive import arrow_schema
from schemas.piece import BUCKET, FIRST_PART, MINUTE
from schemas.quality import DIMENSIONS, MINUTE_MS, PART
from schemas.registry import PLAYBACK
from schemas.session_row import CONCLUDED, PLAIN
from schemas.session_state import ABSENT, ATTRIBUTES, END_REASONS
from schemas.sessionize import derived_id
from schemas.tables.sessions import SESSIONS
from schemas.whole.fold import EVENT, Folded, fold_whole
from schemas.whole.order import Ids

_DAY_MS = 86_400_000
_TEXTS = {name: place for place, name in enumerate((*ATTRIBUTES, "error_code"))}
_TIMES = {
    "started_at": "first_ms", "ended_at": "last_ms", "first_received_at": "first_received_ms",
    "last_received_at": "last_received_ms",
}  # fmt: skip
_KINDS = pa.array(sorted(PLAYBACK.rank, key=PLAYBACK.rank.__getitem__))


class Grouping(NamedTuple):
    """What is known of rows beside their columns."""

    groups: npt.NDArray[np.int32]
    """Of each row, the number of its group."""
    copies: npt.NDArray[np.int32]
    """How often each row's event was received; rows of one event add up as well."""
    repeated: Mapping[int, int]
    """Group → duplicates that its sessions have beside."""


def sessions_of(rows: pa.RecordBatch, grouping: Grouping, now_ms: int, timeout_ms: int) -> pa.RecordBatch:
    """The sessions of whole groups, as of received time `now_ms`, as rows of the table.

    rows      columns `group_id` and `schemas.fact.FACT_COLUMNS`
    """
    if not rows.num_rows:
        return pa.RecordBatch.from_pylist([], arrow_schema(SESSIONS.columns))
    events = events_of(rows)
    events["group"], events["copies"] = grouping.groups, grouping.copies
    event_id = rows.column("event_id")
    _, starts, data = event_id.buffers()
    ids = Ids(_view(starts, np.int32)[event_id.offset :], _view(data, np.uint8))
    folded = fold_whole(events, ids, now_ms, timeout_ms)
    repeated = np.zeros(int(grouping.groups.max()) + 1, np.int64)
    for group, count in grouping.repeated.items():
        repeated[group] = count
    folded.sessions["duplicate_event_count"] += repeated[folded.sessions["group"]]
    return _table_rows(rows, grouping.groups, folded)


def _view(buffer: pa.Buffer | None, kind: type[np.generic]) -> npt.NDArray[Any]:
    view: npt.NDArray[Any] = np.frombuffer(buffer, kind) if buffer else np.empty(0, kind)
    # Whether Arrow's buffers may be written to depends on where they come from; compiled code is made for one of both.
    view.flags.writeable = False
    return view


def events_of(rows: pa.RecordBatch) -> npt.NDArray[Any]:
    """Rows as events, all but their groups and copies."""
    events = np.zeros(rows.num_rows, EVENT)
    for name, column in (("at_ms", "occurred_at"), ("received_ms", "received_at")):
        events[name] = _numbers(rows.column(column).cast(pa.int64()), 0) // 1000
    kinds = pc.index_in(rows.column("event_type"), _KINDS)
    if kinds.null_count:
        strange = pc.unique(rows.column("event_type").filter(kinds.is_null())).to_pylist()
        msg = f"{PLAYBACK.name}: expected event types of the contract, got {', '.join(map(str, strange))}"
        raise LakeDamaged(msg)
    events["kind"] = kinds.to_numpy(zero_copy_only=False)
    for name in ("seq", "position_ms", "bitrate_kbps", "dropped_frames", "live_latency_ms"):
        events[name] = _numbers(rows.column(name), ABSENT)
    events["playback_rate"] = _numbers(rows.column("playback_rate"), np.nan)
    events["fatal"] = _numbers(rows.column("fatal"), False)
    events["is_business"] = _numbers(pc.equal(rows.column("error_category"), "business"), False)
    events["is_derived"] = rows.column("session_id").is_null().to_numpy(zero_copy_only=False)
    events["event_id"] = rows.column("event_id").dictionary_encode().indices.to_numpy()
    told = np.zeros(rows.num_rows, np.int32)
    for place, name in enumerate(ATTRIBUTES):
        column = rows.column(name)
        if column.null_count < len(column):
            told |= column.is_valid().to_numpy(zero_copy_only=False).astype(np.int32) << place
    events["told"] = told
    return events


def _numbers(column: pa.Array, absent: float) -> npt.NDArray[Any]:
    filled = column.fill_null(pa.scalar(absent, column.type)) if column.null_count else column
    numbers: npt.NDArray[Any] = filled.to_numpy(zero_copy_only=False)
    return numbers


def _table_rows(rows: pa.RecordBatch, groups: npt.NDArray[np.int32], folded: Folded) -> pa.RecordBatch:
    sessions = folded.sessions
    texts = np.ascontiguousarray(sessions["texts"].T)
    # Any row tells the id of its group.
    any_row = np.zeros(int(groups.max()) + 1, np.int32)
    any_row[groups] = np.arange(len(groups), dtype=np.int32)
    group_id = rows.column("group_id").take(pa.array(any_row[sessions["group"]]))
    made: dict[str, pa.Array] = {"group_id": group_id, "session_id": _session_ids(group_id, sessions)}
    made |= {name: _take(rows, name, texts[place]) for name, place in _TEXTS.items()}
    made |= {name: _known(sessions[name]) for name in (*PLAIN, *CONCLUDED) if name not in made}
    made |= {name: _moments(sessions[field]) for name, field in _TIMES.items()}
    made["start_date"] = pa.array((sessions["first_ms"] // _DAY_MS).astype(np.int32)).cast(pa.date32())
    made["end_reason"] = pa.array(END_REASONS).take(pa.array(sessions["ended_by"]))
    made["minutes"] = _minutes(rows, folded)
    schema = arrow_schema(SESSIONS.columns)
    return pa.record_batch([made[field.name].cast(field.type) for field in schema], schema=schema)


def _session_ids(group_id: pa.Array, sessions: npt.NDArray[Any]) -> pa.Array:
    if not sessions["is_derived_id"].any():
        return group_id
    names = group_id.to_pylist()
    for s in np.flatnonzero(sessions["is_derived_id"]):
        names[s] = derived_id(names[s], int(sessions["first_ms"][s]))
    return pa.array(names, pa.string())


def _minutes(rows: pa.RecordBatch, folded: Folded) -> pa.Array:
    numbers, places = np.ascontiguousarray(folded.minutes.T), np.ascontiguousarray(folded.dimensions.T)
    fields: dict[str, pa.Array] = {"minute": _moments(numbers[MINUTE] * MINUTE_MS)}
    fields |= {name: _take(rows, name, places[place]) for place, name in enumerate(DIMENSIONS)}
    fields |= {part: pa.array(numbers[FIRST_PART + place]) for part, place in PART.items()}
    fields["startup_bucket"] = pa.array(numbers[BUCKET].astype(np.int32), mask=numbers[BUCKET] < 0)
    until = np.concatenate(([0], folded.minutes_until)).astype(np.int32)
    structs = pa.StructArray.from_arrays([fields[name] for name in MINUTE_FIELDS], list(MINUTE_FIELDS))
    return pa.ListArray.from_arrays(pa.array(until), structs)


def _take(rows: pa.RecordBatch, name: str, places: npt.NDArray[np.int32]) -> pa.Array:
    """The column's values at these places; null at -1."""
    column = rows.column(name)
    if column.null_count == len(column):
        return pa.nulls(len(places), column.type)
    return column.take(pa.array(places, mask=places < 0))


def _known(numbers: npt.NDArray[Any]) -> pa.Array:
    return pa.array(numbers, mask=numbers == ABSENT if numbers.dtype == np.int64 else None)


def _moments(times_ms: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(times_ms * 1000).cast(pa.timestamp("us", tz="UTC"))
