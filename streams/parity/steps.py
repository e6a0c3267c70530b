"""The way from live to batch in steps: folds of the same records that differ in one thing only.

What a step adds is the amount of its cause (`schemas.parity.CAUSES`), so the causes between the replayed live number
and the replayed batch number add up by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from schemas.parity import CAUSES
from schemas.quality import MinuteParts
from streams.live.partition import Rules
from streams.parity.replay import Clock, LiveGroup, Place, Record, batch_minutes
from streams.parity.rows import Cells, add, add_step


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


@dataclass
class Steps:
    """What the records give, by minute and all dimensions: of each side, and of each cause."""

    live: Cells = field(default_factory=dict)
    batch: Cells = field(default_factory=dict)
    causes: dict[str, Cells] = field(default_factory=lambda: {cause: {} for cause in CAUSES})
    ahead: list[tuple[Place, int, MinuteParts]] = field(default_factory=list)
    """What records behind the cut added, live: place, offset, parts."""


def steps(evidence: Evidence) -> Steps:
    """Fold every group, once a step."""
    found = Steps()
    cuts, rules = evidence.cuts, evidence.rules
    by_group = sorted(evidence.records, key=lambda record: (record.group_id, record.place, record.offset))
    either = {place: max(cuts.live.get(place, 0), cuts.batch.get(place, 0)) for place in {*cuts.live, *cuts.batch}}
    copies = _copies(by_group)
    live, both, batch = (_Held(cut, copies) for cut in (cuts.live, either, cuts.batch))
    for _, group in groupby(by_group, key=attrgetter("group_id")):
        rows = list(group)
        once = _live_once(found, rows, evidence, live)
        hindsight, with_all, published = _in_hindsight([held.records(rows) for held in (live, both, batch)], rules)
        add_step(found.causes[once.cause], hindsight, once.minutes)
        if with_all is not hindsight:
            add_step(found.causes["not live yet"], with_all, hindsight)
        if published is not with_all:
            add_step(found.causes["still open"], published, with_all)
        add_step(found.batch, published, ())
    return found


def _in_hindsight(held: Sequence[list[Record]], rules: Rules) -> list[list[MinuteParts]]:
    """What batch makes of each; the same list for the same records as just before."""
    found: list[list[MinuteParts]] = []
    for place, records in enumerate(held):
        is_same = place > 0 and records == held[place - 1]
        found.append(found[-1] if is_same else list(batch_minutes(records, rules.timeout_ms)))
    return found


class _Once(NamedTuple):
    """The live fold of a group whose copies were taken out, and the cause of what it lacks."""

    minutes: list[MinuteParts]
    cause: str


def _live_once(found: Steps, rows: list[Record], evidence: Evidence, in_live: _Held) -> _Once:
    """Live as it was, then with what was late, then without copies."""
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
                add(found.causes["late"] if piece.is_late else found.live, piece.parts)
            elif not piece.is_late:
                found.ahead.append((place, piece.offset, piece.parts))
        kept = in_live.records(unit)
        once = applied
        if len(kept) < sum(record.offset < cut for record in unit):
            again = LiveGroup(evidence.clocks[place], evidence.rules)
            once = [piece.parts for piece in again.pieces(kept) if piece.offset < cut]
            add_step(found.causes["duplicate"], once, applied)
        minutes += once
        places += bool(kept)
        is_reopened |= fold.sessions > 1
    return _Once(minutes, "split" if places > 1 else "reopened" if is_reopened else "order")


@dataclass
class _Held:
    """The records before the cuts, of copies only the first received."""

    cuts: Mapping[Place, int]
    copies: Mapping[tuple[str, str], Sequence[Record]]
    _firsts: dict[tuple[str, str], Record | None] = field(default_factory=dict)

    def records(self, rows: Iterable[Record]) -> list[Record]:
        """Those of `rows`."""
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
