"""Playback records, decoded as columns (`schemas/columnar`), as events of the live fold: all by compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from infra.compiled import compiled
from schemas.columnar.columns import Columns, Text
from schemas.columnar.decoder import ColumnDecoder
from schemas.quality import DIMENSIONS
from schemas.registry import PLAYBACK
from schemas.session_state import ABSENT
from streams.live.events import (
    BUCKETS,
    DERIVED_1,
    DERIVED_2,
    EVENT,
    EVENT_ID,
    GROUP_1,
    GROUP_2,
    LIVE_EVENT,
    REJECTED,
    bucket_at,
    partition_at,
)
from streams.live.hashing import hash_text
from streams.live.names import Names
from streams.live.place import Place

_WANTED = frozenset(
    {
        "event_id", "session_id", "user_id", *DIMENSIONS, "seq", "position_ms", "bitrate_kbps", "dropped_frames",
        "live_latency_ms", "playback_rate", "fatal", "error_category",
    }
)  # fmt: skip


class Prepared(NamedTuple):
    """Decoded records of one partition."""

    columns: Columns
    offsets: npt.NDArray[np.int64]
    received_ms: npt.NDArray[np.int64]


class Texts(NamedTuple):
    """Where the texts lie that say whose event it is."""

    key: Text
    event_id: Text
    session_id: Text
    user_id: Text
    device_type: Text
    content_id: Text


@cache
def _decoder() -> ColumnDecoder:
    return ColumnDecoder(PLAYBACK, _WANTED)


def prepare_playback(messages: Sequence[Any]) -> Prepared:
    """Decode the values of `confluent_kafka.Message`s."""
    count = len(messages)
    received_ms = np.fromiter((message.timestamp()[1] for message in messages), np.int64, count)
    columns = _decoder().decode([message.value() for message in messages], received_ms)
    return Prepared(columns, _offsets(messages), received_ms)


def _offsets(messages: Sequence[Any]) -> npt.NDArray[np.int64]:
    if not messages:
        return np.empty(0, np.int64)
    first, last = messages[0].offset(), messages[-1].offset()
    if last - first + 1 == len(messages):
        return np.arange(first, last + 1, dtype=np.int64)
    return np.fromiter((message.offset() for message in messages), np.int64, len(messages))


def events_of_columns(prepared: Prepared, names: Names, place: Place) -> npt.NDArray[Any]:
    """The records as events, in their order."""
    columns = prepared.columns
    count = len(columns)
    events = np.zeros(count, LIVE_EVENT)
    events["received_ms"] = prepared.received_ms
    events["offset"] = prepared.offsets
    events["kind"] = columns.kind
    events["at_ms"] = columns.occurred_us // 1000
    for name in ("seq", "position_ms", "bitrate_kbps", "dropped_frames", "live_latency_ms"):
        values, present = columns.integer(name)
        events[name] = np.where(present, values, ABSENT)
    rate, is_told = columns.number("playback_rate")
    events["playback_rate"] = np.where(is_told, rate, np.nan)
    events["fatal"] = columns.flag("fatal").values
    codes = np.zeros(count, np.int32)
    names.codes(columns.data, *columns.text("error_category"), codes)
    events["is_business"] = codes == names.code("business")
    for at, name in enumerate(DIMENSIONS):
        names.codes(columns.data, *columns.text(name), codes)
        events["names"][:, at] = codes
    texts = Texts(columns.key, *(columns.text(name) for name in Texts._fields[1:]))
    _identify(events, columns.data, texts, place.partition, place.partitions)
    return events


@compiled
def _identify(events: Any, data: Any, texts: Texts, partition: int, partitions: int) -> None:
    """Bucket, group and digest of every event."""
    key, event_id, session = texts.key, texts.event_id, texts.session_id
    for i in range(len(events)):
        event = events[i]
        if event.kind < 0:
            event.fate = REJECTED
            event.bucket = event.offset % BUCKETS
            continue
        event.fate = EVENT
        event.bucket = bucket_at(data, key.start[i], key.size[i])
        event.is_misplaced = partition_at(data, key.start[i], key.size[i], partitions) != partition
        event.digest = hash_text(data, event_id.start[i], event_id.size[i], EVENT_ID)
        if session.size[i] > 0:
            event.group_1 = hash_text(data, session.start[i], session.size[i], GROUP_1)
            event.group_2 = hash_text(data, session.start[i], session.size[i], GROUP_2)
        else:
            event.is_derived = True
            event.group_1 = _derived(data, texts, i, DERIVED_1)
            event.group_2 = _derived(data, texts, i, DERIVED_2)


@compiled
def _derived(data: Any, texts: Texts, i: int, seed: int) -> Any:
    h = np.uint64(0)
    for text in (texts.user_id, texts.device_type, texts.content_id):
        digest = np.uint64(0)
        if text.size[i] >= 0:
            digest = hash_text(data, text.start[i], text.size[i], seed)
        h = _chain(h, digest)
    return h


@compiled
def _chain(h: Any, digest: Any) -> Any:
    """Hash of a sequence, one digest after the other."""
    return (h ^ digest) * uint64(0x9E3779B185EBCA87) + uint64(1)
