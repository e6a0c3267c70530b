"""What the operating system forbids a sandbox process, whatever DuckDB would let it do.

Landlock is a Linux system call by which an unprivileged process gives up rights for good: first all writing, and once
the files are open, the file system and the network altogether. Handles that are open go on working.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from pathlib import Path

from infra.errors import ProcessError

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_VERSION_FLAG = 1
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38

_READ = 1 << 2 | 1 << 3
"""READ_FILE, READ_DIR."""
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Landlock version → how many rights of the file system it knows; later versions know as many as 5."""

ADDRESS_SPACE = 4 << 30
"""A normal query's address space peaks at 2.2 GB; big scalars that DuckDB's memory limit does not see stop here."""
THREAD_SPACE = 128 << 20
"""Address space of one more thread: its stack and its arena."""

_libc = ctypes.CDLL(None, use_errno=True)


def landlock_version() -> int:
    """Version of Landlock in this kernel; 0 when there is none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))))


def forbid_writing() -> bool:
    """Leave only reading of files. Returns False where the kernel has no Landlock."""
    return _restrict(readable=("/",))


def forbid_files_and_network() -> bool:
    """Leave nothing: no path can be opened, no socket bound or connected (TCP, abstract), no outsider signalled."""
    return _restrict(readable=())


def limit_resources(thread_s: int, threads: int, files: int) -> None:
    """Bounds that hold even if nobody watches. The parent watches time and resident memory besides.

    thread_s   CPU time of each thread
    files      how many of the warehouse's stay open
    """
    for kind, value in (
        (resource.RLIMIT_AS, ADDRESS_SPACE + (threads - 1) * THREAD_SPACE),
        (resource.RLIMIT_CPU, threads * thread_s),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64 + files),
    ):
        resource.setrlimit(kind, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def die_with_parent() -> None:
    """SIGKILL when the thread that forked this process ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _restrict(readable: tuple[str, ...]) -> bool:
    version = landlock_version()
    if version == 0:
        return False
    if (threads := len(list(Path("/proc/self/task").iterdir()))) > 1:
        msg = f"expected one thread in a process that gives up rights, got {threads}: the others would keep theirs"
        raise ProcessError(msg)
    files = (1 << _FS_BITS.get(version, 16)) - 1
    network = 0b11 if version >= 4 else 0
    scopes = 0b11 if version >= 6 else 0
    attributes = struct.pack("QQQ", files, network, scopes)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    for path in readable:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", _READ, folder)
        _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
        os.close(folder)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)
    return True


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock system call {number}: {os.strerror(code)}")
    return result
