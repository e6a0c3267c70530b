"""Why live and batch differ, as an equation: live + the sum of the causes = batch, for every part of every row.

A cause is the difference between two folds of the same group that differ in one thing only, so the causes between the
replayed live number and the replayed batch number add up by themselves. What is checked is both ends: the published
live value must be the replayed one, and so must batch's. Where they are not, the row is unexplained.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec

from schemas.quality import DIMENSIONS, ROLLUPS, MinuteParts
from streams.live.partition import Rules
from streams.parity.replay import Clock, LiveGroup, Place, Record, batch_minutes
from streams.parity.window import Window

CAUSES = {
    "late": "came when the live minute was frozen",
    "duplicate": "copies that live took for new ones: it remembers few ids, and only within a session",
    "split": "the session's records are in several partitions or topics, which live folds apart",
    "reopened": "the session went on after the time-out: live had closed it",
    "order": "records that overtook each other, and reports that live waits for: live folds them as they come",
    "not live yet": "batch has the records, the stream has not read them",
    "still open": "the stream has the records, no published batch holds them yet",
}
"""Cause → what it is, in the order in which they are taken. Dead letters are in neither side: they move no number."""


class RowKey(NamedTuple):
    """A row of quality_minute. `minute_ms` is the minute's start; `dimensions` as in DIMENSIONS."""

    rollup: str
    minute_ms: int
    dimensions: tuple[str | None, ...]


Amounts = Counter[str]
"""Part, or `startup_histogram[i]`, → amount."""
Rows = dict[RowKey, Amounts]
_Cells = dict[tuple[int, tuple[str | None, ...]], Amounts]
"""The same by minute and all dimensions."""


class LiveRow(msgspec.Struct, frozen=True, kw_only=True):
    """A published live value: a partition's share of a row, and the offset that it holds everything before."""

    place: Place
    key: RowKey
    position: int
    amounts: Amounts


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a row in which the sides differ, or one of them is not what its own records give.

    causes              cause → how much it adds on the way from live to batch
    live_unexplained    published live − what the records give
    batch_unexplained   published batch − what the records give
    """

    key: RowKey
    part: str
    live: int
    batch: int
    causes: dict[str, int]
    live_unexplained: int
    batch_unexplained: int

    @property
    def difference(self) -> int:
        return self.batch - self.live

    @property
    def is_explained(self) -> bool:
        return not self.live_unexplained and not self.batch_unexplained


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """Up to which offset the sides hold a partition's records; a partition that is missing: none of them."""

    live: Mapping[Place, int]
    batch: Mapping[Place, int]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What explains a number.

    records   every record of every group that touches the window, as far as bronze has them, copies too
    clocks    of all their partitions
    """

    records: Iterable[Record]
    clocks: Mapping[Place, Clock]
    cuts: Cuts
    rules: Rules


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Both sides at the cut, and what differs. `rows`: how many rows there are on either side, or on the way.

    causes   cause → its rows, those too in which several causes make up for each other
    """

    live: Rows
    batch: Rows
    causes: dict[str, Rows]
    rows: int
    differences: list[Difference]

    @property
    def rows_equal(self) -> int:
        return self.rows - len({one.key for one in self.differences if one.difference})

    @property
    def unexplained(self) -> list[Difference]:
        return [one for one in self.differences if not one.is_explained]


@dataclass
class _Stages:
    """What the records give, by minute and all dimensions: of each side, and of each cause."""

    live: _Cells = field(default_factory=dict)
    batch: _Cells = field(default_factory=dict)
    causes: dict[str, _Cells] = field(default_factory=lambda: {cause: {} for cause in CAUSES})
    ahead: list[tuple[Place, int, MinuteParts]] = field(default_factory=list)
    """What records behind the cut added, live: place, offset, parts."""


