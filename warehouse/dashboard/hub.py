"""One reading a second, encoded once, for every client of `/v1/live`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import duckdb
import msgspec

from infra.errors import PlaylakeError
from warehouse.dashboard.board import Board, Reading, series
from warehouse.dashboard.files import Row
from warehouse.dashboard.payload import History, Links, Live, ParityState, Pipeline, Quality, Seconds, Series

T = TypeVar("T")
log = logging.getLogger(__name__)

PERIOD_S = 1.0
PULSE_S = 2.0
"""Silence after which a client is told that the server is still there."""
RATE_OVER_MS = 10_000
"""Stretch over which the events a second are counted."""


def wall_clock_ms() -> int:
    """The server's clock."""
    return time.time_ns() // 1_000_000


class Hub:
    """Reads the board in a thread of its own and wakes the clients."""

    def __init__(
        self,
        board: Board,
        links: Links,
        page_build: str,
        quality: Callable[[], Quality | None] = lambda: None,
        *,
        parity: Callable[[], ParityState | None] = lambda: None,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._board = board
        self._links = links
        self._page_build = page_build
        self._quality = quality
        self._parity = parity
        self._clock_ms = clock_ms
        self._thread = ThreadPoolExecutor(1, "dashboard")
        self._woken = asyncio.Event()
        self._wanted = asyncio.Event()
        self._clients = 0
        self._sequence = 0
        self._shown = series([])
        self._shown_seconds: Seconds | None = None
        self._snapshot = b""
        self._update = b""
        self._counted: deque[tuple[int, int]] = deque()

    async def run(self) -> None:
        """Go on until cancelled. A second that cannot be read is left out: clients see the numbers age.

        Without a client nothing is read.
        """
        try:
            while True:
                await self._wanted.wait()
                started = time.monotonic()
                try:
                    await self.refresh()
                except (duckdb.Error, OSError, PlaylakeError):
                    log.exception("the dashboard's numbers cannot be read")
                await asyncio.sleep(max(0.05, PERIOD_S - (time.monotonic() - started)))
        finally:
            await self._in_thread(self._board.close)
            self._thread.shutdown(wait=False)

    async def refresh(self) -> None:
        """Read, encode, wake."""
        self._snapshot, self._update = await self._in_thread(self._read)
        self._sequence += 1
        self._woken.set()
        self._woken = asyncio.Event()

    async def messages(self) -> AsyncIterator[bytes]:
        """Server-sent events: a snapshot, then an update a second; a client that missed one gets a snapshot."""
        seen = self._sequence if self._clients == 0 else 0  # what nobody followed is old
        is_first = True
        self._clients += 1
        self._wanted.set()
        try:
            yield b"retry: 1000\n\n"
            while True:
                while seen == self._sequence:
                    try:
                        await asyncio.wait_for(self._woken.wait(), PULSE_S)
                    except TimeoutError:  # slow to read is not the same as gone
                        yield f"event: pulse\ndata: {self._clock_ms()}\n\n".encode()
                message = self._update if seen == self._sequence - 1 and not is_first else self._snapshot
                seen, is_first = self._sequence, False
                yield b"data: " + message + b"\n\n"
        finally:
            self._clients -= 1
            if self._clients == 0:
                self._wanted.clear()

    async def history(self, start: int, stop: int) -> History:
        """Published minutes in [start, stop), seconds of epoch."""
        return await self._in_thread(lambda: self._board.history(start, stop))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _read(self) -> tuple[bytes, bytes]:
        reading = self._board.read()
        changed = changes(self._shown, reading.minutes)
        self._shown = reading.minutes
        snapshot = self._message(reading, reading.minutes)
        seconds = changed_seconds(self._shown_seconds, reading.seconds)
        self._shown_seconds = reading.seconds
        update = msgspec.structs.replace(snapshot, kind="update", minutes=changed, seconds=seconds)
        return msgspec.json.encode(snapshot), msgspec.json.encode(update)

    def _message(self, reading: Reading, minutes: Series) -> Live:
        server_at = self._clock_ms()
        return Live(
            kind="snapshot",
            sequence=self._sequence + 1,
            page_build=self._page_build,
            server_at=server_at,
            live_at=reading.now["oldest_at"],
            publish=reading.publish,
            live_from=reading.live_from,
            window_minutes=reading.window_minutes,
            tiles=reading.tiles,
            minutes=minutes,
            seconds=reading.seconds,
            titles=reading.titles,
            cohorts=reading.cohorts,
            deliveries=reading.deliveries,
            alerts=reading.alerts,
            pipeline=self._pipeline(reading.now, server_at),
            links=self._links,
        )

    def _pipeline(self, now: Row, server_at: int) -> Pipeline:
        oldest = now["oldest_at"]
        return Pipeline(
            events_per_s=self._events_per_s(now["newest_at"], now["events"]),
            events=now["events"] or 0,
            late=now["late"] or 0,
            duplicates=now["duplicates"] or 0,
            rejected=now["rejected"] or 0,
            open_sessions=now["open_sessions"] or 0,
            lag_ms=None if oldest is None else max(0, server_at - oldest),
            quality=self._quality(),
            parity=self._parity(),
        )

    def _events_per_s(self, at_ms: int | None, events: int | None) -> float | None:
        """Speed of the events' counter over the last seconds."""
        if at_ms is None or events is None:
            return None
        if self._counted and events < self._counted[-1][1]:
            self._counted.clear()  # the topic was made anew
        if not self._counted or at_ms > self._counted[-1][0]:
            self._counted.append((at_ms, events))
        while len(self._counted) > 2 and at_ms - self._counted[1][0] >= RATE_OVER_MS:
            self._counted.popleft()
        (first_ms, first), (last_ms, last) = self._counted[0], self._counted[-1]
        return None if last_ms == first_ms else (last - first) * 1000 / (last_ms - first_ms)


def changes(shown: Series, fresh: Series) -> Series:
    """The minutes of `fresh` that differ from those shown."""
    known = {row[0]: row for row in _rows(shown)}
    rows = [row for row in _rows(fresh) if known.get(row[0]) != row]
    return series([dict(zip(Series.__struct_fields__, row, strict=True)) for row in rows])


def changed_seconds(shown: Seconds | None, fresh: Seconds | None) -> Seconds | None:
    """The seconds of `fresh` from the first on that differs from those shown."""
    if shown is None or fresh is None:
        return fresh
    known = dict(enumerate(_rows(shown), shown.first))
    place = next((i for i, row in enumerate(_rows(fresh)) if known.get(fresh.first + i) != row), len(fresh.plays))
    values = msgspec.structs.asdict(fresh)
    columns = {name: column[place:] for name, column in values.items() if isinstance(column, list)}
    return Seconds(first=fresh.first + place, kept_from=fresh.first, **columns)


def _rows(columns: Series | Seconds) -> list[tuple[Any, ...]]:
    return list(zip(*(values for values in msgspec.structs.astuple(columns) if isinstance(values, list)), strict=True))
