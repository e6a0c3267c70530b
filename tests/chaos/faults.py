"""Faults: what each one does to a world, and in which words it says so. This module: processes and their clocks.

A fault leaves a world that can recover by itself: what it has stopped it continues, what it has killed the keeper
starts again. How long nothing went on, and what is in the lake afterwards, is for others to judge.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.waiting import until
from schemas.registry import PLAYBACK
from schemas.tables import BRONZE, DEAD_LETTERS
from streams.live.partition import STEPS
from tests.chaos.programs import Program
from tests.chaos.world import World

REACHED_S = 120.0
"""How long it may take until a failpoint is passed."""
RIGHT_MONOTONIC = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}
"""With libfaketime's own idea of timed waits a JVM never sleeps and hardly starts."""
SINK_STEPS = tuple(
    f"{table.name}: {moment}"
    for table in (BRONZE[PLAYBACK.name], BRONZE["user.ui.events"], DEAD_LETTERS)
    for moment in ("before files", "before commit", "after commit")
)
WORKER_STEPS = ("state: before live", *(f"state: before {name}" for name in STEPS), "state: written")


class Fault(Protocol):
    """`name` stands in the table."""

    @property
    def name(self) -> str: ...

    def inject(self, world: World, dice: random.Random) -> str:
        """Do it; returns what was done."""


class NotInjected(Exception):
    """The fault did not come about, so nothing was shown."""


@dataclass(frozen=True)
class Freeze:
    """SIGSTOP, longer than any session time-out, then SIGCONT: a zombie comes back and believes that it owns."""

    who: str
    seconds: float = 90.0

    @property
    def name(self) -> str:
        return f"{self.who} frozen"

    def inject(self, world: World, dice: random.Random) -> str:
        program = dice.choice(world.named(self.who))
        program.freeze()
        try:
            time.sleep(self.seconds)
        finally:
            program.thaw()
        return f"{program.name} SIGSTOP for {self.seconds:.0f} s, SIGCONT"


@dataclass(frozen=True)
class Kill:
    """kill -9 at random moments."""

    who: str
    times: int = 3
    pause_s: tuple[float, float] = (2.0, 10.0)

    @property
    def name(self) -> str:
        return f"{self.who} killed"

    def inject(self, world: World, dice: random.Random) -> str:
        killed = [self._one(world, dice) for _ in range(self.times)]
        return f"kill -9 of {', '.join(killed)}"

    def _one(self, world: World, dice: random.Random) -> str:
        time.sleep(dice.uniform(*self.pause_s))
        program = dice.choice(world.named(self.who))
        program.wait_up()
        program.kill()
        return program.name


@dataclass(frozen=True)
class KillInRecovery:
    """Killed, killed again while it recovers, and once more."""

    who: str
    times: int = 3

    @property
    def name(self) -> str:
        return f"{self.who} killed in recovery"

    def inject(self, world: World, dice: random.Random) -> str:
        program = dice.choice(world.named(self.who))
        after = []
        for _ in range(self.times):
            program.wait_up()
            program.kill()
            program.wait_up()
            after.append(dice.uniform(0.3, 6.0))
            time.sleep(after[-1])
        program.kill()
        return f"{program.name} kill -9, and {', '.join(f'{s:.1f}' for s in after)} s after it was started again"


@dataclass(frozen=True)
class KillEverything:
    """Every process once, in any order, within seconds."""

    name: str = "everything killed"

    def inject(self, world: World, dice: random.Random) -> str:
        victims = [program for program in world.programs.values() if program.wanted]
        for program in dice.sample(victims, len(victims)):
            program.kill()
            time.sleep(dice.uniform(0, 1.5))
        return f"kill -9 of {len(victims)} processes, one after the other"


@dataclass(frozen=True)
class AtFailpoint:
    """Killed by itself, at a chosen moment between two acts."""

    who: str
    steps: Sequence[str]
    times: int = 2
    most: int = 6
    """Passes of the place before it strikes: the first commits of a process are its claims."""

    @property
    def name(self) -> str:
        return f"{self.who} at failpoint"

    def inject(self, world: World, dice: random.Random) -> str:
        done = []
        for _ in range(self.times):
            program = dice.choice(world.named(self.who))
            step, count = dice.choice(self.steps), dice.randint(1, self.most)
            strike(program, step, count)
            done.append(f"{program.name} {step} @{count}")
        return f"killed at {'; '.join(done)}"


