"""Which minutes are compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from infra.errors import ProcessError
from schemas.fact import from_ms, to_ms
from schemas.quality import MINUTE_MS
from schemas.registry import LIVE_QUALITY
from streams.parity.window import Window, clipped, fitting, newest

NOW = datetime(2026, 1, 15, 20, 30, 45, tzinfo=UTC)


def per_minute(window: Window) -> int:
    """Ten records a minute."""
    return 10 * (window[1] - window[0]) // MINUTE_MS


def test_whole_minutes_that_live_still_holds() -> None:
    first, end = clipped(newest(10, NOW), NOW)
    assert (from_ms(first), from_ms(end)) == (
        datetime(2026, 1, 15, 20, 21, tzinfo=UTC),
        datetime(2026, 1, 15, 20, 37, tzinfo=UTC),
    )
    first, _ = clipped((NOW - timedelta(days=30), NOW), NOW)
    assert 0 < first - (to_ms(NOW) - LIVE_QUALITY.retention_ms) < 2 * 3_600_000
    first, end = clipped((NOW - timedelta(days=30), NOW - timedelta(days=29)), NOW)
    assert first == end


def test_a_window_with_too_many_records_is_shortened() -> None:
    window, cutover = (0, 100 * MINUTE_MS), 60 * MINUTE_MS
    assert fitting(window, cutover, per_minute, 1000) == window
    assert fitting(window, cutover, per_minute, 999) == (0, cutover)
    assert fitting(window, cutover, per_minute, 599) == (30 * MINUTE_MS, cutover)
    assert fitting(window, None, per_minute, 999) == (50 * MINUTE_MS, 100 * MINUTE_MS)
    assert fitting(window, cutover, per_minute, 10) == (cutover - MINUTE_MS, cutover)
    with pytest.raises(ProcessError, match="at most 9 records"):
        fitting(window, cutover, per_minute, 9)
