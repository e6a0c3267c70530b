"""The claim protocol against every order of events that Hypothesis can think of.

The real `claim` and the real `BronzeTables.commit` run in processes that a schedule lets go on act by act, or kills;
tables are models of what `DeltaLog` promises (`test_delta_sink.py` shows that it keeps that promise). The processes do
not even agree on which records break their contract, as in a rolling upgrade.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from infra.errors import ContractError
from schemas.registry import PLAYBACK
from streams.bronze_rows import Decoded
from streams.bronze_tables import BronzeTables, Pending
from streams.delta_log import Changes, PositionMoved
from streams.ownership import claim
from tests.streams.delta_world import ID, Record

END = 6
"""Records of the topic's one partition."""


class Killed(BaseException):
    pass


class Table:
    """What is in the log: the numbers after each commit, and who wrote what."""

    def __init__(self) -> None:
        self.versions: list[dict[str, int]] = [{}]
        self.written: list[set[str]] = [set()]
        self.offsets: list[int] = []


class View:
    """One process's handle of a table, with the face of a DeltaSink."""

    def __init__(self, table: Table, process: Process, name: str) -> None:
        self.table, self.process = table, process
        self.path, self.table_id = Path("/lake") / name, name
        self.seen = 0

    def reopen(self) -> None:
        self.process.turn()
        self.seen = len(self.table.versions) - 1

    def stored(self, name: str) -> int | None:
        return self.table.versions[self.seen].get(name)

    def query(self, sql: str) -> list[dict[str, Any]]:
        self.process.turn()
        first = int(re.search(r'"offset" >= (\d+)', sql)[1])  # type: ignore[index]
        return [{"offset": offset} for offset in self.table.offsets if offset >= first]

    def commit(self, rows: Any, changes: Changes) -> None:
        self._compare(changes)
        self.process.turn()
        if any(changes.keys() & written for written in self.table.written[self.seen + 1 :]):
            self.seen = len(self.table.versions) - 1
            self._compare(changes)
        self.table.versions.append(self.table.versions[-1] | {name: new for name, (_, new) in changes.items()})
        self.table.written.append(set(changes))
        self.table.offsets += [] if rows is None else rows["offset"].to_pylist()
        self.seen = len(self.table.versions) - 1
        self.process.turn()

    def _compare(self, changes: Mapping[str, tuple[int | None, int]]) -> None:
        for name, (expected, new) in changes.items():
            if self.stored(name) != expected:
                raise PositionMoved(name)
            assert expected is None or new >= expected, f"{name} goes back"


class Process(threading.Thread):
    """A sink that takes `batch` records at a time and finds those of `broken` broken."""

    def __init__(self, rows: Table, letters: Table, batch: int, broken: frozenset[int]) -> None:
        super().__init__(daemon=True)
        self.batch, self.broken = batch, broken
        self.tables = object.__new__(BronzeTables)
        self.tables._letters = View(letters, self, "dead_letters")  # type: ignore[assignment]
        self.tables._rows = {PLAYBACK.name: View(rows, self, "rows")}  # type: ignore[dict-item]
        self.tables._decoders = {PLAYBACK.name: self}  # type: ignore[dict-item]
        self.go, self.waits = threading.Semaphore(0), threading.Semaphore(0)
        self.is_killed = self.is_done = False
        self.problem: BaseException | None = None

    def turn(self) -> None:
        """Wait until the schedule says: go on."""
        self.waits.release()
        self.go.acquire()
        if self.is_killed:
            raise Killed

    def run(self) -> None:
        try:
            self.turn()
            while not self.is_done:
                self._own()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.problem = error
        finally:
            self.is_done = True
            self.waits.release()

    def _own(self) -> None:
        """From a claim to the end, or to another's claim."""
        rows, letters = self.tables._rows[PLAYBACK.name], self.tables._letters
        try:
            [owned] = claim(PLAYBACK.name, ID, {0: (0, END)}, rows, letters)
            while owned.position < END:
                pending = self._pending(range(owned.next, min(owned.next + self.batch, END)), owned.known_letters)
                owned.next = min(owned.next + self.batch, END)
                self.tables.commit([owned], pending)
            self.is_done = True
        except PositionMoved:
            self.turn()

    def _pending(self, offsets: range, known: frozenset[int]) -> Pending:
        fresh = [Record(offset, b"{") for offset in offsets if offset not in known]
        return Pending({PLAYBACK.name: list(fresh)}, count=len(fresh))

    def decode(self, records: list[Record]) -> Decoded:
        """With the face of a Decoder."""
        import pyarrow as pa

        error = ContractError("not_json", "broken")
        good = [record.offset() for record in records if record.offset() not in self.broken]
        broken = [(record, error) for record in records if record.offset() in self.broken]
        return Decoded(pa.table({"offset": pa.array(good, pa.int64())}), list(broken))

    def act(self) -> None:
        """One act, up to the next."""
        if not self.is_done:
            self.go.release()
            self.waits.acquire()

    def kill(self) -> None:
        self.is_killed = True
        self.act()


Shape = tuple[int, frozenset[int]]
BROKEN = st.frozensets(st.integers(0, END - 1), max_size=3)
SHAPES = st.lists(st.tuples(st.integers(1, END), BROKEN), min_size=2, max_size=3)
ACT = st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 9).map(lambda n: n == 0))
SCHEDULE = st.lists(ACT, max_size=14)
ZOMBIE = [(END, frozenset({3})), (END, frozenset[int]())]
"""One that finds a record broken which the other, of a newer contract, does not."""


@settings(max_examples=25, deadline=None)
@given(shapes=SHAPES, schedule=SCHEDULE)
@example(shapes=[(1, frozenset[int]()), (1, frozenset({1}))], schedule=[(0, 8, False), (1, 2, False)])
@example(shapes=ZOMBIE, schedule=[(0, 8, False), (1, 8, False), (0, 3, False), (1, 9, False)])
def test_each_record_once_whoever_is_stopped_continued_or_killed(
    shapes: list[Shape], schedule: list[tuple[int, int, bool]]
) -> None:
    rows, letters = Table(), Table()
    processes = [Process(rows, letters, *shape) for shape in shapes]
    for process in processes:
        process.start()
        process.waits.acquire()
    for who, acts, dies in schedule:
        process = processes[who % len(processes)]
        for _ in range(acts):
            process.act()
        if dies:
            process.kill()
    for process in processes:
        if schedule and schedule[0][1] % 2:
            process.kill()
        for _ in range(60):
            process.act()
    last = Process(rows, letters, 2, frozenset())
    last.start()
    last.waits.acquire()
    while not last.is_done:
        last.act()
    for process in (*processes, last):
        process.kill()
        process.join(5)
        if process.problem is not None:
            raise process.problem
    kept = Counter(rows.offsets + letters.offsets)
    assert kept == Counter(range(END))


def test_the_zombie_of_the_example_is_stopped_by_the_epoch() -> None:
    """It looks again, finds the position that it expects, and must not get through."""
    rows, letters = Table(), Table()
    zombie, other = (Process(rows, letters, *shape) for shape in ZOMBIE)
    for process in (zombie, other):
        process.start()
        process.waits.acquire()
    while len(zombie.tables._letters.table.written) < 2:  # type: ignore[attr-defined]
        zombie.act()
    while not other.is_done:
        other.act()
        if len(letters.written) == 3 and not zombie.is_done:  # the other has claimed, and written nothing yet
            for _ in range(4):
                zombie.act()
    assert letters.offsets == [], "the zombie's dead letter"
    assert sorted(rows.offsets) == list(range(END))
    for process in (zombie, other):
        process.kill()
