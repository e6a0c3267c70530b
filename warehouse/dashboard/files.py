"""The published files and the live file of now on one connection, for the server's own questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from warehouse import attach, publication
from warehouse.dashboard.limit import limit
from warehouse.dashboard.moments import to_ms
from warehouse.dashboard.payload import Publish

Row = dict[str, Any]


class Files:
    """Not thread-safe: whoever owns it asks one question at a time."""

    def __init__(self, folder: Path, memory_bytes: int, threads: int = 1) -> None:
        """`folder`: the warehouse's."""
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._published: list[Path] | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None

    @property
    def published(self) -> list[Path]:
        """The published files that are attached; none before the first publish."""
        return self._published or []

    def refresh(self) -> tuple[Publish, bool]:
        """Attach the files of now: live is another file twice a second, published ones after a publish.

        Returns the publish, and whether it is another one than at the last call.
        """
        record = publication.current(self._folder)
        published = [] if record is None else record.paths(self._folder)
        live = publication.live_file(self._folder)
        is_new = self._connection is None or published != self._published
        if self._connection is None or is_new:
            self.close()
            connection = attach.connect(self._memory_bytes, self._threads)
            attach.attach_published(connection, published)
            attach.attach_live(connection, live)
            attach.define_views(connection)
            self._connection, self._published = connection, published
        else:
            self._connection.execute("DETACH live")
            attach.attach_live(self._connection, live)
        if record is None:
            return Publish(), is_new
        return Publish(
            publish_id=record.publish_id,
            published_at=to_ms(record.published_at),
            cutover_minute=int(record.cutover_minute.timestamp()),
        ), is_new

    def ask(self, question: str, **values: object) -> list[Row]:
        """The rows of an answer."""
        assert self._connection is not None, "refresh() comes first"
        cursor = self._connection.execute(question, values or None)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def one(self, question: str, **values: object) -> Row:
        """The only row of an answer."""
        rows = self.ask(question, **values)
        return rows[0] if rows else {}

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Whatever is asked within has to be answered within. Raises QueryError (timeout)."""
        assert self._connection is not None, "refresh() comes first"
        with limit(self._connection, seconds):
            yield

    def interrupt(self) -> None:
        """End the question that is under way, from another thread: it raises duckdb.InterruptException."""
        if self._connection is not None:
            self._connection.interrupt()

    def close(self) -> None:
        """Let go of the files."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
