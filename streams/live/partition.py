"""One source partition, live: records in, folded sessions, minutes and counts out.

Knows neither Kafka nor Faust nor a clock: `apply` takes records in order, `snapshot` gives what has to be written, and
`written` is told that it was. What a snapshot holds is written in this order, each step acknowledged before the next:

    minutes and totals    everything up to now; deletions of minutes that were frozen before the last position
    buckets of sessions   of those with changes the ones written longest ago: MOST_BUCKETS, BUDGET_BYTES
    position              before the oldest change that no written bucket holds

So a minute or a total never holds less than a bucket does. A snapshot is taken in steps between which records may be
applied: the buckets first, the position last. After a crash in between, the records before the position are not needed;
those behind it are applied again, and each record of state takes only what it does not hold yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.errors import ProcessError
from schemas.piece import PIECE_WIDTH, pieces_of_an_event
from schemas.quality import HEARD_WITHIN_MS, MINUTE_MS, PARTS
from schemas.session_state import PLAYING, STALLED
from schemas.standing import Standing
from streams.live import fold, records
from streams.live.events import BUCKETS
from streams.live.held import Held
from streams.live.minutes import Minutes
from streams.live.names import FIRST_CODES, Names
from streams.live.place import Place
from streams.live.sessions import Sessions, empty_session
from streams.sources import PLAYBACK_SOURCE, Source

MOST_BUCKETS = BUCKETS // 4
"""So many buckets does one flush write: a round takes four."""
BUDGET_BYTES = 1_500_000
"""What one flush writes of buckets, about. With many sessions a round takes longer, and a crash replays more."""


Records = list[tuple[bytes, bytes | None]]


@dataclass(frozen=True)
class Rules:
    """The settings that decide what a partition's records become."""

    timeout_ms: int
    freeze_after_ms: int
    rewrite_after: int = 240
    """Flushes after which a record is written although it has not changed (`schemas.registry.STATE_LAG_MS`)."""


STEPS = ("minutes", "buckets", "position")
"""The order of writing: see above."""


