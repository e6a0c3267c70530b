"""Power loss: of what a sink was told is kept, only what had been flushed to the disk is there afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.errors import LakeDamaged
from schemas.registry import PLAYBACK
from streams.delta_audit import audit
from streams.delta_sink import DeltaSink, local_path
from tests.streams.test_delta_sink import P0, SOURCE, TABLE, offsets_in, rows, sorted_by

pytestmark = pytest.mark.timeout(120)


class Disk:
    """What would be there after a loss of power: of each file so much as was flushed, in folders that were."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sizes: dict[int, int] = {}
        """Inode → bytes that were flushed."""
        self._names: dict[Path, set[str]] = {}
        """Folder → names that were flushed."""
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._flush)

    def _flush(self, handle: int) -> None:
        self._fsync(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.is_dir():
            self._names[path] = {entry.name for entry in path.iterdir()}
        else:
            found = os.fstat(handle)
            self._sizes[found.st_ino] = found.st_size

    def after_power_loss(self, folder: Path, to: Path) -> Path:
        """The folder as it is found when the power is back."""
        to.mkdir(parents=True)
        for name in self._names.get(folder, set()):
            entry = folder / name
            if entry.is_dir():
                self.after_power_loss(entry, to / name)
            elif entry.exists():
                (to / name).write_bytes(entry.read_bytes()[: self._sizes.get(entry.stat().st_ino, 0)])
        return to


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    yield Disk(monkeypatch)


def test_what_was_acknowledged_survives_a_loss_of_power(disk: Disk, tmp_path: Path) -> None:
    """Looked at after each commit: the log that is found is whole, and has the rows and the position."""
    root = tmp_path / "lake"
    root.mkdir()
    sink = DeltaSink(TABLE, str(root), SOURCE, sorted_by(PLAYBACK))
    at: int | None = None
    for number in range(3):
        sink.commit(rows(range(10 * number, 10 * number + 10)), {P0: (at, 10 * number + 10)})
        at = 10 * number + 10
        found = tmp_path / f"found-{number}"
        disk.after_power_loss(root, found)
        path = local_path(TABLE, str(found))
        assert path.exists(), "the verdict is red: the folder of the table is not there"
        try:
            audit(path)
        except LakeDamaged as error:
            pytest.fail(f"the verdict is red: {error}")
        there = DeltaSink(TABLE, str(found), SOURCE, sorted_by(PLAYBACK))
        assert there.stored(P0) == at, f"the verdict is red: the position is {there.stored(P0)}, acknowledged was {at}"
        assert offsets_in(there) == list(range(at)), "the verdict is red: rows are lost"
