"""The stream's state as records of a changelog: sessions by bucket, minutes, totals, and the position of a partition.

A key has the source partition in front: `3/17` is bucket 17 of partition 3, `3/minute/29475151`, `3/totals`,
`3/position`. A value begins with the source offset that it holds everything before (big-endian), the rest is msgpack,
compressed. Arrays carry the description of their fields, so that a later version reads what an earlier one wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard
from faust import stores
from faust.stores.memory import Store

from infra.errors import PositionRefused
from schemas.cmcd.order import LiveStream
from schemas.quality import PARTS
from streams.live.events import LIVE_EVENT
from streams.live.minutes import ROW
from streams.live.names import Names
from streams.live.sessions import empty_session

if TYPE_CHECKING:
    from streams.sources import Source

STATE_VERSION: Final = 2
"""Of the meaning of state. New fields need no new version: they begin with their default."""
_THROUGH_BYTES = 8


class Array(msgspec.Struct, array_like=True):
    """A numpy array of records, and the texts that its `names` stand for."""

    fields: list[Any]
    data: bytes
    names: dict[int, str]


class BucketRecord(msgspec.Struct, array_like=True):
    """The sessions of a bucket. New fields go to the end, with a default; so in all records here."""

    version: int
    sessions: Array
    streams: dict[str, LiveStream] = {}
    """Session → the stream of reports that tells it; of players' reports only."""
    held: Array | None = None
    """Events that wait for an earlier one of their session; of playback events only."""


class MinuteRecord(msgspec.Struct, array_like=True):
    """The rows of a minute."""

    version: int
    minute: int
    rows: Array
    parts: list[str]
    """What the elements of `parts` in a row are."""


class TotalsRecord(msgspec.Struct, array_like=True):
    """Counts and sums since the topic's beginning."""

    version: int
    counts: dict[str, int]
    sums: dict[str, int]


class Position(msgspec.Struct, array_like=True):
    """Where to go on in a source partition: what is before `offset` is in the other records."""

    version: int
    topic_id: str
    partitions: int
    offset: int
    clock_ms: int
    """Highest broker stamp before `offset`: the partition's received clock."""


Record = BucketRecord | MinuteRecord | TotalsRecord | Position
R = TypeVar("R", BucketRecord, MinuteRecord, TotalsRecord, Position)


def bucket_key(partition: int, bucket: int) -> bytes:
    return b"%d/%d" % (partition, bucket)


def minute_key(partition: int, minute: int) -> bytes:
    return b"%d/minute/%d" % (partition, minute)


def totals_key(partition: int) -> bytes:
    return b"%d/totals" % partition


def position_key(partition: int) -> bytes:
    return b"%d/position" % partition


_encode = msgspec.msgpack.Encoder().encode


def pack(record: Record, through: int) -> bytes:
    """A value of the changelog. `through`: the record holds everything before this source offset."""
    return through.to_bytes(_THROUGH_BYTES, "big") + zstandard.compress(_encode(record), 1)


def through_of(value: bytes) -> int:
    """The source offset that a value holds everything before."""
    return int.from_bytes(value[:_THROUGH_BYTES], "big")


def unpack(kind: type[R], value: bytes) -> R:
    """A stored record. Raises PositionRefused for state of a version that this worker does not read."""
    try:
        raw = zstandard.decompress(value[_THROUGH_BYTES:])
    except zstandard.ZstdError:
        raise PositionRefused(_other_version("1")) from None
    (version, *_) = msgspec.msgpack.decode(raw, type=list[Any])
    if version != STATE_VERSION:
        raise PositionRefused(_other_version(str(version)))
    return msgspec.msgpack.decode(raw, type=kind)


def _other_version(found: str) -> str:
    return (
        f"the stream's state has version {found}, this worker reads {STATE_VERSION}. Stop it and delete the state "
        "topic: it is then made anew from the events that Kafka still has (live numbers of older minutes stay)"
    )


