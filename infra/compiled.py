"""Compiled functions, and where their machine code is kept.

numba keeps the machine code of a function until the function's own file changes, but a compiled function contains those
that it calls, and the constants of the contracts. So the folder of the code is named after all sources that can be in
it: whatever changes there, everything is compiled anew.
"""

from __future__ import annotations

import pkgutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numba

from infra.setup.compiled import FOLDER, name, prune
from infra.shared import listen

F = TypeVar("F", bound=Callable[..., Any])
_njit: Any = numba.njit
# Without numba's run-time for objects a function cannot allocate, and a view of an array costs nothing.
_LEAN: dict[str, Any] = {"error_model": "numpy", "_nrt": False}

OURS = ("infra", "schemas", "streams")
SHIPPED = "compiled_code.txt"
"""File beside this one, in sources that are sent to another process: the folder of their machine code."""


def code_folder() -> Path:
    """Where machine code of these sources is kept. Sources that were sent somewhere else tell it (`SHIPPED`)."""
    try:
        shipped = pkgutil.get_data("infra", SHIPPED)
    except OSError:
        shipped = None
    return FOLDER / name() if shipped is None else Path(shipped.decode())


def _keep_in(folder: Path) -> bool:
    """Whether machine code can be kept there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    prune(folder)
    return True


class Locator:
    """Tells numba one folder for the same sources, wherever they lie: Spark's workers import them from a zip.

    The folder's name stands for all sources, so that nothing in it is ever out of date. The methods are numba's.
    """

    folder: Final = code_folder()
    is_kept: Final = _keep_in(folder)

    def __init__(self, module: str, line: int) -> None:
        self._module, self._line = module, line

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Locator | None:
        if not cls.is_kept or py_func.__module__.partition(".")[0] not in OURS:
            return None
        here = cls(py_func.__module__, py_func.__code__.co_firstlineno)
        here.ensure_cache_path()
        return here

    def ensure_cache_path(self) -> None:
        Path(self.get_cache_path()).mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(self.folder / self._module)

    def get_source_stamp(self) -> str:
        return self.folder.name

    def get_disambiguator(self) -> str:
        return str(self._line)


_config: Any = numba.config
# Where we may not write, it is the user's own folder.
_config.CACHE_LOCATOR_CLASSES = f"{__name__}.Locator,UserWideCacheLocator,ZipCacheLocator"


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


# A shared function is compiled into those that call it, and stays Python's.
listen(numba.extending.register_jitable(**_LEAN))
