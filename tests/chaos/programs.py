"""Programs under fire: real processes by name, each with a log file, and the keeper that starts again what has died."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.settings import ROOT
from infra.waiting import until

PAUSE_S = 1.0
"""Between the death of a program and its next start."""


@dataclass
class Program:
    """One process. `exits` are the codes of those that ended by themselves; a signal is a negative number."""

    name: str
    argv: Callable[[], Sequence[str]]
    env: Mapping[str, str]
    log: Path
    wanted: bool = False
    """Whether the keeper is to start it again."""
    starts: int = 0
    exits: list[int] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def is_asleep(self) -> bool:
        """Whether it has been stopped by a signal."""
        return (
            self.process is not None
            and self.is_up
            and psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED
        )

    def start(self, extra: Mapping[str, str] | None = None) -> None:
        """Start it; `extra` is environment of this one process, not of those that come after it."""
        with self._lock:
            assert not self.is_up, f"{self.name} runs already"
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as out:
                self.process = subprocess.Popen(
                    [*_dies_with_us(), *self.argv()],
                    cwd=ROOT,
                    env={**os.environ, **self.env, **(extra or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for the suite, which then ends them one by one
                )
            self.wanted = True
            self.starts += 1

    def signal(self, how: signal.Signals) -> None:
        """Send a signal to the whole group of the process, if there is one."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self.process is not None and self.is_up:
                os.killpg(self.process.pid, how)

    def kill(self) -> None:
        """`kill -9`. Whoever wants it has the keeper start it again."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(20)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def stop(self, timeout_s: float = 40.0) -> int:
        """SIGTERM, and SIGKILL after the time; it stays away. Returns the exit code."""
        with self._lock:
            self.wanted = False
        self.thaw()
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float) -> int:
        """Its exit code. It is killed when it does not end in time."""
        if self.process is None:
            return 0
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def wait_up(self, timeout_s: float = 60.0) -> None:
        """Return when the keeper has it running."""
        until(f"{self.name} runs", lambda: self.is_up, timeout_s, seen=self.tail)

    def end(self) -> None:
        """SIGKILL, for good."""
        with self._lock:
            self.wanted = False
        self.thaw()
        with contextlib.suppress(subprocess.TimeoutExpired):  # or the others would be left running
            self.kill()

    def tail(self, size: int = 1500) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    def start_again_if_dead(self) -> bool:
        """What the supervisor does. Whether it was necessary."""
        with self._lock:
            if not self.wanted or self.process is None or self.process.poll() is None:
                return False
            self.exits.append(self.process.returncode)
            self.start()
            return True


class Keeper:
    """The supervisor's stand-in: looks twice a second, starts what is wanted and dead."""

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join(30)

    def _run(self) -> None:
        dead_since: dict[str, float] = {}
        while not self._stopping.wait(0.5):
            for program in list(self.programs):
                if program.is_up or not program.wanted:
                    dead_since.pop(program.name, None)
                elif time.monotonic() - dead_since.setdefault(program.name, time.monotonic()) >= PAUSE_S:
                    program.start_again_if_dead()
        self._stopping.wait()
        # A child dies with the thread that started it (see below): stay until all have been ended.
        while any(program.is_up for program in self.programs):
            time.sleep(0.1)


def _dies_with_us() -> list[str]:
    """A prefix by which the kernel kills the process when the suite is killed and can't do it any more."""
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", "SIGKILL", "--"] if found else []
