"""Machine code of the functions that numba compiles, made once so that no first start waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from infra.settings import ROOT
from infra.setup import python
from infra.setup.step import Runner, Step

FOLDER = ROOT / ".compiled"
SOURCES = ("infra/compiled.py", "schemas/**/*.py", "streams/live/*.py")
"""All that can be in a compiled function, by its calls or as a constant."""
COMPILING = ("streams.warm", "schemas.whole.warm")
"""Modules that compile what the stream and what batch calls."""
NEVER = ROOT / "schemas" / "metrics"
"""Definitions over what was folded: no compiled function calls them, and a better sentence there compiles nothing."""


def sources() -> list[Path]:
    """The files of SOURCES, in order."""
    return sorted(path for pattern in SOURCES for path in ROOT.glob(pattern) if not path.is_relative_to(NEVER))


def functions() -> Step:
    return Step("Compiled functions", FOLDER, _inputs, _make)


def _inputs() -> Iterator[Path | str]:
    yield str(ROOT)
    yield python.lock_of("main")
    yield from sources()


def _make(runner: Runner) -> None:
    FOLDER.mkdir(exist_ok=True)
    for module in COMPILING:
        runner.run([python.MAIN / "bin" / "python", "-m", module], cwd=ROOT)
