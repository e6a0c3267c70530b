"""Processes of the sandbox as the parent holds them: the zygote that they fork from, and one child a query."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from infra.errors import QueryError
from infra.settings import ROOT
from warehouse import publication
from warehouse.sandbox.frames import CONTROL_BYTES, HEAD, QUERY_BYTES, Birth, End, Failure, Query, send

GRACE_S = 1.0
"""Between the interrupt, which DuckDB looks at between vectors, and SIGKILL."""
READY_S = 20.0
LOOK_S = 0.05
PIECE_BYTES = 256_000
"""Frames of an answer are handed on in pieces of about this size, so that small ones do not cost a turn each."""
_FRAME_PIECE = 1 << 20


class Zygote:
    """The process that children fork from."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "warehouse.sandbox", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=ROOT,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            )
        self._control.settimeout(READY_S)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, birth: Birth) -> tuple[int, socket.socket]:
        """Process id and socket of a new child. Raises OSError or ValueError when the zygote is gone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                socket.send_fds(self._control, [msgspec.json.encode(birth)], [theirs.fileno()])
            return int(self._control.recv(CONTROL_BYTES)), ours
        except BaseException:
            ours.close()
            raise

    def close(self) -> None:
        self._control.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Child:
    """One process for one query."""

    def __init__(self, pid: int, line: socket.socket, published: publication.Publication | None) -> None:
        self.published = published
        self.failure = "its process ended"
        self._pid = pid
        self._line = line
        self._buffer = bytearray()
        try:
            self._handle = os.pidfd_open(pid)  # names this process even after its number is used again
        except ProcessLookupError:
            self._handle = -1

    def is_ready(self, timeout_s: float) -> bool:
        """Wait until it has the published file open; False when it could not."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            frame = self._frame()
            if frame is not None:
                if frame[0] == b"X":
                    self.failure = msgspec.json.decode(frame[1], type=Failure).message
                return frame[0] == b"R" and not self._has_ended()
        return False

    def answer(self, query: Query, max_resident_bytes: int, cancelled: threading.Event) -> Iterator[bytes | End]:
        """Send the query and watch the process: pieces of the Arrow IPC stream as they come, and at last the End.

        Time in which nobody asks for the next piece does not count. Raises QueryError.
        """
        content = msgspec.json.encode(query)
        if len(content) > QUERY_BYTES:
            msg = f"the query and its parameters may have {QUERY_BYTES:,} bytes, got {len(content):,}"
            raise QueryError(msg, "refused")
        started = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            send(self._line, b"Q", content)
        piece = bytearray()
        while True:
            frame = self._frame()
            elapsed = time.monotonic() - started
            self._hold_to(query, elapsed, max_resident_bytes, cancelled)
            match frame:
                case None:
                    continue
                case (b"D", content):
                    piece += content
                    if len(piece) >= PIECE_BYTES:
                        handed_on = time.monotonic()
                        yield bytes(piece)
                        started += time.monotonic() - handed_on
                        piece.clear()
                case (b"E", content):
                    if piece:
                        yield bytes(piece)
                    yield msgspec.json.decode(content, type=End)
                    return
                case (b"X", content):
                    raise _failed(query, msgspec.json.decode(content, type=Failure))
                case _:
                    raise _ended(query, elapsed)

    def _hold_to(self, query: Query, elapsed_s: float, max_resident_bytes: int, cancelled: threading.Event) -> None:
        """Raises QueryError when the query may not go on."""
        if cancelled.is_set():
            msg = "the query was cancelled"
            raise QueryError(msg, "cancelled")
        if elapsed_s > query.timeout_s + GRACE_S:
            raise _timeout(query)
        if self._resident_bytes() > max_resident_bytes:
            msg = f"the query needs more memory than it may have ({max_resident_bytes // 1_000_000:,} MB)"
            raise QueryError(msg, "too_large")

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            os.close(self._handle)
            self._handle = -1
        self._line.close()

    def _has_ended(self) -> bool:
        """Whether the process is gone, however much of what it said is still to be read."""
        return self._handle < 0 or _is_readable(self._handle, 0)

    def _frame(self) -> tuple[bytes, bytes] | None:
        """The next frame; None when none came for a moment; kind b"" when the process has hung up."""
        frame = self._buffered_frame()
        if frame is None and _is_readable(self._line.fileno(), LOOK_S):
            try:
                piece = self._line.recv(_FRAME_PIECE)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return b"", b""
            self._buffer += piece
            frame = self._buffered_frame()
        return frame

    def _buffered_frame(self) -> tuple[bytes, bytes] | None:
        if len(self._buffer) < HEAD.size:
            return None
        kind, length = HEAD.unpack_from(self._buffer)
        if len(self._buffer) < HEAD.size + length:
            return None
        content = bytes(self._buffer[HEAD.size : HEAD.size + length])
        del self._buffer[: HEAD.size + length]
        return kind, content

    def _resident_bytes(self) -> int:
        try:
            pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0  # it has ended, or is about to
        return pages * os.sysconf("SC_PAGE_SIZE")


def _is_readable(handle: int, wait_s: float) -> bool:
    """Whether there is something to read; by poll, since select knows no handle beyond 1,023."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(wait_s * 1000))


def _failed(query: Query, failure: Failure) -> QueryError:
    if failure.reason == "timeout":
        return _timeout(query)
    return QueryError(failure.message, failure.reason, failure.position)


def _ended(query: Query, elapsed_s: float) -> QueryError:
    if elapsed_s > query.timeout_s:
        return _timeout(query)
    msg = "the query ended its process: it asked for more memory or time than the system gives"
    return QueryError(msg, "too_large")


def _timeout(query: Query) -> QueryError:
    msg = f"the query took longer than {query.timeout_s:g} s; ask about less, or raise query_timeout_s"
    return QueryError(msg, "timeout")
