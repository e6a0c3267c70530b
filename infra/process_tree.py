"""Finding and ending processes that the supervisor has started, and nobody else's.

Every process that the supervisor starts carries a mark in its environment, which its children inherit even when they
leave its process group, or when the supervisor has died. A process is told from a later one of the same number by its
start time (psutil compares it before each signal).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from infra.settings import PREFIX, Settings

MARK = "RUN_BY_PLAYLAKE"


def environment(settings: Settings, part: str = "") -> dict[str, str]:
    """What a process of ours inherits: our own environment with these settings and, for a part, its mark."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}  # noqa: TID251
    own = {MARK: f"{settings.home}#{part}"} if part else {}
    return inherited | settings.to_env() | own | {"PYTHONUNBUFFERED": "1"}


def marked(home: Path, part: str | None = None) -> list[psutil.Process]:
    """All living processes of this state folder, or of one of its parts, except the one that asks."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            value = process.environ().get(MARK, "")
            ours = value == f"{home}#{part}" if part else value.startswith(f"{home}#")
            if ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def same(pid: int, started: float) -> psutil.Process | None:
    """The process of that number if it is still the one that was started then."""
    try:
        process = psutil.Process(pid)
        alive = abs(process.create_time() - started) < 0.05 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if alive else None


def start_time(pid: int) -> float:
    """When the process was started; now, when it has ended already."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return time.time()


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants; empty when it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def end(processes: Iterable[psutil.Process], grace_s: float) -> list[psutil.Process]:
    """SIGTERM, wait, SIGKILL. Returns those that had to be killed."""
    left = [process for process in processes if _send(process, signal.SIGTERM)]
    _gone, alive = psutil.wait_procs(left, timeout=grace_s)
    killed = [process for process in alive if _send(process, signal.SIGKILL)]
    psutil.wait_procs(killed, timeout=5)
    return killed


def end_group(pgid: int, how: signal.Signals) -> None:
    """Signal a whole process group; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pgid, how)


def resident_bytes(processes: Iterable[psutil.Process]) -> int:
    """Memory that would be free without these processes: shared pages count by share (PSS) where the system tells."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            total += _pss(process.pid) or process.memory_info().rss
    return total


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """CPU time of the processes and of children that they have outlived."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


def listening(processes: Iterable[psutil.Process]) -> list[tuple[str, int]]:
    """(address, port) of every socket on which one of the processes accepts connections."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for socket in process.net_connections("inet"):
                if socket.status == psutil.CONN_LISTEN or (socket.status == psutil.CONN_NONE and not socket.raddr):
                    found.add((socket.laddr.ip, socket.laddr.port))
    return sorted(found)


def listener(port: int) -> str:
    """Who listens on a port of this machine, as far as we may see: `pid 123 (python -m http.server)`."""
    for socket in psutil.net_connections("tcp"):
        if socket.status == psutil.CONN_LISTEN and socket.laddr and socket.laddr.port == port and socket.pid:
            with contextlib.suppress(psutil.Error):
                words = " ".join(psutil.Process(socket.pid).cmdline())
                return f"pid {socket.pid} ({words[:80]})"
    return "a process that can't be seen from here"


def wait_gone(process: psutil.Process, timeout_s: float) -> bool:
    """Whether the process ended in time."""
    end_at = time.monotonic() + timeout_s
    while is_alive(process):
        if time.monotonic() > end_at:
            return False
        time.sleep(0.05)
    return True


def _send(process: psutil.Process, how: signal.Signals) -> bool:
    try:
        process.send_signal(how)
    except psutil.Error:
        return False
    return True


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)
