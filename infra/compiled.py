"""Compiled functions, and where their machine code is kept.

numba keeps the machine code of a function until the function's own file changes, but a compiled function contains those
that it calls, and the constants of the contracts. So the folder of the code is named after all sources that can be in
it: whatever changes there, everything is compiled anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

from infra.settings import ROOT
from infra.setup.compiled import FOLDER, sources
from infra.setup.step import fingerprint

F = TypeVar("F", bound=Callable[..., Any])
_njit: Any = numba.njit
# Without numba's run-time for objects a function cannot allocate, and a view of an array costs nothing.
_LEAN: dict[str, Any] = {"error_model": "numpy", "_nrt": False}

KEPT = 4
"""Folders of other states of the sources: one may go back and forth between branches."""


def _folder() -> Path:
    texts = [text for source in sources() for text in (source.relative_to(ROOT).as_posix(), source.read_text())]
    return FOLDER / fingerprint([numba.__version__, *texts])[:16]


def _keep_in(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # installed where we may not write: numba then uses the user's own cache folder
    others = sorted(
        (other for other in FOLDER.iterdir() if other.is_dir() and other != folder),
        key=lambda other: other.stat().st_mtime,
    )
    for old in others[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    settings: Any = numba.config
    settings.CACHE_DIR = str(folder)


_keep_in(_folder())


def compiled(function: F) -> F:
    """Compile at the first call, keep the result on the disk, run without the interpreter's lock.

    A compiled function allocates nothing: it works on the arrays that it is given.
    """
    fast: F = _njit(cache=True, nogil=True, **_LEAN)(function)
    return fast


def inlined(function: F) -> F:
    """Compile into every compiled function that calls it: for what is called once an event with tuples of many arrays.

    Handing over such a tuple takes longer than most of what is done with it: the fold took half as long again.
    """
    fast: F = _njit(inline="always", **_LEAN)(function)
    return fast


def shared(function: F) -> F:
    """Python where Python calls it, compiled where a compiled function does: one source for both."""
    both: F = numba.extending.register_jitable(**_LEAN)(function)
    return both
