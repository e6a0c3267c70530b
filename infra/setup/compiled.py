"""Machine code of the functions that numba compiles, made once so that no first start waits for it.

It is kept outside the folder too, as downloads are: a second clone with the same sources compiles nothing. numba looks
at the processor and at Python's version itself, and compiles what is missing for these.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from infra.settings import ROOT
from infra.setup import python
from infra.setup.step import Runner, Step, fingerprint

FOLDER = ROOT / ".compiled"
CACHE = Path("~/.cache/playlake/compiled").expanduser()
SOURCES = ("infra/compiled.py", "schemas/**/*.py", "streams/live/*.py")
"""All that can be in a compiled function, by its calls or as a constant."""
COMPILING = ("streams.warm", "schemas.whole.warm")
"""Modules that compile what the stream and what batch calls."""
NEVER = ROOT / "schemas" / "metrics"
"""Definitions over what was folded: no compiled function calls them, and a better sentence there compiles nothing."""
KEPT = 4
"""Folders of other states of the sources: one may go back and forth between branches."""


def name() -> str:
    """Of the folder in FOLDER: it stands for all sources, wherever they lie, and for numba's version."""
    lock = python.lock_of("main").read_text()
    texts = (text for source in _sources() for text in (source.relative_to(ROOT).as_posix(), source.read_text()))
    return fingerprint([lock, *texts])[:16]


def prune(folder: Path) -> None:
    """Delete the oldest of its neighbours: their sources were in force long ago."""
    others = (other for other in folder.parent.iterdir() if other.is_dir() and other != folder)
    for old in sorted(others, key=lambda other: other.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def functions() -> Step:
    return Step("Compiled functions", FOLDER, _inputs, _make)


def _sources() -> list[Path]:
    return sorted(path for pattern in SOURCES for path in ROOT.glob(pattern) if not path.is_relative_to(NEVER))


def _inputs() -> Iterator[Path | str]:
    yield str(ROOT)
    yield python.lock_of("main")
    yield from _sources()


def _make(runner: Runner) -> None:
    FOLDER.mkdir(exist_ok=True)
    made = FOLDER / name()
    kept = CACHE / made.name
    if kept.is_dir():
        shutil.copytree(kept, made, dirs_exist_ok=True)
    for module in COMPILING:
        runner.run([python.MAIN / "bin" / "python", "-m", module], cwd=ROOT)
    if not kept.is_dir():
        _keep(made, kept)


def _keep(made: Path, kept: Path) -> None:
    """By rename: another set-up may look at the same moment, or have kept the same."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".", ignore_cleanup_errors=True) as half:
        shutil.copytree(made, Path(half) / kept.name)
        try:
            (Path(half) / kept.name).rename(kept)
        except OSError:
            if not kept.is_dir():
                raise
    prune(kept)