def to_array(records: npt.NDArray[Any], names: Names) -> Array:
    """Records with a field `names`, ready to be stored."""
    codes = np.unique(records["names"]).tolist()
    texts = {code: text for code in codes if (text := names.text(code)) is not None}
    fields = [[name, *_format(records.dtype[name])] for name in records.dtype.names or ()]
    return Array(fields, records.tobytes(), texts)


def from_array(array: Array, empty: npt.NDArray[Any], names: Names) -> npt.NDArray[Any]:
    """Stored records as today's, their names under the codes of `names`. Fields that were not known begin as in
    `empty`, fields that are known no longer go."""
    stored = _stored(array)
    records = np.repeat(empty, len(stored))
    for name in records.dtype.names or ():
        if name in (stored.dtype.names or ()) and stored.dtype[name].shape == records.dtype[name].shape:
            records[name] = stored[name]
    new = np.zeros(max(array.names, default=0) + 1, np.int32)
    for code, text in array.names.items():
        new[code] = names.code(text)
    records["names"] = new[records["names"]]
    return records


def _stored(array: Array) -> npt.NDArray[Any]:
    return np.frombuffer(array.data, np.dtype([(name, form, tuple(shape)) for name, form, shape in array.fields]))


def _format(kind: np.dtype[Any]) -> tuple[str, list[int]]:
    return kind.base.str, list(kind.shape)


def sessions_of(record: BucketRecord, names: Names) -> npt.NDArray[Any]:
    """The sessions of a stored bucket."""
    return from_array(record.sessions, empty_session(), names)


def held_of(record: BucketRecord, names: Names) -> npt.NDArray[Any]:
    """The events of a stored bucket that wait."""
    return from_array(record.held, np.zeros(1, LIVE_EVENT), names) if record.held else np.empty(0, LIVE_EVENT)


def rows_of(record: MinuteRecord, names: Names) -> npt.NDArray[Any]:
    """The rows of a stored minute, their parts in today's order."""
    empty = np.zeros(1, ROW)
    rows = from_array(record.rows, empty, names)
    if record.parts != list(PARTS):
        stored = _stored(record.rows)["parts"]
        for place, part in enumerate(PARTS):
            rows["parts"][:, place] = stored[:, record.parts.index(part)] if part in record.parts else 0
    return rows


def check_source(position: Position, source: Source, topic_id: str, partitions: int) -> None:
    """Raise PositionRefused when the topic is not the one that the state was made from."""
    topic, state = source.topic.name, source.state.name
    if position.topic_id != topic_id:
        msg = (
            f"topic {topic} was recreated: the stream's state belongs to topic id {position.topic_id}, "
            f"now it is {topic_id}, and its offsets mean other records. To start anew, delete the topic {state}."
        )
        raise PositionRefused(msg)
    if position.partitions != partitions:
        msg = (
            f"topic {topic} has {partitions} partitions, the stream's state was made with {position.partitions}: keys "
            f"are in other partitions than their state. To start anew, delete the topic {state}."
        )
        raise PositionRefused(msg)


class NewestRecordStore(Store):  # type: ignore[type-arg]
    """In-memory store that keeps, of two records with one key, that with the higher source offset.

    The later record of the changelog is not always the newer state: a worker that was stopped, replaced and continued
    (a zombie) may write an old record after its successor wrote a newer one.
    """

    def apply_changelog_batch(
        self, batch: Iterable[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Apply recovered records. Of positions too the highest counts: its buckets were written before it."""
        for event in batch:
            key, value = event.message.key, event.message.value
            if value is None:
                self.data.pop(key, None)
                continue
            self._key_partition[key] = event.message.partition
            known = self.data.get(key)
            # Of two with one offset the later counts: in between a session went, or a report was no longer waited for.
            if known is None or known[:_THROUGH_BYTES] <= value[:_THROUGH_BYTES]:
                self.data[key] = value


stores.STORES.aliases["newest-record"] = f"{__name__}:NewestRecordStore"


def minutes_in(stored: Mapping[bytes, bytes], partition: int) -> list[bytes]:
    """Keys of the stored minutes of a partition."""
    prefix = b"%d/minute/" % partition
    return [key for key in stored if key.startswith(prefix)]
