"""Playback records, decoded as columns (`schemas/columnar`), as events of the live fold: all by compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from infra.compiled import compiled
from schemas.columnar.columns import Text
from schemas.columnar.decoder import ColumnDecoder
from schemas.quality import DIMENSIONS
from schemas.registry import PLAYBACK
from schemas.session_state import ABSENT
from streams.live.events import (
    BUCKETS,
    CATEGORY,
    DERIVED_1,
    DERIVED_2,
    EVENT,
    EVENT_ID,
    GROUP_1,
    GROUP_2,
    LIVE_EVENT,
    REJECTED,
    bucket_at,
    digest_of,
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


_BUSINESS = digest_of("business", CATEGORY)


class Prepared(NamedTuple):
    """Records of one partition as events, all but what depends on the partition: their names and whose place it is."""

    events: npt.NDArray[Any]
    """`streams.live.events.LIVE_EVENT`."""
    data: npt.NDArray[np.uint8]
    names: Text
    """Where the texts of DIMENSIONS lie in `data`: [len(DIMENSIONS), n]."""
    key: Text


class Texts(NamedTuple):
    """Where the texts lie that say whose event it is, and whose failure."""

    key: Text
    event_id: Text
    session_id: Text
    user_id: Text
    device_type: Text
    content_id: Text
    error_category: Text


@cache
def _decoder() -> ColumnDecoder:
    return ColumnDecoder(PLAYBACK, _WANTED)


def prepare_playback(messages: Sequence[Any]) -> Prepared:
    """Decode `confluent_kafka.Message`s and tell whose event each is: all that needs no state."""
    count = len(messages)
    received_ms = np.fromiter((message.timestamp()[1] for message in messages), np.int64, count)
    columns = _decoder().decode([message.value() for message in messages], received_ms)
    events = np.zeros(count, LIVE_EVENT)
    events["received_ms"] = received_ms
    events["offset"] = _offsets(messages)
    events["kind"] = columns.kind
    events["at_ms"] = columns.occurred_us // 1000
    for name in ("seq", "position_ms", "bitrate_kbps", "dropped_frames", "live_latency_ms"):
        values, present = columns.integer(name)
        events[name] = np.where(present, values, ABSENT)
    rate, is_told = columns.number("playback_rate")
    events["playback_rate"] = np.where(is_told, rate, np.nan)
    events["fatal"] = columns.flag("fatal").values
    _identify(events, columns.data, Texts(columns.key, *(columns.text(name) for name in Texts._fields[1:])))
    texts = [columns.text(name) for name in DIMENSIONS]
    names = Text(np.stack([text.start for text in texts]), np.stack([text.size for text in texts]))
    return Prepared(events, columns.data, names, columns.key)


def _offsets(messages: Sequence[Any]) -> npt.NDArray[np.int64]:
    if not messages:
        return np.empty(0, np.int64)
    first, last = messages[0].offset(), messages[-1].offset()
    if last - first + 1 == len(messages):
        return np.arange(first, last + 1, dtype=np.int64)
    return np.fromiter((message.offset() for message in messages), np.int64, len(messages))


def events_of(prepared: Prepared, names: Names, place: Place) -> npt.NDArray[Any]:
    """The records as events, in their order."""
    events = prepared.events
    names.codes(prepared.data, *prepared.names, events["names"])
    _see_place(events, prepared.data, *prepared.key, place.partition, place.partitions)
    return events


@compiled
def _see_place(events: Any, data: Any, starts: Any, sizes: Any, partition: int, partitions: int) -> None:
    """Whether each is in the partition of its key."""
    for i in range(len(events)):
        if events[i].kind >= 0:
            events[i].is_misplaced = partition_at(data, starts[i], sizes[i], partitions) != partition


@compiled
def _identify(events: Any, data: Any, texts: Texts) -> None:
    """Bucket, group and digest of every event."""
    key, event_id, session, category = texts.key, texts.event_id, texts.session_id, texts.error_category
    for i in range(len(events)):
        event = events[i]
        if event.kind < 0:
            event.fate = REJECTED
            event.bucket = event.offset % BUCKETS
            continue
        event.fate = EVENT
        event.bucket = bucket_at(data, key.start[i], key.size[i])
        event.digest = hash_text(data, event_id.start[i], event_id.size[i], EVENT_ID)
        if category.size[i] > 0:
            event.is_business = hash_text(data, category.start[i], category.size[i], CATEGORY) == _BUSINESS
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
