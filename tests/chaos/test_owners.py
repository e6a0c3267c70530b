"""Owners of a partition that overtake each other at every step of a commit, and crash: each record is kept once.

Processes, brokers and time-outs let the worst moments happen rarely; here several owners of one partition live in one
process, and where one passes a step another one acts, for as long as the dice say.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from schemas.registry import EVENT_TOPICS, PLAYBACK
from schemas.tables import BRONZE, DEAD_LETTERS
from streams.bronze_tables import SOURCES, BronzeTables, Pending
from streams.delta_log import PositionMoved
from streams.ownership import Owned
from tests.streams.bronze_world import event, query
from tests.streams.delta_world import ID, Record

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]
RECORDS = 40
BROKEN_EVERY = 4
"""One record in so many is a dead letter."""
BOUND = dict.fromkeys(SOURCES, f"id {ID}, 1 partitions")


class Crash(Exception):
    """A process that ends in the middle."""


class Topic:
    """The records that all owners read."""

    def __init__(self) -> None:
        self.records = [Record(n, event(n) if n % BROKEN_EVERY else b"{") for n in range(RECORDS)]


class Owner:
    """What a sink process does, without its consumer: claim, decode, commit."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._tables = BronzeTables(str(stage.lake), BOUND, self._step)
        self._owned: Owned | None = None

    def _step(self, name: str) -> None:
        if PLAYBACK.bronze_table in name or DEAD_LETTERS.name in name:
            self._stage.passed(self)

    def claim(self) -> None:
        self._owned = None
        (self._owned,) = self._tables.claim(PLAYBACK.name, ID, {0: (0, RECORDS)})

    def turn(self, count: int) -> None:
        """Read `count` records and commit them; whoever was overtaken claims again."""
        if self._owned is None:
            self.claim()
            return
        owned, pending = self._owned, Pending()
        fresh = self._stage.topic.records[owned.next : owned.next + count]
        if not fresh:
            return
        owned.next += len(fresh)
        kept = [record for record in fresh if record.offset() not in owned.known_letters]
        pending.add(PLAYBACK.name, kept, sum(len(record.value() or b"") for record in kept))
        try:
            self._tables.commit([owned], pending)
        except PositionMoved:
            self._owned = None

    @property
    def is_done(self) -> bool:
        return self._owned is not None and self._owned.position >= RECORDS


class Stage:
    """Who acts when. At each step that an owner passes, another one may act first, or the first one crash."""

    def __init__(self, lake: Path, seed: int) -> None:
        self.lake, self.topic = lake, Topic()
        self._dice = random.Random(seed)
        self._acting: list[Owner] = []
        """Whoever is in the middle of a turn, the innermost last: they wait as processes that were stopped."""
        self.overtaken = self.crashed = 0
        self.owners = [Owner(self) for _ in range(3)]

    def passed(self, by: Owner) -> None:
        if by not in self._acting:  # it only opens its tables
            return
        lot = self._dice.random()
        if lot < 0.06:
            self.crashed += 1
            raise Crash
        free = [owner for owner in self.owners if owner not in self._acting]
        if lot < 0.3 and free:
            self.overtaken += 1
            other = self._dice.choice(free)
            # Long enough to claim, to commit, and to be ahead.
            for _ in range(self._dice.randint(1, 3)):
                if other in self.owners:
                    self.act(other)

    def act(self, owner: Owner) -> None:
        self._acting.append(owner)
        try:
            owner.turn(self._dice.randint(1, 8))
        except Crash:
            self.owners[self.owners.index(owner)] = Owner(self)
        finally:
            self._acting.remove(owner)

    def play(self) -> None:
        for _ in range(400):
            if any(owner.is_done for owner in self.owners):
                return
            self.act(self._dice.choice(self.owners))
        msg = "400 turns did not bring anybody to the end"
        raise AssertionError(msg)


@pytest.mark.parametrize("seed", range(3))
def test_every_record_is_kept_once_whoever_overtakes_whom(tmp_path: Path, seed: int) -> None:
    stage = Stage(tmp_path / "lake", seed)
    stage.play()
    rows = query(BRONZE[PLAYBACK.name].path(str(stage.lake)), 'SELECT "offset" FROM t')
    letters = query(DEAD_LETTERS.path(str(stage.lake)), 'SELECT "offset" FROM t')
    kept = Counter(row["offset"] for row in (*rows, *letters))
    wrong = {n: kept[n] for n in {*range(RECORDS), *kept} if kept[n] != 1}
    assert not wrong, f"the verdict is red: copies by offset {wrong}"
    assert {row["offset"] for row in letters} == set(range(0, RECORDS, BROKEN_EVERY))
    assert stage.overtaken + stage.crashed > 3, "nothing came in between"
    assert set(EVENT_TOPICS) < set(BOUND)
