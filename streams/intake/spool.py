"""The spool: what Kafka can't take at once, kept on disk in order, fsynced, bounded.

A frame is one payload behind its length and the CRC-32 of both (each four bytes, big-endian). Frames are appended to
the newest segment of the folder and read from the oldest one:

    00000000000000000007.spool   frames, oldest first
    00000000000000000007.done    how many bytes of it are delivered; absent: none
    00000000000000000007.torn    bytes of it that were no whole frame when the spool was opened
    refused.jsonl                records that Kafka refused for good, after they had been acknowledged
    lock                         held by the one process that uses the folder

A frame counts once `append` has returned. `.done` is not fsynced: after a power cut, frames that Kafka has may be
delivered once more, and silver keeps an event once.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from infra.disk import sync
from infra.errors import SettingsError

log = logging.getLogger(__name__)

HEAD = struct.Struct(">II")
DONE = struct.Struct(">QI")
SEGMENTS = 64
"""A full spool is about so many files; room is given back a file at a time."""
MIN_SEGMENT_BYTES = 65_536
MAX_SEGMENT_BYTES = 16_000_000


class Frame(NamedTuple):
    """One payload and its number: frames are counted from 0 in the order in which they are read."""

    number: int
    payload: bytes


@dataclass(eq=False)
class _Segment:
    path: Path
    size: int
    """Bytes of whole frames."""
    done: int = 0

    @property
    def done_path(self) -> Path:
        return self.path.with_suffix(".done")


class Spool:
    """One folder. Not for several threads at once."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Take the folder over, with what an earlier process left in it.

        Raises SettingsError when another process holds it.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = max(MIN_SEGMENT_BYTES, min(max_bytes // SEGMENTS, MAX_SEGMENT_BYTES))
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder)
        self._segments: deque[_Segment] = deque(self._recovered())
        self._next_name = int(self._segments[-1].path.stem) + 1 if self._segments else 0
        self._writing: int | None = None
        """Open file of the last segment; None: the next append begins a segment."""
        self._reading: tuple[_Segment, int] | None = None
        """Where `read` goes on; None: at the head."""
        self._unreleased: deque[tuple[int, _Segment, int]] = deque()
        """(number, segment, end) of the frames that were read."""
        self._read = 0
        self._bytes = sum(segment.size for segment in self._segments)
        self._appended = sum(1 for segment in self._segments for _ in _frames(segment.path, segment.done, segment.size))

    @property
    def size(self) -> int:
        """Bytes on disk, delivered ones in a segment that is not done included."""
        return self._bytes

    @property
    def frames(self) -> int:
        """Frames that wait or are not released yet."""
        return self._appended - self._read + len(self._unreleased)

    def append(self, payloads: Sequence[bytes]) -> list[int]:
        """Keep the payloads, durably; returns their numbers. Those for which there is no room are left off the end."""
        numbers: list[int] = []
        room = self._max_bytes - self.size
        begin = 0
        while begin < len(payloads):
            end, size = begin, 0
            while end < len(payloads) and (end == begin or size < self._segment_bytes):
                cost = HEAD.size + len(payloads[end])
                if size + cost > room:
                    break
                size += cost
                end += 1
            if end == begin or not self._write(b"".join(map(_framed, payloads[begin:end]))):
                break
            room -= size
            numbers += range(self._appended, self._appended + end - begin)
            self._appended += end - begin
            begin = end
        return numbers

    def read(self, max_bytes: int) -> list[Frame]:
        """The next frames that were not read yet: at least one if there is any, else up to `max_bytes`."""
        found: list[Frame] = []
        size = 0
        while self._read < self._appended and (not found or size < max_bytes):
            segment, at = self._reading or (self._segments[0], self._segments[0].done)
            if at == segment.size:
                following = self._segments[self._segments.index(segment) + 1]
                self._reading = (following, 0)
                continue
            for end, payload in _frames(segment.path, at, segment.size):
                found.append(Frame(self._read, payload))
                self._unreleased.append((self._read, segment, end))
                self._read += 1
                size += len(payload)
                self._reading = (segment, end)
                if size >= max_bytes:
                    break
        return found

    def release(self, number: int) -> None:
        """Frames up to this one are delivered: they need not be kept."""
        last: tuple[_Segment, int] | None = None
        while self._unreleased and self._unreleased[0][0] <= number:
            _, segment, end = self._unreleased.popleft()
            last = segment, end
        if not last:
            return
        segment, segment.done = last
        while self._segments and (self._segments[0] is not segment or not self.frames):
            self._drop_head()
        if not self._segments:
            return
        segment.done_path.write_bytes(DONE.pack(segment.done, zlib.crc32(b"%d" % segment.done)))

    def refuse(self, line: bytes) -> None:
        """Set a record aside that will never be delivered: one line of JSON in `refused.jsonl`."""
        with (self._folder / "refused.jsonl").open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Give the folder back. What is in it stays."""
        self._end_segment()
        os.close(self._lock)

    def _write(self, data: bytes) -> bool:
        """Append to the newest segment and fsync. False, and nothing is changed, when the disk does not take it."""
        if self._writing is not None and self._segments[-1].size >= self._segment_bytes:
            self._end_segment()
        try:
            if self._writing is None:
                self._begin_segment()
            assert self._writing is not None
            view = memoryview(data)
            while view:
                view = view[os.write(self._writing, view) :]
            os.fdatasync(self._writing)
        except OSError as error:
            log.error("the spool can't be written", extra={"folder": str(self._folder), "error": str(error)})
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
                raise
            self._undo_write()
            return False
        self._segments[-1].size += len(data)
        self._bytes += len(data)
        return True

    def _undo_write(self) -> None:
        """A failed write leaves nothing behind, and the next one begins a file of its own."""
        if self._writing is not None:
            try:
                os.ftruncate(self._writing, self._segments[-1].size)
            finally:
                self._end_segment()

    def _begin_segment(self) -> None:
        path = self._folder / f"{self._next_name:020}.spool"
        self._writing = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._next_name += 1
        self._segments.append(_Segment(path, 0))
        sync(self._folder)

    def _end_segment(self) -> None:
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def _drop_head(self) -> None:
        segment = self._segments.popleft()
        self._bytes -= segment.size
        if not self._segments:
            self._end_segment()
        if self._reading and self._reading[0] is segment:
            self._reading = None
        segment.path.unlink()
        segment.done_path.unlink(missing_ok=True)

    def _recovered(self) -> Iterator[_Segment]:
        for path in sorted(self._folder.glob("*.spool")):
            whole = max((end for end, _ in _frames(path, 0, path.stat().st_size)), default=0)
            if path.stat().st_size > whole:
                _set_aside_tail(path, whole)
            segment = _Segment(path, whole)
            segment.done = min(_done(segment.done_path), whole)
            if segment.done == whole:
                path.unlink()
                segment.done_path.unlink(missing_ok=True)
            else:
                yield segment


def _framed(payload: bytes) -> bytes:
    return HEAD.pack(len(payload), _checksum(payload)) + payload


def _checksum(payload: bytes) -> int:
    # With the length: a file that ends in zeros does not look like empty frames.
    return zlib.crc32(payload, zlib.crc32(b"%d" % len(payload)))


def _frames(path: Path, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """(where it ends, payload) of the whole frames between two places, up to the first that is not whole."""
    with path.open("rb") as file:
        file.seek(begin)
        at = begin
        while at + HEAD.size <= end:
            length, checksum = HEAD.unpack(file.read(HEAD.size))
            at += HEAD.size + length
            if at > end:
                return
            payload = file.read(length)
            if _checksum(payload) != checksum:
                return
            yield at, payload


def _set_aside_tail(path: Path, whole: int) -> None:
    """What stands behind the whole frames was not acknowledged, unless the disk changed it: kept, to be looked at."""
    with path.open("r+b") as file:
        file.seek(whole)
        tail = file.read()
        path.with_suffix(".torn").write_bytes(tail)
        file.truncate(whole)
        os.fsync(file.fileno())
    log.warning("the spool ends in a torn frame", extra={"file": str(path), "whole": whole, "torn": len(tail)})


def _done(path: Path) -> int:
    """Bytes that are delivered; 0 when that can't be read, so that they are delivered again."""
    try:
        done, checksum = DONE.unpack(path.read_bytes())
    except (FileNotFoundError, struct.error):
        return 0
    return int(done) if checksum == zlib.crc32(b"%d" % done) else 0


def _locked(folder: Path) -> int:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        msg = f"{folder} is another collector's spool; expected a folder (home) of one's own for each"
        raise SettingsError(msg) from None
    return lock
