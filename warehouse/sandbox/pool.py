"""The parent's side of the sandbox: warm children, limits that a child can't lift, answers as Arrow.

    with Sandbox(settings) as sandbox:
        answer = sandbox.query("SELECT count(*) FROM metrics.quality_minute WHERE minute > ?", ["2026-01-15"])

`query` blocks and may be called from many threads. Each query has a child of its own, which is gone afterwards.
"""

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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import pyarrow as pa

from infra.errors import QueryError
from infra.settings import ROOT, Settings
from warehouse import publication
from warehouse.sandbox.frames import CONTROL_BYTES, HEAD, QUERY_BYTES, Birth, End, Failure, Query, send

GRACE_S = 1.0
"""Between the interrupt, which DuckDB looks at between vectors, and SIGKILL."""
READY_S = 20.0
QUEUE_S = 5.0
LOOK_S = 0.05
BASE_BYTES = 400_000_000
"""Resident memory of a child beside what DuckDB's own limit counts."""
_FRAME_PIECE = 1 << 20

Parameters = Sequence[Any] | dict[str, Any] | None


@dataclass(frozen=True)
class Answer:
    """Rows of a query. `truncated`: there were more than the row limit. `landlock`: the kernel stood guard too."""

    table: pa.Table
    truncated: bool
    elapsed_s: float
    publish_id: str | None
    landlock: bool


class Sandbox:
    """Runs users' SQL over the published files and the live file of `settings.warehouse`."""

    def __init__(self, settings: Settings, warm: int | None = None) -> None:
        self._settings = settings
        self._folder = settings.warehouse
        self._warm = settings.query_warm if warm is None else warm
        self._slots = threading.BoundedSemaphore(settings.query_concurrency)
        self._lock = threading.Lock()
        self._children: list[_Child] = []
        self._zygote: _Zygote | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def query(
        self, sql: str, parameters: Parameters = None, *, timeout_s: float | None = None, max_rows: int | None = None
    ) -> Answer:
        """The rows that `sql` gives. Raises QueryError, whose `reason` says of what kind the failure is."""
        limits = self._settings
        seconds = min(timeout_s or limits.query_timeout_s, limits.query_timeout_s)
        rows = limits.query_max_rows if max_rows is None else min(max_rows, limits.query_max_rows)
        published = publication.current(self._folder)
        live = publication.live_file(self._folder)
        if published is None and live is None:
            msg = (
                f"nothing has been published to {self._folder} yet and no server writes live numbers there; "
                "start the platform (`playlake up`) or run a batch and `playlake publish`"
            )
            raise QueryError(msg, "unavailable")
        request = Query(
            sql=sql,
            parameters=list(parameters) if parameters is not None and not isinstance(parameters, dict) else parameters,
            live=str(live) if live else None,
            timeout_s=seconds,
            max_rows=rows,
            max_bytes=limits.query_max_bytes,
        )
        if not self._slots.acquire(timeout=QUEUE_S):
            msg = f"{limits.query_concurrency} queries are running already; try again in a moment"
            raise QueryError(msg, "busy")
        try:
            child = self._take(published)
            with contextlib.closing(child):
                return child.ask(request, limits.query_memory_bytes + BASE_BYTES)
        finally:
            self._slots.release()

    def warm_up(self) -> None:
        """Have the warm children ready for the newest publish; called when a server starts and after a publish."""
        self._refill(publication.current(self._folder))

    def close(self) -> None:
        """End every process of this sandbox."""
        with self._lock:
            self._closed = True
            for child in self._children:
                child.close()
            self._children.clear()
            if self._zygote is not None:
                self._zygote.close()

    def _take(self, published: publication.Publication | None) -> _Child:
        """A child that has the newest publish open, and a new one for the next query."""
        with self._lock:
            stale = [child for child in self._children if child.published != published]
            fresh = [child for child in self._children if child.published == published]
            child = fresh.pop(0) if fresh else self._fork(published)
            self._children = fresh
        for old in stale:
            old.close()
        if not child.is_ready(READY_S):
            # Its file may have been removed after a newer publish: once more, with what is in force now.
            child.close()
            with self._lock:
                child = self._fork(publication.current(self._folder))
            if not child.is_ready(READY_S):
                child.close()
                msg = f"the sandbox could not open the published files in {self._folder}: {child.failure}"
                raise QueryError(msg, "unavailable")
        self._refill(published)
        return child

    def _refill(self, published: publication.Publication | None) -> None:
        with self._lock:
            while len(self._children) < self._warm and not self._closed:
                self._children.append(self._fork(published))

    def _fork(self, published: publication.Publication | None) -> _Child:
        """A new child; the caller holds the lock."""
        if self._closed:
            msg = "the sandbox is closed"
            raise QueryError(msg, "unavailable")
        birth = Birth(
            published=str(published.file(self._folder)) if published else None,
            memory_bytes=self._settings.query_memory_bytes,
            timeout_s=self._settings.query_timeout_s,
        )
        for _attempt in range(2):
            if self._zygote is None or not self._zygote.is_alive():
                self._zygote = _Zygote()
            with contextlib.suppress(OSError, ValueError):
                return _Child(*self._zygote.fork(birth), published)
            self._zygote.close()
        msg = "the sandbox could not start a process"
        raise QueryError(msg, "unavailable")


class _Zygote:
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


class _Child:
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

    def ask(self, query: Query, max_resident_bytes: int) -> Answer:
        """Send the query, watch the process, collect the answer."""
        started = time.monotonic()
        pieces: list[bytes] = []
        content = msgspec.json.encode(query)
        if len(content) > QUERY_BYTES:
            msg = f"the query and its parameters may have {QUERY_BYTES:,} bytes, got {len(content):,}"
            raise QueryError(msg, "refused")
        with contextlib.suppress(BrokenPipeError):
            send(self._line, b"Q", content)
        while True:
            elapsed = time.monotonic() - started
            if elapsed > query.timeout_s + GRACE_S:
                raise _timeout(query)
            if self._resident_bytes() > max_resident_bytes:
                msg = f"the query needs more memory than it may have ({max_resident_bytes // 1_000_000:,} MB)"
                raise QueryError(msg, "too_large")
            match self._frame():
                case None:
                    continue
                case (b"D", piece):
                    pieces.append(piece)
                case (b"E", content):
                    end = msgspec.json.decode(content, type=End)
                    table = pa.ipc.open_stream(pa.py_buffer(b"".join(pieces))).read_all()
                    publish_id = self.published.publish_id if self.published else None
                    return Answer(table, end.truncated, time.monotonic() - started, publish_id, end.landlock)
                case (b"X", content):
                    failure = msgspec.json.decode(content, type=Failure)
                    if failure.reason == "timeout":
                        raise _timeout(query)
                    raise QueryError(failure.message, failure.reason)
                case _:
                    if elapsed > query.timeout_s:
                        raise _timeout(query)
                    msg = "the query ended its process: it asked for more memory or time than the system gives"
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
        return self._handle < 0 or bool(select.select([self._handle], [], [], 0)[0])

    def _frame(self) -> tuple[bytes, bytes] | None:
        """The next frame; None when none came for a moment; kind b"" when the process has hung up."""
        frame = self._buffered_frame()
        if frame is None and select.select([self._line], [], [], LOOK_S)[0]:
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


def _timeout(query: Query) -> QueryError:
    msg = f"the query took longer than {query.timeout_s:g} s; ask about less, or raise query_timeout_s"
    return QueryError(msg, "timeout")
