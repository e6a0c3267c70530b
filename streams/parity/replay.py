"""Both folds once more, from the records that bronze holds: what live must have said, and what batch must say.

Nothing here looks at a published number. `live_pieces` folds the records of one group as the stream worker does: in the
order of the partition, with its clock, its memory of ids, its waiting for what was overtaken.
`batch_minutes` folds them as the silver job does: each once, in the order in which they happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.cmcd.order import LiveStream, translate
from schemas.cmcd.report import Report
from schemas.quality import MINUTE_MS, MinuteParts
from schemas.reorder import Waiting, is_ahead
from schemas.session import begin, belongs
from schemas.session_state import ABSENT, Fact, SessionState
from schemas.sessionize import Pieces, fold, no_pieces, open_session, sessionize
from streams.live.partition import Rules
from streams.live.sessions import RECENT


class Place(NamedTuple):
    """A partition of a topic that sessions are made of."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A row of bronze: a playback event, or a player's report."""

    place: Place
    offset: int
    group_id: str
    told: Fact | Report

    @property
    def event_id(self) -> tuple[str, str]:
        """Silver tells ids apart by topic."""
        return self.place.topic, self.told.event_id

    @property
    def receipt(self) -> tuple[int, int, int]:
        """Of copies the one with the lowest is the event."""
        return self.told.received_ms, self.place.partition, self.offset


@dataclass(frozen=True)
class Clock:
    """A partition's received clock: the records at `offsets`, dead letters too, move it on to `stamps` (ms, rising)."""

    offsets: npt.NDArray[np.int64]
    stamps: npt.NDArray[np.int64]

    def at(self, offset: int) -> int:
        """After the record at `offset`, which is not before the first of `offsets`."""
        return int(self.stamps[np.searchsorted(self.offsets, offset, "right") - 1])

    def before(self, offset: int) -> int:
        """Before the record at `offset`, which is behind the first of `offsets`."""
        return int(self.stamps[np.searchsorted(self.offsets, offset, "left") - 1])

    def reaches(self, stamp_ms: int, after: int) -> int | None:
        """Offset of the record behind `after` that moves the clock to `stamp_ms` or further; None: none yet."""
        place = int(np.searchsorted(self.stamps, max(stamp_ms, self.at(after) + 1), "left"))
        return int(self.offsets[place]) if place < len(self.offsets) else None


class Piece(NamedTuple):
    """What the record at `offset` added to a minute, live. `is_late`: the minute was frozen, so nothing was added."""

    offset: int
    is_late: bool
    parts: MinuteParts


@dataclass
class LiveGroup:
    """The live fold of one group of one partition."""

    clock: Clock
    rules: Rules
    sessions: int = 0
    """How many sessions it opened."""
    _state: SessionState | None = None
    _recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    _waiting: Waiting = field(default_factory=Waiting)
    """The group's events."""
    _stream: LiveStream | None = None
    """The group's reports; one of them: a report's key is its session."""
    _heard: int = 0
    """Offset of the newest report that was taken, or of the record that released one."""
    _pieces: Pieces = field(default_factory=list)

    def pieces(self, records: Sequence[Record]) -> Iterator[Piece]:
        """Of the group's records, in the order of their offsets."""
        self._pieces = no_pieces(self.rules.timeout_ms)
        for record in records:
            yield from self._release(record.offset)
            if isinstance(record.told, Fact):
                yield from self._take(record.told, record.offset)
            else:
                yield from self._report(record, record.told)
        yield from self._release(None)

    def _take(self, fact: Fact, offset: int) -> Iterator[Piece]:
        """An event, and what waited for it; unless it has to wait."""
        clock_ms = self.clock.at(offset)
        state = self._session_of(fact, clock_ms)
        given_up = ABSENT
        if fact.session_id and fact.seq is not None and is_ahead(state, fact.seq):
            state.last_received_ms = max(state.last_received_ms, fact.received_ms)
            given_up = self._waiting.hold(fact, offset, clock_ms)
        else:
            yield from self._fold(state, fact, offset, clock_ms)
        yield from self._drain(state, given_up, offset, clock_ms)

    def _drain(self, state: SessionState, given_up: int, offset: int, clock_ms: int) -> Iterator[Piece]:
        while (fact := self._waiting.next(state, given_up)) is not None:
            yield from self._fold(state, fact, offset, clock_ms)

    def _session_of(self, fact: Fact, clock_ms: int) -> SessionState:
        timeout_ms = self.rules.timeout_ms
        state = self._state
        is_over = state is None or (clock_ms - state.last_received_ms > timeout_ms and not self._waiting)
        if state is None or is_over or not belongs(state, fact.at_ms, timeout_ms):
            state = self._state = open_session(fact)
            self._recent.clear()
            self.sessions += 1
        return state

    def _fold(self, state: SessionState, fact: Fact, offset: int, clock_ms: int) -> Iterator[Piece]:
        if fact.event_id in self._recent:
            return
        self._recent.append(fact.event_id)
        if state.event_count == 0:  # the one that opened the session may wait
            begin(state, fact)
        open_ms = max(0, clock_ms - self.rules.freeze_after_ms) // MINUTE_MS * MINUTE_MS
        for parts in fold(state, fact, self.rules.timeout_ms, self._pieces):
            yield Piece(offset, parts.minute_ms < open_ms, parts)

    def _report(self, record: Record, report: Report) -> Iterator[Piece]:
        stream = self._stream
        if stream is None or stream.is_over(self.clock.at(record.offset), self.rules.timeout_ms):
            stream = self._stream = LiveStream.begin(report)
        stream.last_received_ms = max(stream.last_received_ms, report.received_ms)
        if not stream.tells(report) or stream.fate(report) != "new":
            return
        self._heard = record.offset
        yield from self._told(stream.take(report, self.clock.at(record.offset)), record.offset)

    def _told(self, taken: Iterable[tuple[Report, list[Fact]]], offset: int) -> Iterator[Piece]:
        clock_ms = self.clock.at(offset)
        for _, facts in taken:
            for fact in facts:
                yield from self._fold(self._session_of(fact, clock_ms), fact, offset, clock_ms)

    def _release(self, before: int | None) -> Iterator[Piece]:
        """What was waited for long enough when the record at `before` came (None: when the last one did)."""
        while (oldest := self._waiting.oldest) is not None and self._state is not None:
            offset = self.clock.reaches(oldest.until_ms, oldest.offset)
            if offset is None or (before is not None and offset > before):
                break
            yield from self._drain(self._state, oldest.seq, offset, self.clock.before(offset))
        while (stream := self._stream) is not None and (deadline := stream.deadline_ms) is not None:
            offset = self.clock.reaches(deadline, self._heard)
            if offset is None or (before is not None and offset > before):
                return
            self._heard = offset
            yield from self._told(stream.release(self.clock.at(offset)), offset)


def batch_minutes(records: Collection[Record], timeout_ms: int) -> Iterator[MinuteParts]:
    """What the sessions of one group add to which minutes, in hindsight. `records`: each event once."""
    facts = [record.told for record in records if isinstance(record.told, Fact)]
    reports = [record.told for record in records if isinstance(record.told, Report)]
    for _, minutes in sessionize([*facts, *translate(reports).facts], timeout_ms):
        yield from minutes
