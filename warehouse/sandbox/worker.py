"""The child's side of the sandbox: first the zygote, then the children that fork from it.

The zygote imports DuckDB and Arrow once and does nothing else; each fork request brings one socket. A child opens the
published files, says that it is ready, waits for one query, attaches the live file (so that it is fresh), gives up the
file system, locks DuckDB, answers on its socket and exits. Nothing survives from one query to the next.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from infra.errors import QueryError
from warehouse import attach
from warehouse.sandbox import confine, gate, mistakes
from warehouse.sandbox.frames import CONTROL_BYTES, QUERY_BYTES, Birth, End, Failure, Query, receive, send

BATCH_ROWS = 8192
BATCH_BYTES = 500_000
"""Whichever is less: who makes JSON of a batch has it in memory several times over."""
FRAME_BYTES = 256_000
"""Pieces of an answer are no larger, so that the parent need not hold a whole batch of rows to pass it on."""
TRUNCATED = "playlake.truncated"
"""Metadata of an answer's last batch when there were more rows than it may have."""


def zygote(control: socket.socket) -> None:
    """Fork a child for each request until the parent is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the end of the control socket ends us, after the last query
    gc.collect()
    gc.freeze()
    while True:
        request, handles, _flags, _address = socket.recv_fds(control, CONTROL_BYTES, 1)
        if not request:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            _live(socket.socket(fileno=handles[0]), msgspec.json.decode(request, type=Birth))
        os.close(handles[0])
        control.send(str(pid).encode())


def _live(line: socket.socket, birth: Birth) -> None:
    """A child's whole life. Never returns."""
    code = 0
    try:
        _serve(line, birth)
    except BaseException as error:  # noqa: BLE001 - whatever it was, the parent is told and the process ends
        code = 1
        _send_failure(line, error)
    finally:
        os._exit(code)


def _serve(line: socket.socket, birth: Birth) -> None:
    confine.die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not SIGINT: a Ctrl-C is for the parent to understand
    silence = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(silence, handle)  # some statements print
    confine.limit_resources(int(birth.timeout_s) + 10, threads=birth.threads, files=len(birth.published))
    confine.forbid_writing()
    connection = attach.connect(birth.memory_bytes)
    connection.execute("SET errors_as_json = true")  # they say where
    attach.attach_published(connection, [Path(path) for path in birth.published])
    _warm(connection)
    send(line, b"R", b"")
    kind, content = receive(line, QUERY_BYTES)
    if kind != b"Q":
        return
    query = msgspec.json.decode(content, type=Query)
    attach.attach_live(connection, Path(query.live) if query.live else None)
    attach.define_views(connection)
    is_confined = confine.forbid_files_and_network()
    # Not before: a thread is confined as the one that starts it.
    connection.execute(f"SET threads = {birth.threads}")
    attach.lock(connection)
    out = _Frames(line, query.max_bytes)
    _interrupt_when_due(connection, query.timeout_s, out)
    rows, truncated = _answer(connection, query, out)
    send(line, b"E", msgspec.json.encode(End(rows=rows, truncated=truncated, landlock=is_confined)))


def _interrupt_when_due(connection: duckdb.DuckDBPyConnection, timeout_s: float, out: _Frames) -> None:
    """Stop the query when its time is up. What it waits for its reader does not count."""
    started = time.monotonic()

    def watch() -> None:
        while (left := started + timeout_s + out.waited_s() - time.monotonic()) > 0:
            time.sleep(left)
        connection.interrupt()

    threading.Thread(target=watch, daemon=True).start()


def _answer(connection: duckdb.DuckDBPyConnection, query: Query, out: _Frames) -> tuple[int, bool]:
    """Run the statement and send its rows; number of rows sent, and whether there were more."""
    try:
        statement = gate.check(connection, query.sql)
        reader = connection.execute(statement, query.parameters).to_arrow_reader(BATCH_ROWS)
        return _send_rows(reader, query.max_rows, out)
    except (duckdb.InterruptException, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error as error:
        raise mistakes.explain(connection, error, query.sql) from None


def _send_rows(reader: pa.RecordBatchReader, max_rows: int, out: _Frames) -> tuple[int, bool]:
    rows, truncated = 0, False
    with pa.ipc.new_stream(out, reader.schema) as stream:
        for batch in _batches(reader):
            room = max_rows - rows
            truncated = batch.num_rows > room
            for part in _parts(batch.slice(0, room)):
                stream.write_batch(part)
            rows += min(room, batch.num_rows)
            if truncated:
                # Who reads only the stream learns it there: one more batch without rows says so.
                stream.write_batch(batch.slice(0, 0), custom_metadata={TRUNCATED: "true"})
                break
    return rows, truncated


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The reader's. Raises what DuckDB raised, which Arrow makes an OSError of once rows flow."""
    try:
        yield from reader
    except OSError as error:
        raise mistakes.unwrapped(error) from None


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows again, about BATCH_BYTES at a time."""
    at_once = max(1, batch.num_rows * BATCH_BYTES // max(1, batch.nbytes))
    for start in range(0, batch.num_rows, at_once):
        yield batch.slice(start, at_once)


def _warm(connection: duckdb.DuckDBPyConnection) -> None:
    """Load lazily what a query needs, while there still is a file system."""
    reader = connection.execute("SELECT 1 AS a, '1.5'::DECIMAL(9, 2) AS b, now() AS c").to_arrow_reader(1)
    with pa.ipc.new_stream(io.BytesIO(), reader.schema) as stream:
        stream.write_table(reader.read_all())
    gate.check(connection, "EXPLAIN SELECT count(*) FROM warehouse.main.meta")
    connection.execute("SELECT count(*) FROM warehouse.main.meta").fetchall()


class _Frames(io.RawIOBase):
    """A stream that sends what is written to it as D frames, up to a number of bytes."""

    def __init__(self, line: socket.socket, max_bytes: int) -> None:
        self._line = line
        self._room = max_bytes
        self._max_bytes = max_bytes
        self._waited_s = 0.0
        self._since: float | None = None

    def waited_s(self) -> float:
        """Time spent so far until the reader took what was written."""
        since = self._since
        return self._waited_s + (0.0 if since is None else time.monotonic() - since)

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        content = memoryview(piece).cast("B")
        self._room -= len(content)
        if self._room < 0:
            msg = f"the answer is larger than {self._max_bytes:,} bytes; select fewer columns or rows, or aggregate"
            raise QueryError(msg, "too_large")
        self._since = time.monotonic()
        for start in range(0, len(content), FRAME_BYTES):
            send(self._line, b"D", content[start : start + FRAME_BYTES])
        since, self._since = self._since, None
        self._waited_s += time.monotonic() - since
        return len(content)


def _send_failure(line: socket.socket, error: BaseException) -> None:
    if isinstance(error, QueryError):
        failure = Failure(reason=error.reason, message=str(error), position=error.position)
    elif isinstance(error, duckdb.InterruptException):
        failure = Failure(reason="timeout", message="the query ran out of time")
    elif isinstance(error, duckdb.OutOfMemoryException | MemoryError):
        first = (str(error).splitlines() or ["out of memory"])[0]
        failure = Failure(reason="too_large", message=f"the query needs more memory than it may have: {first}")
    elif isinstance(error, duckdb.Error):
        failure = Failure(reason="failed", message=str(error))
    else:
        failure = Failure(reason="failed", message=f"{type(error).__name__}: {error}")
    try:
        send(line, b"X", msgspec.json.encode(failure))
    except OSError:
        return  # the parent has hung up; there is nobody to tell