@dataclass(frozen=True)
class FreezeAtFailpoint:
    """Stopped by itself around a commit, longer than its session lasts, and continued when others have gone on."""

    who: str
    steps: Sequence[str]
    seconds: float = 20.0
    most: int = 8

    @property
    def name(self) -> str:
        return f"{self.who} frozen at failpoint"

    def inject(self, world: World, dice: random.Random) -> str:
        program = dice.choice(world.named(self.who))
        step, count = dice.choice(self.steps), dice.randint(1, self.most)
        fall_asleep(program, f"{step}=stop@{count}")
        try:
            time.sleep(self.seconds)
            world.progress.wait(REACHED_S)
        finally:
            program.thaw()
        return f"{program.name} stopped at {step} @{count} for {self.seconds:.0f} s and until others went on"


@dataclass(frozen=True)
class RebalanceStorm:
    """Members of a group come, go, die and fall asleep faster than it comes to rest."""

    who: str
    seconds: float = 60.0

    @property
    def name(self) -> str:
        return f"rebalance storm of {self.who}s"

    def inject(self, world: World, dice: random.Random) -> str:
        members = world.named(self.who)
        end, did = time.monotonic() + self.seconds, {"killed": 0, "stopped": 0, "frozen": 0}
        while time.monotonic() < end:
            program, how = dice.choice(members), dice.choice(list(did))
            if program.is_up:
                did[how] += 1
                if how == "killed":
                    program.kill()
                elif how == "stopped":
                    program.stop(15)
                    program.start()
                else:
                    program.freeze()
                    time.sleep(dice.uniform(4, 9))
                    program.thaw()
            time.sleep(dice.uniform(0.5, 4))
        return f"{len(members)} members for {self.seconds:.0f} s: " + ", ".join(f"{n} {how}" for how, n in did.items())


@dataclass(frozen=True)
class WrongClock:
    """One process lives two hours off for a while; its monotonic clock is right, as on a machine whose clock is set."""

    who: str
    seconds: float = 30.0

    @property
    def name(self) -> str:
        return f"clock of {self.who} off"

    def inject(self, world: World, dice: random.Random) -> str:
        program, off = dice.choice(world.named(self.who)), dice.choice(("+2h", "-2h"))
        shifted = {"LD_PRELOAD": str(faketime()), "FAKETIME": off, **RIGHT_MONOTONIC}
        program.end()
        program.start(shifted)
        world.progress.wait(REACHED_S)  # it works, with the wrong clock
        time.sleep(self.seconds)
        program.kill()
        return f"{program.name} started with its clock {off}, killed {self.seconds:.0f} s after all went on"


def faketime() -> Path:
    """The library that shifts a process' clock. Raises NotInjected where it is not installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        msg = "libfaketime is not installed (Debian: apt-get install faketime)"
        raise NotInjected(msg)
    return found[0]


def strike(program: Program, step: str, count: int = 1) -> None:
    """Start the program anew with a failpoint, and wait until it has struck; the keeper then starts it without."""
    program.end()
    exits = len(program.exits)
    program.start({"PLAYLAKE_FAILPOINTS": f"{step}=kill@{count}"})
    _reached(f"{program.name} passes {step!r} {count} times", lambda: len(program.exits) > exits, program)
    if program.exits[exits] != -9:
        msg = f"expected {program.name} to kill itself at {step!r}, it ended with {program.exits[exits]}"
        raise NotInjected(msg)


def fall_asleep(program: Program, failpoints: str) -> None:
    """Start the program anew, and return when it has stopped itself at one of the failpoints."""
    program.end()
    program.start({"PLAYLAKE_FAILPOINTS": failpoints})
    _reached(f"{program.name} stops itself by {failpoints!r}", lambda: program.is_asleep, program)


def _reached(what: str, is_true: Callable[[], bool], program: Program) -> None:
    try:
        until(what, is_true, REACHED_S, seen=program.tail)
    except TimeoutError as error:
        raise NotInjected(str(error)) from None
