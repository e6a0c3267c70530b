"""What is running, on disk: `<home>/run/` holds a lock that lives as long as the supervisor, and its last word.

The lock is the kernel's (flock), so it is gone with the process however it ended. The state file is replaced whole.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import psutil

from infra import process_tree
from infra.settings import Settings


@dataclass
class PartState:
    """state: waiting | starting | healthy | unhealthy | backing off | done | failed | stopping | stopped."""

    name: str
    state: str = "waiting"
    since: float = 0.0
    """When it came into this state (epoch seconds)."""
    pid: int = 0
    started: float = 0.0
    """When its process was started."""
    restarts: int = 0
    took_s: float = 0.0
    """From the start of its process until it was healthy or done."""
    why: str = ""
    """What the last failure was."""
    url: str = ""
    ports: list[int] = field(default_factory=list)
    grace_s: float = 10.0


@dataclass
class RunState:
    """phase: starting | up | stopping | stopped | failed."""

    pid: int
    started: float
    phase: str = "starting"
    why: str = ""
    parts: list[PartState] = field(default_factory=list)

    def part(self, name: str) -> PartState:
        return next(part for part in self.parts if part.name == name)


class Lock:
    """Held by the one supervisor of a state folder."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.home / "run" / "lock"
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """Whether it is ours now; False when another process holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def new(parts: list[PartState]) -> RunState:
    """The state of a run that begins in this process."""
    return RunState(pid=os.getpid(), started=psutil.Process().create_time(), parts=parts)


def write(settings: Settings, state: RunState) -> None:
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    replacement = path.with_suffix(f".{os.getpid()}")
    replacement.write_text(json.dumps(asdict(state), indent=1) + "\n")
    replacement.rename(path)


def read(settings: Settings) -> RunState | None:
    """The last word of the last supervisor, dead or alive."""
    try:
        told = json.loads(_path(settings).read_text())
    except FileNotFoundError:
        return None
    told["parts"] = [PartState(**part) for part in told["parts"]]
    return RunState(**told)


def forget_processes(settings: Settings) -> None:
    """After a dead supervisor's processes were ended by somebody else: say so in its stead."""
    state = read(settings)
    if state:
        state.phase = "stopped"
        for part in state.parts:
            part.state, part.pid, part.started = "stopped", 0, 0.0
        write(settings, state)


def supervisor(settings: Settings) -> psutil.Process | None:
    """The supervisor of this state folder if it is alive."""
    state = read(settings)
    return process_tree.same(state.pid, state.started) if state else None


def orphans(settings: Settings) -> list[psutil.Process]:
    """Processes of this state folder; to be asked when no supervisor lives, for then each is an orphan.

    By their mark, and by what the last supervisor wrote down (a process may have overwritten its environment).
    """
    found = {process.pid: process for process in process_tree.marked(settings.home)}
    state = read(settings)
    for part in state.parts if state else []:
        if part.pid and process_tree.same(part.pid, part.started):
            found.update((process.pid, process) for process in process_tree.tree(part.pid))
    return list(found.values())


def _path(settings: Settings) -> Path:
    return settings.home / "run" / "supervisor.json"
