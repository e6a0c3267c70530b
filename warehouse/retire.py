"""Files of publishes that are no longer in force: kept while a reader has them, then removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse import publication

GRACE_S = 30.0
"""How long a replaced file is kept for readers that know its name but have not opened it yet."""
FILES = ("gold-*.duckdb", "current-*.duckdb", "month_*.duckdb")


def mark(replaced: Iterable[Path]) -> None:
    """Nobody learns these files' names any more from about now on: their time stamp says since when."""
    for path in replaced:
        if path.exists():
            os.utime(path)


def remove_unused(folder: Path, keep: Collection[str] = ()) -> list[str]:
    """Remove files that a newer publish has replaced and no reader has open; their names.

    keep    names of files that are about to be put in force
    """
    current = publication.current(folder)
    known = {*keep, *(current.files if current else ())}
    found = [path for pattern in FILES for path in folder.glob(pattern) if path.name not in known]
    old = [path for path in found if time.time() - path.stat().st_mtime >= GRACE_S and not _is_open(path)]
    for path in old:
        path.unlink(missing_ok=True)
    return [path.name for path in old]


def tidy(folder: Path) -> list[str]:
    """The same, at any time, by somebody who builds nothing. A build that runs has files that are in no record yet."""
    with building(folder, wait=False) as is_alone:
        return remove_unused(folder) if is_alone else []


@contextmanager
def building(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Only one builds or tidies at a time. Gives whether it is one's turn; that it always is with `wait`."""
    with (folder / ".build.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def remove_leftovers(folder: Path) -> None:
    """Remove what a build that was killed had not finished. Nobody else may be building."""
    for pattern in FILES:
        for path in folder.glob(f".{pattern}.*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_open(path: Path) -> bool:
    """Whether a DuckDB of another process has the file open: it holds a POSIX lock on it as long as it does."""
    question = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        with path.open("rb") as handle:
            answer = fcntl.fcntl(handle, fcntl.F_GETLK, question)
    except FileNotFoundError:
        return False
    return bool(struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK)
