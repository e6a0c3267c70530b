"""The topics that live sessions are made of, and how each one's records become events of the live fold.

`prepare` runs where records are fetched, beside the fold; it knows no state. A `Reader` belongs to one partition. A
playback event is one event of the fold. Players' reports come in any order, and it takes several to know what happened:
the state of their translation is kept with the bucket that the session is in.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from infra.errors import ContractError
from schemas.cmcd.order import LiveStream
from schemas.cmcd.report import Report, report_of
from schemas.registry import CMCD, CMCD_STREAM_STATE, PLAYBACK, STREAM_STATE
from schemas.session_state import Fact
from schemas.topic import EventTopic, Topic
from streams.live.columns import Prepared, events_of, prepare_playback
from streams.live.events import (
    ARRIVED,
    BUCKETS,
    COUNTED,
    LATE,
    REJECTED,
    RELEASED,
    REPEATED,
    EventList,
    bucket_of,
    partition_of,
)
from streams.live.names import Names
from streams.live.place import Place

Streams = list[dict[str, LiveStream]]
"""By bucket: session → the stream of reports that tells it."""


class Record(Protocol):
    """What is needed of a Kafka record (`confluent_kafka.Message` is one)."""

    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def value(self) -> bytes | None: ...


class Reader(Protocol):
    """Reads the records of one partition. All that it must not forget is in `streams`."""

    def events(self, prepared: Any, clock_ms: int) -> npt.NDArray[Any]:
        """What the records bring, in their order: `streams.live.events.LIVE_EVENT`.

        clock_ms   the partition's received clock before them
        """

    def forget(self, bucket: int, clock_ms: int) -> bool:
        """Drop what was silent for the time-out; whether anything was dropped."""


@dataclass(frozen=True, eq=False)
class Source:
    """A topic, and the worker that folds it."""

    name: str
    """On the command line."""
    topic: EventTopic
    state: Topic
    prepare: Callable[[Sequence[Any]], Any]
    """Of consecutive records of a partition."""
    reader: Callable[[Place, Names, Streams, npt.NDArray[np.int64], int], Reader]
    """Of the partition, its names, the streams of reports by bucket, up to which offset each bucket holds all, and the
    time-out of sessions, ms."""

    @property
    def app_id(self) -> str:
        """Of the Faust app: its table is named `buckets`."""
        return self.state.name.removesuffix("-buckets-changelog")


class PlaybackReader:
    """Events in, an event each out, at once."""

    def __init__(
        self, place: Place, names: Names, streams: Streams, through: npt.NDArray[np.int64], timeout_ms: int
    ) -> None:
        self._place = place
        self._names = names

    def events(self, prepared: Prepared, clock_ms: int) -> npt.NDArray[Any]:
        return events_of(prepared, self._names, self._place)

    def forget(self, bucket: int, clock_ms: int) -> bool:
        return False


class CmcdReader:
    """Reports in, facts out in the order of the reports' numbers."""

    def __init__(
        self, place: Place, names: Names, streams: Streams, through: npt.NDArray[np.int64], timeout_ms: int
    ) -> None:
        self._place = place
        self._names = names
        self._streams = streams
        self._through = through
        self._timeout_ms = timeout_ms
        self._clock_ms = 0
        self._waiting: list[tuple[int, int, str]] = []
        """Heap of (deadline, bucket, session)."""
        for bucket, of_bucket in enumerate(streams):
            for session_id, stream in of_bucket.items():
                self._wait(bucket, session_id, stream)

    def events(self, prepared: Iterable[Record], clock_ms: int) -> npt.NDArray[Any]:
        out = EventList(self._names)
        self._clock_ms = clock_ms
        for record in prepared:
            stamp_ms, offset = record.timestamp()[1], record.offset() or 0
            if stamp_ms > self._clock_ms:
                self._clock_ms = stamp_ms
                self._release(out, offset, stamp_ms)
            self._read(out, record, offset, stamp_ms)
        return out.array()

    def forget(self, bucket: int, clock_ms: int) -> bool:
        streams = self._streams[bucket]
        over = [name for name, stream in streams.items() if stream.is_over(clock_ms, self._timeout_ms)]
        for name in over:
            del streams[name]
        return bool(over)

    def _read(self, out: EventList, record: Record, offset: int, stamp_ms: int) -> None:
        raw = record.value()
        try:
            event = CMCD.decode(raw)
        except ContractError:
            out.tell(REJECTED, offset, offset % BUCKETS, stamp_ms)
            return
        key = event.key.encode()
        bucket = bucket_of(key)
        if offset < self._through[bucket]:
            out.tell(ARRIVED, offset, bucket, stamp_ms)  # moves the clock; what the bucket holds is left out
            return
        report = report_of(raw or b"", event, stamp_ms)
        streams = self._streams[bucket]
        stream = streams.get(report.session_id)
        # The time-out is the clock's, not that of `forget`, which comes when the bucket is written.
        if stream is None or stream.is_over(self._clock_ms, self._timeout_ms):
            stream = streams[report.session_id] = LiveStream.begin(report)
        stream.last_received_ms = max(stream.last_received_ms, stamp_ms)
        is_misplaced = partition_of(key, self._place.partitions) != self._place.partition
        if not stream.tells(report):  # another target of the page
            out.tell(ARRIVED, offset, bucket, stamp_ms, seq=0, is_misplaced=is_misplaced)
            out.tell(COUNTED, offset, bucket, stamp_ms, at_ms=report.at_ms)
            return
        if (fate := stream.fate(report)) != "new":
            out.tell(ARRIVED, offset, bucket, stamp_ms, seq=0, is_misplaced=is_misplaced)
            told = REPEATED if fate == "repeated" else LATE
            out.tell(told, offset, bucket, stamp_ms, at_ms=report.at_ms, session_id=report.session_id)
            return
        taken = stream.take(report, self._clock_ms)
        out.tell(ARRIVED, offset, bucket, stamp_ms, seq=1 - len(taken), is_misplaced=is_misplaced)
        self._take(out, offset, bucket, stamp_ms, taken)
        self._wait(bucket, report.session_id, stream)

    def _release(self, out: EventList, offset: int, clock_ms: int) -> None:
        """Records that have waited long enough, as of the received clock."""
        while self._waiting and self._waiting[0][0] <= clock_ms:
            _, bucket, session_id = heapq.heappop(self._waiting)
            stream = self._streams[bucket].get(session_id)
            if stream and (released := stream.release(clock_ms)):
                out.tell(RELEASED, offset, bucket, clock_ms, seq=-len(released))
                self._take(out, offset, bucket, clock_ms, released)
                self._wait(bucket, session_id, stream)

    def _take(
        self, out: EventList, offset: int, bucket: int, clock_ms: int, taken: Iterable[tuple[Report, list[Fact]]]
    ) -> None:
        for report, facts in taken:
            for fact in facts:
                out.fold(fact, offset, bucket)
            out.tell(COUNTED, offset, bucket, clock_ms, at_ms=report.at_ms)

    def _wait(self, bucket: int, session_id: str, stream: LiveStream) -> None:
        if (deadline := stream.deadline_ms) is not None:
            heapq.heappush(self._waiting, (deadline, bucket, session_id))


PLAYBACK_SOURCE = Source("playback", PLAYBACK, STREAM_STATE, prepare_playback, PlaybackReader)
CMCD_SOURCE = Source("cmcd", CMCD, CMCD_STREAM_STATE, list, CmcdReader)
SOURCES = {source.name: source for source in (PLAYBACK_SOURCE, CMCD_SOURCE)}
