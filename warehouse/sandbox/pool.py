"""The parent's side of the sandbox: warm children, limits that a child can't lift, answers as Arrow.

    with Sandbox(settings) as sandbox:
        answer = sandbox.query("SELECT count(*) FROM metrics.quality_minute WHERE minute > ?", ["2026-01-15"])

`query` blocks and may be called from many threads. Each query has a child of its own, which is gone afterwards.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypedDict, Unpack

import pyarrow as pa

from infra.errors import QueryError
from infra.settings import Settings
from warehouse import publication
from warehouse.sandbox.child import LOOK_S, READY_S, Child, Zygote
from warehouse.sandbox.frames import Birth, End, Query

QUEUE_S = 5.0
BASE_BYTES = 400_000_000
"""Resident memory of a child beside what DuckDB's own limit counts."""

Parameters = Sequence[Any] | dict[str, Any] | None


class Limits(TypedDict, total=False):
    """What a query may be held to, within what the settings allow.

    cancelled   once it is set, by any thread, the query's process is killed and the query fails
    """

    timeout_s: float | None
    max_rows: int | None
    cancelled: threading.Event


@dataclass(frozen=True)
class Answer:
    """Rows of a query. `truncated`: there were more than the row limit. `landlock`: the kernel stood guard too."""

    table: pa.Table
    truncated: bool
    elapsed_s: float
    publish_id: str | None
    landlock: bool


class Stream:
    """An answer on its way: an Arrow IPC stream in pieces, read while the query's process goes on."""

    def __init__(self, pieces: Iterator[bytes | End], publish_id: str | None) -> None:
        self.publish_id = publish_id
        self.end: End | None = None
        """What the answer came to; None until the last piece was read."""
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        """Raises QueryError at any place: a stream without an end is not an answer."""
        for piece in self._pieces:
            if isinstance(piece, End):
                self.end = piece
            else:
                yield piece

    def batches(self) -> pa.RecordBatchReader:
        """The rows, a batch at a time. Raises QueryError while they are read."""
        return pa.ipc.open_stream(io.BufferedReader(_Source(iter(self))))


class _Source(io.RawIOBase):
    """Pieces as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        """Fill as much of it as the next piece does; 0 at the end."""
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        count = min(len(room), len(self._left))
        room[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class Sandbox:
    """Runs users' SQL over the published files and the live file of `settings.warehouse`."""

    def __init__(self, settings: Settings, warm: int | None = None) -> None:
        self._settings = settings
        self._folder = settings.warehouse
        self._warm = settings.query_warm if warm is None else warm
        self._slots = threading.BoundedSemaphore(settings.query_concurrency)
        self._lock = threading.Lock()
        self._children: list[Child] = []
        self._zygote: Zygote | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def query(self, sql: str, parameters: Parameters = None, **asked: Unpack[Limits]) -> Answer:
        """The rows that `sql` gives. Raises QueryError, whose `reason` says of what kind the failure is."""
        started = time.monotonic()
        with self.stream(sql, parameters, **asked) as stream:
            content = io.BytesIO()
            for piece in stream:
                content.write(piece)
            assert stream.end is not None
            table = pa.ipc.open_stream(pa.py_buffer(content.getbuffer())).read_all()
            elapsed_s = time.monotonic() - started
            return Answer(table, stream.end.truncated, elapsed_s, stream.publish_id, stream.end.landlock)

    @contextlib.contextmanager
    def stream(self, sql: str, parameters: Parameters = None, **asked: Unpack[Limits]) -> Iterator[Stream]:
        """The same answer as an Arrow IPC stream, of which nothing is kept. Its process ends with the context."""
        limits = self._settings
        max_rows = asked.get("max_rows")
        published = publication.current(self._folder)
        live = publication.live_file(self._folder)
        if published is None and live is None:
            msg = (
                f"nothing has been published to {self._folder} yet and no server writes live numbers there; "
                "start the platform (`playlake up`) or run a batch and `playlake publish`"
            )
            raise QueryError(msg, "unavailable")
        query = Query(
            sql=sql,
            parameters=list(parameters) if parameters is not None and not isinstance(parameters, dict) else parameters,
            live=str(live) if live else None,
            timeout_s=min(asked.get("timeout_s") or limits.query_timeout_s, limits.query_timeout_s),
            max_rows=limits.query_max_rows if max_rows is None else min(max_rows, limits.query_max_rows),
            max_bytes=limits.query_max_bytes,
        )
        cancelled = asked.get("cancelled") or threading.Event()
        self._queue(cancelled)
        try:
            with contextlib.closing(self._take(published)) as child:
                pieces = child.answer(query, limits.query_memory_bytes + BASE_BYTES, cancelled)
                yield Stream(pieces, child.published.publish_id if child.published else None)
        finally:
            self._slots.release()

    def _queue(self, cancelled: threading.Event) -> None:
        """Wait for one of the places in which queries run."""
        end = time.monotonic() + QUEUE_S
        while not self._slots.acquire(timeout=LOOK_S):
            if cancelled.is_set():
                msg = "the query was cancelled before it began"
                raise QueryError(msg, "cancelled")
            if time.monotonic() > end:
                msg = f"{self._settings.query_concurrency} queries are running already; try again in a moment"
                raise QueryError(msg, "busy")

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

    def _take(self, published: publication.Publication | None) -> Child:
        """A child that has the newest publish open, and a new one for the next query."""
        with self._lock:
            stale = [child for child in self._children if child.published != published]
            fresh = [child for child in self._children if child.published == published]
            child = fresh.pop(0) if fresh else self._fork(published)
            self._children = fresh
        for old in stale:
            old.close()
        if not child.is_ready(READY_S):
            # Its files may have been removed after a newer publish: once more, with what is in force now.
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

    def _fork(self, published: publication.Publication | None) -> Child:
        """A new child; the caller holds the lock."""
        if self._closed:
            msg = "the sandbox is closed"
            raise QueryError(msg, "unavailable")
        birth = Birth(
            published=[str(path) for path in published.paths(self._folder)] if published else [],
            memory_bytes=self._settings.query_memory_bytes,
            threads=self._settings.query_threads,
            timeout_s=self._settings.query_timeout_s,
        )
        for _attempt in range(2):
            if self._zygote is None or not self._zygote.is_alive():
                self._zygote = Zygote()
            with contextlib.suppress(OSError, ValueError):
                return Child(*self._zygote.fork(birth), published)
            self._zygote.close()
        msg = "the sandbox could not start a process"
        raise QueryError(msg, "unavailable")
