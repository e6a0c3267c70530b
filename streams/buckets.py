"""State of the stream worker: sessions in buckets, in a Faust table whose changelog is the only copy that counts.

A source partition has BUCKETS buckets; a viewer's key picks one. A bucket's record holds its sessions, its share of the
open minutes, its counts *and the last applied source offset*: state and position are one record, so after a crash a
replay skips what a bucket has already applied. One more record a partition, the position, says where to start reading;
it is written after the buckets it speaks for.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from faust import stores
from faust.stores.memory import Store

from infra.errors import PositionRefused
from schemas.cmcd.order import LiveStream
from schemas.quality import PARTS
from schemas.session_state import STATE_VERSION, SessionState
from streams.rollups import Share

if TYPE_CHECKING:
    from streams.sources import Source

BUCKETS = 64
"""Per source partition. Fixed: a key must stay in its bucket. Bounds the size of a record and of a flush."""

_ORDER_BYTES = 8


class Counts(msgspec.Struct, array_like=True):
    """What became of a bucket's records since the topic's beginning: applied is the sum of the next four and held."""

    applied: int = 0
    counted: int = 0
    """Events that live minutes hold."""
    late: int = 0
    """Events whose minute was frozen."""
    duplicates: int = 0
    """Events that a client sent again."""
    rejected: int = 0
    """Records that broke their contract; the sink dead-letters them."""
    misplaced: int = 0
    """Records (among the applied) whose Kafka key is not the event's key."""
    held: int = 0
    """Reports that wait for an earlier one: applied, and none of the other four yet."""


class Bucket(msgspec.Struct, array_like=True):
    """One record of state."""

    version: int
    topic_id: str
    offset: int = -1
    """Last applied source offset."""
    sessions: dict[str, SessionState] = {}
    share: Share = {}
    counts: Counts = msgspec.field(default_factory=Counts)
    sums: list[int] = msgspec.field(default_factory=lambda: [0] * len(PARTS))
    """PARTS of all counted events since the topic's beginning: their differences are rates by the second."""
    streams: dict[str, LiveStream] = {}
    """Session → the stream of reports that tells it; of players' reports only."""


class Position(msgspec.Struct, array_like=True):
    """Where to go on in a source partition. Every bucket has applied all of its records before `offset`."""

    version: int
    topic_id: str
    partitions: int
    offset: int
    clock_ms: int
    """Highest broker stamp before `offset`: the partition's received clock."""


def bucket_of(key: str) -> int:
    """The bucket of a viewer within its partition."""
    return zlib.crc32(key.encode()) % BUCKETS


def bucket_key(partition: int, bucket: int) -> bytes:
    return b"%d/%d" % (partition, bucket)


def position_key(partition: int) -> bytes:
    return b"%d/position" % partition


_encode = msgspec.msgpack.Encoder().encode
_decode_bucket = msgspec.msgpack.Decoder(Bucket).decode
_decode_position = msgspec.msgpack.Decoder(Position).decode


def pack(record: Bucket | Position) -> bytes:
    """A record of the changelog: its source offset, big-endian, then msgpack."""
    return (record.offset + 1).to_bytes(_ORDER_BYTES, "big") + _encode(record)


def unpack_bucket(value: bytes | None, topic_id: str) -> Bucket:
    """A stored bucket, or an empty one."""
    if value is None:
        return Bucket(STATE_VERSION, topic_id)
    bucket = _decode_bucket(value[_ORDER_BYTES:])
    _check_version(bucket.version)
    return bucket


def unpack_position(value: bytes | None) -> Position | None:
    """A stored position, or None for a partition that was never flushed."""
    if value is None:
        return None
    position = _decode_position(value[_ORDER_BYTES:])
    _check_version(position.version)
    return position


def _check_version(version: int) -> None:
    if version != STATE_VERSION:
        msg = f"the stream's state has version {version}, this worker reads {STATE_VERSION}: run the one that wrote it"
        raise PositionRefused(msg)


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


class NewestBucketStore(Store):  # type: ignore[type-arg]
    """In-memory store that keeps, of two records with one key, that with the higher source offset.

    The later record of the changelog is not always the newer state: a worker that was stopped, replaced and continued
    (a zombie) may write an old bucket after its successor wrote a newer one.
    """

    def apply_changelog_batch(
        self, batch: Iterable[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Apply recovered records. Of positions too the highest counts: its buckets were written before it."""
        for event in batch:
            key, value = event.message.key, event.message.value
            if value is None:
                continue
            self._key_partition[key] = event.message.partition
            known = self.data.get(key)
            # Of two with one offset the later counts: in between a session went, or a report was no longer waited for.
            if known is None or known[:_ORDER_BYTES] <= value[:_ORDER_BYTES]:
                self.data[key] = value


stores.STORES.aliases["newest-bucket"] = f"{__name__}:NewestBucketStore"
