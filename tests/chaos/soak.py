"""The soak: faults drawn from a seed, one after the other, each followed by its verdict, for so many minutes.

    python -m tests.chaos.soak --minutes 60 --seed 1

Worlds of three kinds take turns. A deck of faults is dealt to the end before it is shuffled again, so that an hour sees
all of them. A red verdict ends its world, whose folder is kept, and the soak goes on in another one.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path

from infra.text_columns import aligned, cut
from tests.chaos.faults import (
    SINK_STEPS,
    WORKER_STEPS,
    AtFailpoint,
    Fault,
    Freeze,
    FreezeAtFailpoint,
    Kill,
    KillEverything,
    KillInRecovery,
    NotInjected,
    RebalanceStorm,
    WrongClock,
)
from tests.chaos.faults_around import (
    CutConnections,
    FullDisk,
    HalfOpen,
    LoseOneOfThree,
    LostResponses,
    SlowNetwork,
    small_disks,
)
from tests.chaos.faults_batch import KilledInCommit, TwiceAtOnce, run_to_the_end
from tests.chaos.verdict import Verdict
from tests.chaos.world import RECOVERY_S, World

ONE_BROKER: tuple[Fault, ...] = (
    Freeze("worker"), Freeze("sink"), Freeze("broker"), Kill("worker"), Kill("sink"), Kill("collector"),
    Kill("broker", pause_s=(8.0, 20.0)), KillInRecovery("worker"), KillInRecovery("sink"), KillEverything(),
    AtFailpoint("sink", SINK_STEPS), AtFailpoint("worker", WORKER_STEPS), FreezeAtFailpoint("sink", SINK_STEPS),
    FreezeAtFailpoint("worker", WORKER_STEPS), RebalanceStorm("worker"),
    RebalanceStorm("sink", 40.0), CutConnections(), SlowNetwork(), HalfOpen(), LostResponses(), WrongClock("worker"),
    WrongClock("sink"), WrongClock("collector"), WrongClock("broker"), KilledInCommit(), TwiceAtOnce(),
)  # fmt: skip
THREE_BROKERS: tuple[Fault, ...] = (LoseOneOfThree(), Freeze("broker", 45.0), LostResponses(), KillEverything())
SMALL_DISKS: tuple[Fault, ...] = (
    FullDisk("broker-1/kafka/data", "the broker"),
    FullDisk("lake", "the sink"),
    FullDisk("collector", "the collector's spool", needs_outage=True),
)


@dataclass
class Kind:
    """A kind of world and its deck. After `turns` faults a world is ended, and by batch if it `ends_in_batch`."""

    name: str
    faults: Sequence[Fault]
    turns: int
    rates: Mapping[str, float]
    brokers: int = 1
    workers: int = 3
    sinks: int = 2
    disks: Sequence[str] = ()
    ends_in_batch: bool = False
    deck: list[Fault] = field(default_factory=list)

    def deal(self, dice: random.Random) -> Fault:
        """The next fault."""
        if not self.deck:
            self.deck = dice.sample(list(self.faults), len(self.faults))
        return self.deck.pop()

    @contextlib.contextmanager
    def world(self, home: Path, seed: int) -> Iterator[World]:
        """A world of this kind, up."""
        with (
            small_disks([home / name for name in self.disks]),
            World(
                home,
                seed=seed,
                brokers=self.brokers,
                workers=self.workers,
                sinks=self.sinks,
                rates=self.rates,
            ) as world,
        ):
            yield world


def kinds() -> list[Kind]:
    """In the order in which they take turns; their decks are full."""
    one = Kind(
        "one broker", ONE_BROKER, turns=6, rates={"kafka": 900.0, "collector": 200.0, "kafka-cmcd": 50.0},
        ends_in_batch=True,
    )  # fmt: skip
    three = Kind(
        "three brokers", THREE_BROKERS, turns=2, brokers=3, workers=1, sinks=1,
        rates={"kafka": 800.0, "collector": 150.0},
    )  # fmt: skip
    disks = Kind(
        "small disks", SMALL_DISKS, turns=3, workers=1, sinks=1, rates={"kafka": 300.0, "collector": 100.0},
        disks=("broker-1/kafka/data", "lake", "collector"),
    )  # fmt: skip
    return [one, three, one, disks]


@dataclass
class Line:
    """One fault and what came of it."""

    fault: str
    injected: str
    stopped: str
    ledger: str
    live: str
    is_good: bool
    is_skipped: bool = False
    detail: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        word = "skipped" if self.is_skipped else "ok" if self.is_good else "RED"
        return self.fault, self.injected, self.stopped, self.ledger, self.live, word


WIDEST = 70
HEADING = ("fault", "injected", "stopped (sink/stream)", "ledger", "live = batch", "verdict")


class Soak:
    """The run: what happened so far, and what the faults are drawn from."""

    def __init__(self, seed: int, minutes: float, folder: Path, only: str = "") -> None:
        self.seed, self._folder, self._only = seed, folder, only
        self._dice = random.Random(f"soak/{seed}")
        self._end = time.monotonic() + minutes * 60
        self._number = count(1)
        self.lines: list[Line] = []

    def run(self) -> None:
        """Until the time is over; a world that does not even come up is a red line."""
        for kind in cycle(self._kinds()):
            if self.lines and time.monotonic() >= self._end:
                return
            home = self._folder / f"{next(self._number):02}-{kind.name.replace(' ', '-')}"
            try:
                with kind.world(home, self._dice.randrange(10_000)) as world:
                    is_good = self._play(kind, world)
            except NotInjected as error:
                self._add(Line(kind.name, str(error), "-", "-", "-", is_good=True, is_skipped=True))
                is_good = True
            except Exception as error:  # noqa: BLE001 - all that goes wrong is collected, and told at the end
                self._add(_failed(f"world of {kind.name}", error))
                is_good = False
            if is_good:
                shutil.rmtree(home, ignore_errors=True)
            else:
                print(f"what is left of this world: {home}", flush=True)

    def _kinds(self) -> list[Kind]:
        found = kinds()
        for kind in {id(kind): kind for kind in found}.values():
            kind.faults = [fault for fault in kind.faults if self._only in fault.name]
        found = [kind for kind in found if kind.faults]
        if not found:
            msg = f"no fault has {self._only!r} in its name"
            raise SystemExit(msg)
        return found

    def _play(self, kind: Kind, world: World) -> bool:
        """Faults in one world, until its turns or the time are over or a verdict is red."""
        for turn in range(min(kind.turns, len(kind.faults))):
            if turn:
                world.start_load()
                world.progress.wait(RECOVERY_S)
            line = self._one(kind.deal(self._dice), world)
            self._add(line)
            if not line.is_good:
                print(world.story(), flush=True)
                return False
            if time.monotonic() >= self._end:
                break
        if not kind.ends_in_batch or self._only:
            return True
        line = _batch(world)
        self._add(line)
        return line.is_good

    def _one(self, fault: Fault, world: World) -> Line:
        print(f"{time.strftime('%T')}  {fault.name} ...", flush=True)
        world.progress.restart()
        try:
            if getattr(fault, "is_batch", False):
                return self._one_of_batch(fault, world)
            injected = fault.inject(world, self._dice)
            world.progress.wait(RECOVERY_S)
            stopped = f"{world.progress.sink.longest:.1f} s / {world.progress.stream.longest:.1f} s"
            return _judged(fault.name, injected, stopped, world.calm())
        except NotInjected as error:
            world.calm()
            return Line(fault.name, str(error), "-", "-", "-", is_good=False, detail=str(error))
        except Exception as error:  # noqa: BLE001 - as above
            return _failed(fault.name, error)

    def _one_of_batch(self, fault: Fault, world: World) -> Line:
        """Nothing is sent meanwhile: what Spark has to do, and how long, does not depend on it."""
        world.calm()
        injected = fault.inject(world, self._dice)
        verdict = _after_batch(world)
        world.has_batch = False
        return _judged(fault.name, injected, "-", verdict)

    def _add(self, line: Line) -> None:
        self.lines.append(line)
        print(f"{time.strftime('%T')}  {'  |  '.join(line.cells)}", flush=True)
        if line.detail:
            print(line.detail, flush=True)

    def report(self) -> str:
        """The table, and the reasons of what is red."""
        rows = [[cut(cell, WIDEST) for cell in cells] for cells in (HEADING, *(line.cells for line in self.lines))]
        return "\n".join(aligned(rows)) + "".join(
            f"\n\nRED {line.fault}\n{line.detail}" for line in self.lines if not line.is_good
        )


def _after_batch(world: World) -> Verdict:
    """Silver to the end, while nothing is sent: then everything must be equal, batch too."""
    run_to_the_end(world)
    world.has_batch = True
    return world.calm()


def _batch(world: World) -> Line:
    try:
        return _judged("(batch at the end)", "silver from all that came", "-", _after_batch(world))
    except Exception as error:  # noqa: BLE001 - as above
        return _failed("(batch at the end)", error)


def _judged(fault: str, injected: str, stopped: str, verdict: Verdict) -> Line:
    detail = "\n".join(f"{name}: {text}" for name, text in verdict.wrong.items())
    ledger = f"{verdict.ledger} ({verdict.acked:,} acked, {verdict.letters:,} letters)"
    return Line(fault, injected, stopped, ledger, verdict.live, verdict.is_good, detail=detail)


def _failed(fault: str, error: Exception) -> Line:
    detail = "".join(traceback.format_exception(error))
    return Line(fault, f"{type(error).__name__}", "-", "not judged", "not judged", is_good=False, detail=detail)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="repeats the draws of an earlier run")
    parser.add_argument("--only", default="", help="only faults with this in their name, and no batch")
    parser.add_argument("--folder", type=Path, default=None, help="where the worlds live")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="playlake-chaos-"))
    print(f"SEED={seed} MINUTES={options.minutes:g}, in {folder}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # however it is ended, it ends what it has started
    soak = Soak(seed, options.minutes, folder, options.only)
    began = time.monotonic()
    try:
        soak.run()
    except KeyboardInterrupt:
        print("stopped by a signal; what there is of a verdict:", flush=True)
    red = sum(not line.is_good for line in soak.lines)
    print(
        f"\n{soak.report()}\n\nSEED={seed}, {len(soak.lines)} verdicts in {(time.monotonic() - began) / 60:.0f} min, "
    )
    print(f"{red} red" if red else "none red", flush=True)
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