def compare(
    evidence: Evidence,
    live_rows: Iterable[LiveRow],
    batch_rows: Mapping[RowKey, Amounts],
    window_ms: Window,
) -> Compared:
    """Compare what both sides publish of the minutes of [window). `live_rows`: newest values only."""
    stages = _stages(evidence)
    published = _published(live_rows, stages.ahead)
    replayed_live, replayed_batch = _rolled_up(stages.live), _rolled_up(stages.batch)
    causes = {cause: _rolled_up(cells) for cause, cells in stages.causes.items()}
    first, end = window_ms
    keys = {
        key
        for rows in (published, batch_rows, replayed_live, replayed_batch, *causes.values())
        for key in rows
        if first <= key.minute_ms < end
    }
    differences: list[Difference] = []
    for key in sorted(keys, key=_order):
        live, batch = published.get(key, Counter()), batch_rows.get(key, Counter())
        of_live, of_batch = replayed_live.get(key, Counter()), replayed_batch.get(key, Counter())
        of_cause = {cause: rows[key] for cause, rows in causes.items() if key in rows}
        for part in sorted({part for found in (live, batch, of_live, of_batch, *of_cause.values()) for part in found}):
            said = {cause: found[part] for cause, found in of_cause.items() if found[part]}
            one = Difference(
                key=key,
                part=part,
                live=live[part],
                batch=batch[part],
                causes=said,
                live_unexplained=live[part] - of_live[part],
                batch_unexplained=batch[part] - of_batch[part],
            )
            if one.difference or not one.is_explained:
                differences.append(one)
    return Compared(
        live={key: published[key] for key in keys & published.keys()},
        batch={key: batch_rows[key] for key in keys & batch_rows.keys()},
        causes={cause: {key: rows[key] for key in keys & rows.keys()} for cause, rows in causes.items()},
        rows=len(keys),
        differences=differences,
    )


def _order(key: RowKey) -> tuple[int, int, tuple[str, ...]]:
    return key.minute_ms, list(ROLLUPS).index(key.rollup), tuple(value or "" for value in key.dimensions)


def _stages(evidence: Evidence) -> _Stages:
    stages = _Stages()
    cuts, rules = evidence.cuts, evidence.rules
    by_group = sorted(evidence.records, key=lambda record: (record.group_id, record.place, record.offset))
    either = {place: max(cuts.live.get(place, 0), cuts.batch.get(place, 0)) for place in {*cuts.live, *cuts.batch}}
    copies = _copies(by_group)
    parts = [_Part(cut, copies) for cut in (cuts.live, either, cuts.batch)]
    for _, group in groupby(by_group, key=attrgetter("group_id")):
        rows = list(group)
        once = _live_once(stages, rows, evidence, parts[0])
        hindsight, with_all, published = _in_hindsight([part.events(rows) for part in parts], rules)
        _step(stages.causes[once.cause], hindsight, once.minutes)
        if with_all is not hindsight:
            _step(stages.causes["not live yet"], with_all, hindsight)
        if published is not with_all:
            _step(stages.causes["still open"], published, with_all)
        _step(stages.batch, published, ())
    return stages


def _in_hindsight(events: Sequence[list[Record]], rules: Rules) -> list[list[MinuteParts]]:
    """What batch makes of each; the same list for the same events as just before."""
    found: list[list[MinuteParts]] = []
    for place, chosen in enumerate(events):
        is_same = place > 0 and chosen == events[place - 1]
        found.append(found[-1] if is_same else list(batch_minutes(chosen, rules.timeout_ms)))
    return found


class _Once(NamedTuple):
    """The live fold of a group whose copies were taken out, and the cause of what it lacks."""

    minutes: list[MinuteParts]
    cause: str


def _live_once(stages: _Stages, rows: list[Record], evidence: Evidence, in_live: _Part) -> _Once:
    minutes: list[MinuteParts] = []
    places, is_reopened = 0, False
    for place, of_place in groupby(rows, key=attrgetter("place")):
        unit = list(of_place)
        cut = in_live.cuts.get(place, 0)
        applied: list[MinuteParts] = []
        fold = LiveGroup(evidence.clocks[place], evidence.rules)
        for piece in fold.pieces(unit):
            if piece.offset < cut:
                applied.append(piece.parts)
                _add(stages.causes["late"] if piece.is_late else stages.live, piece.parts)
            elif not piece.is_late:
                stages.ahead.append((place, piece.offset, piece.parts))
        kept = in_live.events(unit)
        once = applied
        if len(kept) < sum(record.offset < cut for record in unit):
            again = LiveGroup(evidence.clocks[place], evidence.rules)
            once = [piece.parts for piece in again.pieces(kept) if piece.offset < cut]
            _step(stages.causes["duplicate"], once, applied)
        minutes += once
        places += bool(kept)
        is_reopened |= fold.sessions > 1
    return _Once(minutes, "split" if places > 1 else "reopened" if is_reopened else "order")