@dataclass(frozen=True)
class Snapshot:
    """What one flush writes."""

    steps: tuple[Records, Records, Records]
    """Keys and values (None: deleted); each step is to be acknowledged before the next."""
    offset: int
    """Of the position: what is before it is durable then."""
    clock_ms: int
    """The received clock there."""

    def records(self) -> Records:
        """All of them, in order."""
        return [record for step in self.steps for record in step]


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
        self.names = Names()
        self.sessions = Sessions()
        self.held = Held()
        place = Place(source.topic.name, number, partitions)
        self.minutes = Minutes(place)
        self.counts = fold.no_counts()
        self.sums = fold.no_sums()
        self._scalars = fold.no_scalars()
        self._buckets = fold.Buckets(*(np.full(BUCKETS, at, np.int64) for at in (0, -1, 0)))
        self._minute_through = np.empty((0, 2), np.int64)
        self._stored_minutes: set[int] = set()
        self._written_at = np.zeros(BUCKETS, np.int64)
        self._flushes = 0
        self._swept = 0
        self._pieces = np.zeros((pieces_of_an_event(rules.timeout_ms), PIECE_WIDTH), np.int64)
        self._empty = empty_session()
        self._durable_clock_ms = 0
        self._streams: list[dict[str, Any]] = [{} for _ in range(BUCKETS)]
        self.next: int | None = None
        self._said_since = 0
        self._load(stored)
        self._reader = source.reader(place, self.names, self._streams, self._buckets.through, rules.timeout_ms)

    @property
    def clock_ms(self) -> int:
        """The partition's received clock."""
        return int(self._scalars[fold.CLOCK])

    def _load(self, stored: Mapping[bytes, bytes]) -> None:
        # Without a position the first flush was cut off: what it wrote holds from the topic's beginning.
        if (at := stored.get(records.position_key(self.number))) is not None:
            position = records.unpack(records.Position, at)
            self.next = position.offset
            self._scalars[fold.CLOCK] = self._durable_clock_ms = position.clock_ms
            self._scalars[fold.OPEN_MINUTE] = self._open_minute(position.clock_ms)
        held = []
        for bucket in range(BUCKETS):
            if (value := stored.get(records.bucket_key(self.number, bucket))) is not None:
                record = records.unpack(records.BucketRecord, value)
                self._buckets.through[bucket] = records.through_of(value)
                self._streams[bucket] = record.streams
                self.sessions.add(records.sessions_of(record, self.names), bucket)
                held.append(records.held_of(record, self.names))
        self.held.add(held, self.sessions.table)
        self._load_totals(stored)
        through = []
        for key in records.minutes_in(stored, self.number):
            value = stored[key]
            minute = records.unpack(records.MinuteRecord, value)
            self._stored_minutes.add(minute.minute)
            if minute.minute >= self._scalars[fold.OPEN_MINUTE]:
                self.minutes.add(records.rows_of(minute, self.names))
                through.append((minute.minute, records.through_of(value)))
        if through:
            self._minute_through = np.array(through, np.int64)
            self._scalars[fold.REPLAY_UNTIL] = self._minute_through[:, 1].max()

    def _load_totals(self, stored: Mapping[bytes, bytes]) -> None:
        value = stored.get(records.totals_key(self.number))
        if value is not None:
            totals = records.unpack(records.TotalsRecord, value)
            self._scalars[fold.TOTALS_THROUGH] = records.through_of(value)
            self.counts[:] = [totals.counts.get(name, 0) for name in fold.COUNTS]
            self.sums[:] = [totals.sums.get(part, 0) for part in PARTS]

    def _open_minute(self, clock_ms: int) -> int:
        return max(0, clock_ms - self._rules.freeze_after_ms) // MINUTE_MS

    def apply(self, start: int | None, end: int, prepared: Any) -> None:
        """Apply the records of [start, end). Raises ProcessError when `start` is not where the last batch ended."""
        # None is the topic's beginning on both sides: a partition's first batch may not go missing either.
        if (start or 0) != (self.next or 0):
            at = f"{self.source.topic.name}/{self.number}"
            msg = f"{at}: records from {start} came, those from {self.next} were expected"
            raise ProcessError(msg)
        events = self._reader.events(prepared, self.clock_ms)
        if not self._said_since and len(events):
            self._said_since = int(events["received_ms"][0])
        done = 0
        rules = self._rules
        while done < len(events):
            done = fold.fold_events(self._live(), events, done, rules.timeout_ms, rules.freeze_after_ms)
            if done < len(events):
                self._make_room()
        self.next = end

    def _live(self) -> fold.Live:
        return fold.Live(
            self.sessions.table, self.held.pool, self.minutes.table, self._buckets, self._minute_through, self._scalars,
            self.counts, self.sums, self._empty, self._pieces,
        )  # fmt: skip

    def _make_room(self) -> None:
        from streams.live import held, minutes, sessions

        if not sessions.has_room(self.sessions.table):
            self.sessions.grow()
        if not held.has_room(self.held.pool):
            self.held.grow()
        if not minutes.has_room(self.minutes.table, fold.most_pieces(len(self._pieces))):
            self.minutes.grow()

    def concurrent(self, now_ms: int) -> int:
        """Sessions that play or stall and were heard from within HEARD_WITHIN_MS."""
        table = self.sessions.table
        phase, heard = table.rows["phase"], table.rows["last_received_ms"]
        is_watching = ((phase == PLAYING) | (phase == STALLED)) & (heard >= now_ms - HEARD_WITHIN_MS)
        return int((is_watching & (table.buckets >= 0)).sum())

    def fates(self) -> dict[str, int]:
        """What became of the partition's records since the topic's beginning (`fold.COUNTS`)."""
        return dict(zip(fold.COUNTS, self.counts.tolist(), strict=True))

    def say(self, now_ms: int, concurrent: int) -> tuple[bytes, bytes]:
        """How the partition stands, as key and value for the live topic; the next one goes on from here."""
        fates = self.fates()
        since, self._said_since = self._said_since, 0
        return Standing(
            topic=self.source.topic.name,
            partition=self.number,
            at=now_ms,
            clock=self.clock_ms,
            since=since,
            concurrent=concurrent,
            open_sessions=len(self.sessions),
            position=self.next or 0,
            events=fates.pop("counted"),
            **fates,
            parts=dict(zip(PARTS, self.sums.tolist(), strict=True)),
        ).record()

    def live_rows(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Key and value of the minutes' rows that changed since the last call, in portions made one by one."""
        return self.minutes.publishable(self.names, lambda: (int(self._scalars[fold.OPEN_MINUTE]), self.next or 0))

    def snapshot(self, *, everything: bool = False) -> Iterator[Snapshot | None]:
        """What has to be written, made in small steps: None after each, at the end the snapshot, if there is one.

        Records may be applied between the steps. Live rows that are taken after the last one hold no less than it.
        `everything`: all buckets, whatever they weigh (before the partition is given away).
        """
        self._flushes += 1
        if self._flushes % self._rules.rewrite_after == 0:
            self.minutes.rows()["is_unsaved"] = True
        self._sweep()
        due = self._buckets_due().tolist()
        if not due:
            return
        buckets: Records = []
        size = 0
        for bucket in due:
            if (size > BUDGET_BYTES or len(buckets) >= MOST_BUCKETS) and not everything:
                break
            buckets.append(self._pack_bucket(bucket))
            size += len(buckets[-1][1] or b"")
            yield None
        minutes: Records = []
        for minute in self._unsaved_minutes():
            minutes.append(self._pack_minute(minute))
            yield None
        offset, clock_ms = self._position()
        totals = records.TotalsRecord(
            records.STATE_VERSION, self.fates(), dict(zip(PARTS, self.sums.tolist(), strict=True))
        )
        through = max(self.next or 0, int(self._scalars[fold.TOTALS_THROUGH]))
        minutes_and_totals = [
            *minutes, *self._finished_minutes(), (records.totals_key(self.number), records.pack(totals, through)),
        ]  # fmt: skip
        position = records.Position(records.STATE_VERSION, self._topic_id, self._partitions, offset, clock_ms)
        at_position: Records = [(records.position_key(self.number), records.pack(position, offset))]
        yield Snapshot((minutes_and_totals, buckets, at_position), offset, clock_ms)

    def _buckets_due(self) -> npt.NDArray[np.intp]:
        """Those that changed, or have to be written again; what was written longest ago comes first."""
        is_old = self._written_at < self._flushes - self._rules.rewrite_after
        due = np.flatnonzero((self._buckets.dirty_since >= 0) | (is_old & (self.next is not None)))
        return due[np.argsort(self._written_at[due], kind="stable")]

    def _pack_bucket(self, bucket: int) -> tuple[bytes, bytes | None]:
        rows = self.sessions.table.rows[self.sessions.of(bucket)]
        held = self.held.of(bucket)
        record = records.BucketRecord(
            records.STATE_VERSION,
            records.to_array(rows, self.names),
            self._streams[bucket],
            records.to_array(held, self.names) if len(held) else None,
        )
        # In a replay the loaded record may be ahead of us.
        through = max(self.next or 0, int(self._buckets.through[bucket]))
        self._buckets.dirty_since[bucket] = -1
        self._written_at[bucket] = self._flushes
        return records.bucket_key(self.number, bucket), records.pack(record, through)

    def _position(self) -> tuple[int, int]:
        """Offset and clock before the oldest change that no packed bucket holds."""
        since = self._buckets.dirty_since
        waiting = np.flatnonzero(since >= 0)
        if not len(waiting):
            return self.next or 0, self.clock_ms
        oldest = waiting[np.argmin(since[waiting])]
        return int(since[oldest]), int(self._buckets.dirty_clock[oldest])

    def _unsaved_minutes(self) -> list[int]:
        rows = self.minutes.rows()
        return np.unique(rows["minute"][rows["is_unsaved"]]).tolist()  # type: ignore[no-any-return]

    def _pack_minute(self, minute: int) -> tuple[bytes, bytes | None]:
        rows = self.minutes.rows()
        is_mine = rows["minute"] == minute
        record = records.MinuteRecord(
            records.STATE_VERSION, minute, records.to_array(rows[is_mine], self.names), list(PARTS)
        )
        rows["is_unsaved"][is_mine] = False
        self._stored_minutes.add(minute)
        return records.minute_key(self.number, minute), records.pack(record, self.next or 0)

    def _finished_minutes(self) -> Records:
        """Deletions of stored minutes that were frozen before the durable position: no replay needs them.

        They wait for the flush after, so that the last record of a flush is the position, which compaction keeps: a
        recovery waits for the last record of the changelog.
        """
        before = self._open_minute(self._durable_clock_ms)
        gone = sorted(minute for minute in self._stored_minutes if minute < before)
        self._stored_minutes.difference_update(gone)
        return [(records.minute_key(self.number, minute), None) for minute in gone]

    def written(self, snapshot: Snapshot) -> None:
        """The snapshot is durable, and what was publishable before it is published: frozen rows can go."""
        self._durable_clock_ms = snapshot.clock_ms
        rows = self.minutes.rows()
        is_done = (rows["minute"] < self._scalars[fold.OPEN_MINUTE]) & ~rows["is_unpublished"] & ~rows["is_unsaved"]
        self.minutes.drop(is_done)

    def _sweep(self) -> None:
        """Drop the sessions of one bucket that have been silent for the time-out; a round takes BUCKETS snapshots."""
        bucket, self._swept = self._swept, (self._swept + 1) % BUCKETS
        rows = self.sessions.of(bucket)
        heard = self.sessions.table.rows["last_received_ms"][rows]
        is_over = (self.clock_ms - heard > self._rules.timeout_ms) & (self.sessions.table.waiting[rows] < 0)
        over = rows[is_over]
        self.sessions.drop(over)
        forgotten = self._reader.forget(bucket, self.clock_ms)
        if (len(over) or forgotten) and self._buckets.dirty_since[bucket] < 0:
            self._buckets.dirty_since[bucket] = self.next or 0
            self._buckets.dirty_clock[bucket] = self.clock_ms
        if bucket == 0 and len(self.names) > 8 * FIRST_CODES:
            self._forget_names()

    def _forget_names(self) -> None:
        """Titles come and go."""
        rows, live = self.sessions.table.rows, self.sessions.live()
        held = self.held.names()
        used = np.union1d(np.union1d(rows["names"][live], held), self.minutes.rows()["names"])
        if 2 * len(used) < len(self.names):
            new = self.names.without(used.tolist())
            rows["names"][live] = new[rows["names"][live]]
            held[:] = new[held]
            self.minutes.rename(new)
