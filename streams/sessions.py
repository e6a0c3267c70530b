"""One source partition, live: records in, folded sessions, minutes and counts out.

Knows neither Kafka nor Faust nor a clock: `apply` takes records in order, `snapshot` gives what has to be written. Here
a record is decoded as one event object; a columnar form would replace `apply` and leave the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from infra.errors import ContractError, ProcessError
from schemas.quality import PARTS
from schemas.session import belongs, fold, is_repeat, open_session
from schemas.session_state import STATE_VERSION, WATCHING, Fact, SessionState
from streams.buckets import (
    BUCKETS,
    Bucket,
    Counts,
    Position,
    bucket_key,
    bucket_of,
    pack,
    position_key,
    unpack_bucket,
    unpack_position,
)
from streams.rollups import PART_INDEX, Minutes, Place, prune
from streams.sources import PLAYBACK_SOURCE, Source, Taken

SLOT_MS = 5_000
HEARD_WITHIN_MS = 60_000
"""Concurrent sessions are those in playing or stalled state that were heard from within this time."""


class Record(Protocol):
    """What is needed of a Kafka record (`confluent_kafka.Message` is one)."""

    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...


@dataclass(frozen=True)
class Rules:
    """The settings that decide what a partition's records become."""

    timeout_ms: int
    freeze_after_ms: int


@dataclass(frozen=True)
class Snapshot:
    """What one flush writes: buckets first, then the position, then the live rows."""

    buckets: list[tuple[bytes, bytes]]
    position: tuple[bytes, bytes]
    live: list[tuple[bytes, bytes]]
    clock_ms: int


