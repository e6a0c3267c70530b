"""Machine code is made once on a machine for the same sources, whichever clone asks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from infra.setup import compiled
from infra.setup.step import Runner


class Compiler(Runner):
    """Compiles what is not there yet, as numba does."""

    compiled = 0

    def run(self, argv: Any, **_: Any) -> None:
        made = compiled.FOLDER / compiled.name() / argv[-1]
        if not made.is_file():
            made.parent.mkdir(exist_ok=True)
            made.write_text("code")
            self.compiled += 1


@pytest.fixture
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(compiled, "CACHE", tmp_path / "cache")

    def set_up(clone: str) -> tuple[int, list[str]]:
        runner = Compiler()
        monkeypatch.setattr(compiled, "FOLDER", tmp_path / clone)
        compiled.functions().run(runner)
        return runner.compiled, sorted(path.name for path in (tmp_path / clone / compiled.name()).iterdir())

    return set_up


def test_a_second_clone_compiles_nothing_and_other_sources_do(clones: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clones("one") == (2, sorted(compiled.COMPILING))
    assert clones("two") == (0, sorted(compiled.COMPILING))
    monkeypatch.setattr(compiled, "SOURCES", ("infra/compiled.py",))
    assert clones("two") == (2, sorted(compiled.COMPILING))


def test_what_is_missing_of_it_is_compiled(clones: Any) -> None:
    clones("one")
    (compiled.CACHE / compiled.name() / compiled.COMPILING[0]).unlink()
    assert clones("two") == (1, sorted(compiled.COMPILING))


def test_old_ones_go(clones: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for pattern in ("infra/*.py", "infra/setup/*.py", "schemas/*.py", "streams/*.py", "batch/*.py", "warehouse/*.py"):
        monkeypatch.setattr(compiled, "SOURCES", (pattern,))
        clones("one")
    kept = {path.name for path in compiled.CACHE.iterdir()}
    assert len(kept) == compiled.KEPT + 1
    assert compiled.name() in kept


def test_two_at_once_keep_one(clones: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    copytree = shutil.copytree

    def late(made: Path, kept: Path, **options: Any) -> Any:
        (compiled.CACHE / compiled.name()).mkdir(parents=True)
        (compiled.CACHE / compiled.name() / "of the other").touch()
        return copytree(made, kept, **options)

    monkeypatch.setattr(shutil, "copytree", late)
    clones("one")
    assert [path.name for path in compiled.CACHE.iterdir()] == [compiled.name()]
    assert (compiled.CACHE / compiled.name() / "of the other").is_file()
