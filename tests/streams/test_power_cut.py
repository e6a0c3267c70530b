"""The power goes: what was not flushed is gone, and `commit` had returned only for what was."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.errors import LakeDamaged
from streams.delta_audit import audit
from streams.delta_sink import DeltaSink
from tests.streams.delta_world import P0, offsets_in, rows, table_in
from tests.streams.test_maintain import STEPS, fill, run


class Disk:
    """Remembers what was flushed: which names a folder had, how much of a file was there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._names: dict[Path, set[str]] = {}
        self._sizes: dict[int, int] = {}
        flush = os.fsync

        def fsync(handle: int) -> None:
            flush(handle)
            path = Path(f"/proc/self/fd/{handle}").resolve()
            if path.is_dir():
                self._names[path] = {entry.name for entry in path.iterdir()}
            else:
                self._sizes[path.stat().st_ino] = path.stat().st_size

        monkeypatch.setattr(os, "fsync", fsync)

    def after_power_cut(self, lake: Path, copy: Path, *, names_survive: bool = False) -> Path:
        """What is left of a lake: every byte that was not flushed is gone, and every name, unless names survive."""
        shutil.rmtree(copy, ignore_errors=True)
        self._copy(lake, copy, names_survive)
        return copy

    def _copy(self, folder: Path, copy: Path, names_survive: bool) -> None:
        copy.mkdir()
        for name in {entry.name for entry in folder.iterdir()} if names_survive else self._names.get(folder, ()):
            source = folder / name
            if source.is_dir():
                self._copy(source, copy / name, names_survive)
            elif source.exists():
                (copy / name).write_bytes(source.read_bytes()[: self._sizes.get(source.stat().st_ino, 0)])


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def as_advised(table: Path) -> bool:
    """Whether the audit refuses; then what it advises is done, and it may not refuse any more."""
    try:
        audit(table)
    except LakeDamaged as error:
        found = re.search(r"(\S+\.json) is .* It is the newest commit .* move it out of the folder", str(error))
        assert found, error
        Path(found[1]).rename(table.parent / "moved.json")
        audit(table)
        return True
    return False


def test_what_a_commit_returned_for_is_there(tmp_path: Path, disk: Disk) -> None:
    sink = table_in(tmp_path / "lake")
    for number in range(22):  # over a reopened handle
        fill(sink, 1, first=number)
        left = disk.after_power_cut(tmp_path / "lake", tmp_path / "copy") / "bronze" / sink.path.name
        assert audit(left) == number + 1
        assert table_in(tmp_path / "copy").stored(P0) == 3 * number + 3
        assert offsets_in(left) == list(range(3 * number + 3))


@pytest.mark.parametrize("names_survive", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("moment", ["before files", "before commit", "after commit"])
def test_in_the_middle_of_a_commit_it_is_there_or_not(
    tmp_path: Path, disk: Disk, moment: str, names_survive: bool
) -> None:
    refused: list[bool] = []

    def cut(name: str) -> None:
        if name.endswith(moment) and sink.stored(P0):
            copy = disk.after_power_cut(tmp_path / "lake", tmp_path / "copy", names_survive=names_survive)
            left = copy / "bronze" / sink.path.name
            refused.append(as_advised(left))
            assert offsets_in(left) == list(range(sink.stored(P0) or 0))

    sink = _with_step(tmp_path / "lake", cut)
    for number in range(3):
        sink.commit(rows(range(number * 3, number * 3 + 3)), {P0: (sink.stored(P0), number * 3 + 3)})
    assert refused == [moment == "after commit" and names_survive] * 2, "a commit of no bytes is refused, else none"


@pytest.mark.parametrize("names_survive", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("moment", [*STEPS, "end"])
def test_in_the_middle_of_maintenance_no_row_is_gone(
    tmp_path: Path, disk: Disk, moment: str, names_survive: bool
) -> None:
    looked: list[bool] = []

    def cut(name: str) -> None:
        if name == moment:
            copy = disk.after_power_cut(tmp_path / "lake", tmp_path / "copy", names_survive=names_survive)
            left = copy / "bronze" / sink.path.name
            looked.append(as_advised(left))
            assert offsets_in(left) == list(range(12))
            again = table_in(tmp_path / "copy")
            assert again.stored(P0) == 12
            run(again)
            assert offsets_in(left) == list(range(12))

    sink = table_in(tmp_path / "lake")
    fill(sink, 4)
    run(sink, cut)
    cut("end")
    assert looked == [moment == "after commit" and names_survive]


def _with_step(lake: Path, step: Callable[[str], None]) -> DeltaSink:
    sink = table_in(lake)
    return DeltaSink(sink.table, str(lake), {}, step=step)