class LivePartition:
    """State of one partition, loaded from `stored` (key → packed record) and advanced by `apply`."""

    def __init__(
        self,
        number: int,
        stored: Mapping[bytes, bytes],
        topic_id: str,
        partitions: int,
        rules: Rules,
        *,
        source: Source = PLAYBACK_SOURCE,
    ) -> None:
        self.number = number
        self.source = source
        self._topic_id = topic_id
        self._partitions = partitions
        self._rules = rules
        position = unpack_position(stored.get(position_key(number)))
        self.next = position.offset if position else None
        self.clock_ms = position.clock_ms if position else 0
        self._durable_clock_ms = self.clock_ms
        self.buckets = [unpack_bucket(stored.get(bucket_key(number, b)), topic_id) for b in range(BUCKETS)]
        self._reader = source.reader(self.buckets)
        place = Place(source.topic.name, number)
        self.minutes = Minutes(place, rules.freeze_after_ms, self.clock_ms, (b.share for b in self.buckets))
        self._dirty: set[int] = set()
        self._swept = 0
        self._slot_of: dict[str, int] = {}
        self._watching: Counter[int] = Counter()
        for bucket in self.buckets:
            for state in bucket.sessions.values():
                self._note_heard(state)

    def apply(self, start: int | None, end: int, records: Iterable[Record]) -> None:
        """Apply the records of [start, end). Raises ProcessError when `start` is not where the last batch ended."""
        # None is the topic's beginning on both sides: a partition's first batch may not go missing either.
        if (start or 0) != (self.next or 0):
            at = f"{self.source.topic.name}/{self.number}"
            msg = f"{at}: records from {start} came, those from {self.next} were expected"
            raise ProcessError(msg)
        for record in records:
            stamp_ms = record.timestamp()[1]
            if stamp_ms > self.clock_ms:
                self.clock_ms = stamp_ms
                self.minutes.advance(stamp_ms)
                for number, taken in self._reader.due(stamp_ms):
                    self._dirty.add(number)
                    self._take(self.buckets[number], taken, arrived=0)
            self._apply(record, record.offset() or 0, stamp_ms)
        self.next = end

    def _apply(self, record: Record, offset: int, stamp_ms: int) -> None:
        raw, record_key = record.value(), record.key()
        try:
            event = self.source.topic.decode(raw)
        except ContractError:
            # The sink dead-letters it; here it only has to be counted once.
            number = bucket_of((record_key or b"").decode(errors="replace"))
            if bucket := self._next_in(number, offset):
                bucket.counts.rejected += 1
            return
        number = bucket_of(event.key)
        bucket = self._next_in(number, offset)
        if bucket is None:
            return
        if record_key is None or record_key.decode(errors="replace") != event.key:
            bucket.counts.misplaced += 1
        self._take(bucket, self._reader.read(bucket, raw or b"", event, stamp_ms), arrived=1)

    def _next_in(self, number: int, offset: int) -> Bucket | None:
        """The bucket, its offset moved to `offset`; None if it has applied the record before (a replay)."""
        bucket = self.buckets[number]
        if offset <= bucket.offset:
            return None
        bucket.offset = offset
        bucket.counts.applied += 1
        self._dirty.add(number)
        return bucket

    def _take(self, bucket: Bucket, taken: Sequence[Taken], arrived: int) -> None:
        """Fold the records whose turn it is, and count what became of each; the others that arrived are held."""
        counts = bucket.counts
        counts.held += arrived - len(taken)
        for fate, at_ms, session_id, facts in taken:
            is_repeated = fate == "repeated"
            if is_repeated and (state := bucket.sessions.get(session_id or "")):
                state.duplicate_event_count += 1
            for fact in facts:
                is_repeated |= not self._fold(bucket, fact)
            if is_repeated:
                counts.duplicates += 1
            elif fate == "late" or self.minutes.is_frozen(at_ms):
                counts.late += 1
            else:
                counts.counted += 1

    def _fold(self, bucket: Bucket, fact: Fact) -> bool:
        """Whether the fact was folded: not one that the session has seen."""
        state = bucket.sessions.get(fact.group_id)
        if state is None or self._is_over(state) or not belongs(state, fact, self._rules.timeout_ms):
            state = bucket.sessions[fact.group_id] = open_session(fact)
        if is_repeat(state, fact):
            return False
        for piece in fold(state, fact, self._rules.timeout_ms):
            if self.minutes.is_frozen(piece.minute_ms):
                continue
            for part, amount in piece.parts.items():
                bucket.sums[PART_INDEX[part]] += amount
            self.minutes.add(bucket.share, piece)
        self._note_heard(state)
        return True

    def _is_over(self, state: SessionState) -> bool:
        return self.clock_ms - state.last_received_ms > self._rules.timeout_ms

    def _note_heard(self, state: SessionState) -> None:
        """Keep the number of sessions that watch, by when they were heard from."""
        self._forget(state.group_id)
        if state.phase in WATCHING:
            slot = self._slot_of[state.group_id] = state.last_received_ms // SLOT_MS
            self._watching[slot] += 1

    def _forget(self, group_id: str) -> None:
        slot = self._slot_of.pop(group_id, None)
        if slot is not None:
            self._watching[slot] -= 1
            if not self._watching[slot]:
                del self._watching[slot]

    def concurrent(self, now_ms: int) -> int:
        """Sessions that play or stall and were heard from within HEARD_WITHIN_MS."""
        return sum(count for slot, count in self._watching.items() if slot * SLOT_MS >= now_ms - HEARD_WITHIN_MS)

    def open_sessions(self) -> int:
        """Sessions in state."""
        return sum(len(bucket.sessions) for bucket in self.buckets)

    def counts(self) -> Counts:
        """Counts of the whole partition since the topic's beginning."""
        return Counts(*(sum(getattr(b.counts, name) for b in self.buckets) for name in Counts.__struct_fields__))

    def now(self, now_ms: int) -> tuple[bytes, bytes]:
        """Key and value of the partition's state of affairs, for the live topic."""
        sums = [sum(column) for column in zip(*(b.sums for b in self.buckets), strict=True)]
        counts = self.counts()
        value = {
            "kind": "now",
            "topic": self.source.topic.name,
            "partition": self.number,
            "at": now_ms,
            "clock": self.clock_ms,
            "concurrent": self.concurrent(now_ms),
            "open_sessions": self.open_sessions(),
            "position": self.next or 0,
            **{field: getattr(counts, field) for field in Counts.__struct_fields__},
            "parts": dict(zip(PARTS, sums, strict=True)),
        }
        value["events"] = value.pop("counted")
        return f"now/{self.source.topic.name}/{self.number}".encode(), msgspec.json.encode(value)

    @property
    def is_dirty(self) -> bool:
        return bool(self._dirty)

    def snapshot(self) -> Snapshot:
        """What has changed since the last one, as it is now: later records belong to the next snapshot."""
        self._sweep()
        for number in self._dirty:
            prune(self.buckets[number].share, self.minutes.frozen_before(self._durable_clock_ms))
        buckets = [(bucket_key(self.number, n), pack(self.buckets[n])) for n in sorted(self._dirty)]
        self._dirty.clear()
        offset = self.next or 0
        position = Position(STATE_VERSION, self._topic_id, self._partitions, offset, self.clock_ms)
        return Snapshot(
            buckets, (position_key(self.number), pack(position)), self.minutes.publishable(offset), self.clock_ms
        )

    def written(self, snapshot: Snapshot) -> None:
        """The snapshot is durable: minutes that were frozen by then need no share any more."""
        self._durable_clock_ms = snapshot.clock_ms

    def _sweep(self) -> None:
        """Drop the sessions of one bucket that have been silent for the time-out; a round takes BUCKETS snapshots."""
        number, self._swept = self._swept, (self._swept + 1) % BUCKETS
        sessions = self.buckets[number].sessions
        over = [group_id for group_id, state in sessions.items() if self._is_over(state)]
        for group_id in over:
            self._forget(group_id)
            del sessions[group_id]
        if self._reader.forget(self.buckets[number], self.clock_ms - self._rules.timeout_ms) or over:
            self._dirty.add(number)