@dataclass
class _Part:
    """The records before the cuts, of copies only the first received."""

    cuts: Mapping[Place, int]
    copies: Mapping[tuple[str, str], Sequence[Record]]
    _firsts: dict[tuple[str, str], Record | None] = field(default_factory=dict)

    def events(self, rows: Iterable[Record]) -> list[Record]:
        return [
            record
            for record in rows
            if record.offset < self.cuts.get(record.place, 0)
            and (record.event_id not in self.copies or self._first(record.event_id) is record)
        ]

    def _first(self, event_id: tuple[str, str]) -> Record | None:
        if event_id not in self._firsts:
            there = [record for record in self.copies[event_id] if record.offset < self.cuts.get(record.place, 0)]
            self._firsts[event_id] = min(there, key=attrgetter("receipt"), default=None)
        return self._firsts[event_id]


def _copies(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Event id → its records, for those that have several. A copy may be in another group."""
    first: dict[tuple[str, str], Record] = {}
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        known = first.setdefault(record.event_id, record)
        if known is not record:
            found.setdefault(record.event_id, [known]).append(record)
    return found


def _step(cells: _Cells, after: Iterable[MinuteParts], before: Iterable[MinuteParts]) -> None:
    """Add what one fold gives more than another."""
    for parts in after:
        _add(cells, parts)
    for parts in before:
        _add(cells, parts, -1)


def _add(cells: _Cells, parts: MinuteParts, sign: int = 1) -> None:
    amounts = cells.setdefault((parts.minute_ms, tuple(getattr(parts, name) for name in DIMENSIONS)), Counter())
    for part, amount in _amounts(parts):
        amounts[part] += sign * amount


def _amounts(parts: MinuteParts) -> Iterator[tuple[str, int]]:
    yield from parts.parts.items()
    if parts.startup_bucket is not None:
        yield histogram_part(parts.startup_bucket), 1


def histogram_part(bucket: int) -> str:
    """A bucket of the startup histogram, as a part."""
    return f"startup_histogram[{bucket}]"


def _keys(minute_ms: int, dimensions: Sequence[str | None]) -> Iterator[RowKey]:
    """The rows, one a rollup, that a minute's parts are added to."""
    for rollup, kept in ROLLUPS.items():
        of_row = (value if name in kept else None for name, value in zip(DIMENSIONS, dimensions, strict=True))
        yield RowKey(rollup, minute_ms, tuple(of_row))


def _rolled_up(cells: _Cells) -> Rows:
    rows: Rows = defaultdict(Counter)
    for (minute_ms, dimensions), amounts in cells.items():
        for key in _keys(minute_ms, dimensions):
            for part, amount in amounts.items():
                rows[key][part] += amount
    return {key: amounts for key, amounts in rows.items() if any(amounts.values())}


def _published(live_rows: Iterable[LiveRow], ahead: Iterable[tuple[Place, int, MinuteParts]]) -> Rows:
    """The live rows over all partitions, without what records behind the cut had already added to them."""
    rows: Rows = defaultdict(Counter)
    positions: dict[tuple[Place, RowKey], int] = {}
    for row in live_rows:
        positions[row.place, row.key] = row.position
        for part, amount in row.amounts.items():
            rows[row.key][part] += amount
    for place, offset, parts in ahead:
        for key in _keys(parts.minute_ms, [getattr(parts, name) for name in DIMENSIONS]):
            if offset < positions.get((place, key), 0):
                for part, amount in _amounts(parts):
                    rows[key][part] -= amount
    return {key: amounts for key, amounts in rows.items() if any(amounts.values())}
