"""The topics that live sessions are made of, and how each one's records become facts.

A playback event is one fact. Players' reports come in any order, and it takes several to know what happened: the state
of their translation lies in the bucket, beside the session that it tells.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from schemas.cmcd.order import LiveStream
from schemas.cmcd.report import Report, report_of
from schemas.fact import fact_of
from schemas.registry import CMCD, CMCD_STREAM_STATE, PLAYBACK, STREAM_STATE
from schemas.session_state import Fact
from schemas.topic import EventTopic, Topic
from streams.buckets import Bucket


class Taken(NamedTuple):
    """One record whose turn it is. `repeated`: it was taken before; `late`: it is no longer waited for."""

    fate: Literal["new", "repeated", "late"]
    at_ms: int
    session_id: str | None
    facts: Sequence[Fact]


class Reader(Protocol):
    """Reads the records of one partition. All that it must not forget lies in the buckets."""

    def read(self, bucket: Bucket, raw: bytes, event: Any, stamp_ms: int) -> Sequence[Taken]:
        """What a record brings: itself, if it need not wait, and those that waited for it."""

    def due(self, clock_ms: int) -> Iterable[tuple[int, Sequence[Taken]]]:
        """Bucket number and records that have waited long enough, as of the received clock."""

    def forget(self, bucket: Bucket, before_ms: int) -> bool:
        """Drop what has not been heard from since; whether anything was dropped."""


@dataclass(frozen=True, eq=False)
class Source:
    """A topic, and the worker that folds it."""

    name: str
    """On the command line."""
    topic: EventTopic
    state: Topic
    reader: Callable[[Sequence[Bucket]], Reader]

    @property
    def app_id(self) -> str:
        """Of the Faust app: its table is named `buckets`."""
        return self.state.name.removesuffix("-buckets-changelog")


class PlaybackReader:
    """Events in, a fact each out, at once."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        """Keeps nothing."""

    def read(self, bucket: Bucket, raw: bytes, event: Any, stamp_ms: int) -> Sequence[Taken]:
        fact = fact_of(raw, event, stamp_ms)
        return (Taken("new", fact.at_ms, fact.session_id, (fact,)),)

    def due(self, clock_ms: int) -> Iterable[tuple[int, Sequence[Taken]]]:
        return ()

    def forget(self, bucket: Bucket, before_ms: int) -> bool:
        return False


class CmcdReader:
    """Reports in, facts out in the order of the reports' numbers."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self._buckets = buckets
        self._numbers = {id(bucket): number for number, bucket in enumerate(buckets)}
        self._waiting: list[tuple[int, int, str]] = []
        """Heap of (deadline, bucket, session)."""
        for bucket in buckets:
            for session_id, stream in bucket.streams.items():
                self._wait(bucket, session_id, stream)

    def read(self, bucket: Bucket, raw: bytes, event: Any, stamp_ms: int) -> Sequence[Taken]:
        report = report_of(raw, event, stamp_ms)
        stream = bucket.streams.get(report.session_id)
        if stream is None:
            stream = bucket.streams[report.session_id] = LiveStream.begin(report)
        stream.last_received_ms = max(stream.last_received_ms, stamp_ms)
        if not stream.tells(report):
            return (Taken("new", report.at_ms, report.session_id, ()),)  # another target of the page
        fate = stream.fate(report)
        if fate != "new":
            return (Taken(fate, report.at_ms, report.session_id, ()),)
        taken = _taken(stream.take(report))
        self._wait(bucket, report.session_id, stream)
        return taken

    def due(self, clock_ms: int) -> Iterator[tuple[int, Sequence[Taken]]]:
        while self._waiting and self._waiting[0][0] <= clock_ms:
            _, number, session_id = heapq.heappop(self._waiting)
            bucket = self._buckets[number]
            if (stream := bucket.streams.get(session_id)) and (released := stream.release(clock_ms)):
                yield number, _taken(released)
                self._wait(bucket, session_id, stream)

    def forget(self, bucket: Bucket, before_ms: int) -> bool:
        over = [name for name, stream in bucket.streams.items() if stream.last_received_ms < before_ms]
        for name in over:
            del bucket.streams[name]
        return bool(over)

    def _wait(self, bucket: Bucket, session_id: str, stream: LiveStream) -> None:
        if (deadline := stream.deadline_ms) is not None:
            heapq.heappush(self._waiting, (deadline, self._numbers[id(bucket)], session_id))


def _taken(done: Iterable[tuple[Report, list[Fact]]]) -> list[Taken]:
    return [Taken("new", report.at_ms, report.session_id, facts) for report, facts in done]


PLAYBACK_SOURCE = Source("playback", PLAYBACK, STREAM_STATE, PlaybackReader)
CMCD_SOURCE = Source("cmcd", CMCD, CMCD_STREAM_STATE, CmcdReader)
SOURCES = {source.name: source for source in (PLAYBACK_SOURCE, CMCD_SOURCE)}
