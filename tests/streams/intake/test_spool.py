"""The spool keeps what it has said it keeps: in order, once each, within its bound, whatever ends the process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from infra.errors import SettingsError
from streams.intake import spool as spools
from streams.intake.spool import HEAD, Spool


@pytest.fixture(autouse=True)
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """No waiting for the disk: a test writes hundreds of frames. Sizes of the files at each fdatasync."""
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda handle: sizes.append(os.fstat(handle).st_size))
    return sizes


class SpoolMachine(RuleBasedStateMachine):
    """Against a plain list: what was appended, how far it was read and released."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(TemporaryDirectory().name)
        self.spool = Spool(self.folder, 10_000_000)
        self.spool._segment_bytes = 200  # several files in few steps
        self.kept: list[bytes] = []
        self.read = 0
        self.released = 0
        self.base = 0
        """Place in `kept` of the spool's frame 0."""

    @rule(payloads=st.lists(st.binary(max_size=90), min_size=1, max_size=8))
    def append(self, payloads: list[bytes]) -> None:
        assert len(self.spool.append(payloads)) == len(payloads)
        self.kept += payloads

    @rule(max_bytes=st.integers(1, 400))
    def take(self, max_bytes: int) -> None:
        frames = self.spool.read(max_bytes)
        assert [frame.payload for frame in frames] == self.kept[self.read : self.read + len(frames)]
        assert [frame.number + self.base for frame in frames] == list(range(self.read, self.read + len(frames)))
        assert bool(frames) == (self.read < len(self.kept))
        self.read += len(frames)

    @precondition(lambda self: self.released < self.read)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        upto = data.draw(st.integers(self.released, self.read - 1))
        self.spool.release(upto - self.base)
        self.released = upto + 1

    @rule(tail=st.binary(max_size=60))
    def die_and_come_back(self, tail: bytes) -> None:
        """Killed in the middle of a write: some bytes of a frame that nobody was promised."""
        self.spool.close()
        files = sorted(self.folder.glob("*.spool"))
        if files:
            with files[-1].open("ab") as file:
                file.write((HEAD.pack(len(tail) + 1, 0) + tail)[: len(tail)])
        self.spool = Spool(self.folder, 10_000_000)
        self.spool._segment_bytes = 200
        self.base = self.read = self.released

    @invariant()
    def counts_what_is_left(self) -> None:
        assert self.spool.frames == len(self.kept) - self.released
        assert self.spool.size == sum(file.stat().st_size for file in self.folder.glob("*.spool"))
        if not self.spool.frames:
            assert self.spool.size == 0

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.folder)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def payloads_of(folder: Path) -> list[bytes]:
    spool = Spool(folder, 1_000_000)
    found = [frame.payload for frame in spool.read(1_000_000)]
    spool.close()
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.data())
def test_a_file_cut_anywhere_gives_the_whole_frames_before_the_cut(frames: list[bytes], data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        spool = Spool(folder, 1_000_000)
        spool.append(frames)
        spool.close()
        (file,) = folder.glob("*.spool")
        content = file.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        zeros = data.draw(st.integers(0, 40))  # as some file systems leave them after a power cut
        file.write_bytes(content[:cut] + bytes(zeros))
        whole, end = [], 0
        for frame in frames:
            end += HEAD.size + len(frame)
            if end <= cut:
                whole.append(frame)
        found = payloads_of(folder)
        # A frame may also be whole because it ended in zeros itself.
        assert found[: len(whole)] == whole
        assert found == frames[: len(found)]


def test_a_changed_byte_is_noticed_and_what_follows_is_set_aside(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append([b"first", b"second", b"third"])
    spool.close()
    (file,) = tmp_path.glob("*.spool")
    content = file.read_bytes()
    file.write_bytes(content.replace(b"second", b"sec0nd"))
    assert payloads_of(tmp_path) == [b"first"]
    (torn,) = tmp_path.glob("*.torn")
    assert torn.read_bytes().endswith(b"third")


def test_what_append_returns_is_on_disk(tmp_path: Path, synced: list[int]) -> None:
    spool = Spool(tmp_path, 1_000_000)
    for _ in range(3):
        spool.append([bytes(100), bytes(100)])
        assert synced[-1] == spool.size
    spool.close()


def test_it_is_bounded_and_has_room_again_when_drained(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1000)
    assert len(spool.append([bytes(192)] * 7)) == 5
    assert spool.append([b""] * 1) == []
    frames = spool.read(10_000)
    assert len(frames) == 5
    spool.release(frames[-1].number)
    assert spool.size == 0
    assert len(spool.append([bytes(192)] * 7)) == 5
    spool.close()


def test_a_full_disk_is_a_full_spool_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, 1_000_000)
    assert spool.append([b"kept"]) == [0]
    write = os.write

    def half_then_full(handle: int, data: memoryview) -> int:
        if len(data) > 5:
            return write(handle, data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spools.os, "write", half_then_full)
    assert spool.append([b"no room"]) == []
    monkeypatch.undo()
    assert spool.append([b"room again"]) == [1]
    spool.close()
    assert payloads_of(tmp_path) == [b"kept", b"room again"]
    assert not list(tmp_path.glob("*.torn"))


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1000)
    with pytest.raises(SettingsError, match="another collector's"):
        Spool(tmp_path, 1000)
    spool.close()
    Spool(tmp_path, 1000).close()
