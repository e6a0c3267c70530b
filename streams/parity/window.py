"""Which minutes are compared: those that live still holds, and no more than memory does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from infra.errors import ProcessError
from schemas.event import MAX_FUTURE
from schemas.fact import from_ms, to_ms
from schemas.quality import MINUTE_MS
from schemas.registry import LIVE_QUALITY

AHEAD = MAX_FUTURE + timedelta(minutes=1)
"""Client stamps may lie so far ahead of the received clock, and a minute has begun then."""
MOST_RECORDS = 500_000
"""Records of sessions that touch the window: about 1 GB of memory and a minute of time."""
SPARE_MS = 3_600_000
"""The live topic may drop a minute somewhat before its retention is over."""

Window = tuple[int, int]
"""First minute and end, Unix ms."""


def newest(minutes: int, now: datetime) -> tuple[datetime, datetime]:
    """The last minutes, with those that clients may be ahead."""
    return now - timedelta(minutes=minutes), now + AHEAD


def clipped(window: tuple[datetime, datetime], now: datetime) -> Window:
    """Whole minutes, without those that retention may have taken from the live topic."""
    kept_ms = to_ms(now) - LIVE_QUALITY.retention_ms + SPARE_MS
    first, end = (-(-max(to_ms(at), kept_ms) // MINUTE_MS) * MINUTE_MS for at in window)
    return first, max(first, end)


def fitting(window: Window, cutover_ms: int | None, count: Callable[[Window], int], most: int) -> Window:
    """The window, or a part of it that needs no more than `most` records, which `count` counts.

    Minutes behind the cut-over, which only live has, go first; then the older half, as often as it takes. Raises
    ProcessError when one minute is too much.
    """
    while (found := count(window)) > most:
        first, end = window
        if cutover_ms is not None and first < cutover_ms < end:
            window = first, cutover_ms
        elif end - first > MINUTE_MS:
            window = first + -(-(end - first) // (2 * MINUTE_MS)) * MINUTE_MS, end
        else:
            msg = (
                f"expected at most {most:,} records of sessions that touch a minute, got {found:,} at "
                f"{from_ms(first):%Y-%m-%d %H:%M}Z: a larger --most-records needs 2 kB of memory each"
            )
            raise ProcessError(msg)
    return window


def within_sql(column: str, window: Window) -> str:
    """Whether a moment is in the window, in DuckDB's SQL."""
    first, end = (f"TIMESTAMPTZ '{from_ms(at_ms).isoformat()}'" for at_ms in window)
    return f"{column} >= {first} AND {column} < {end}"
