"""Moments as DuckDB wants them, and as the pages do (ms of epoch)."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(seconds: float) -> datetime:
    """Seconds of epoch as DuckDB wants them."""
    return datetime.fromtimestamp(seconds, UTC)


def to_ms(at: datetime) -> int:
    """Milliseconds of epoch."""
    return round(at.timestamp() * 1000)


def known_ms(at: datetime | None) -> int | None:
    """The same of a moment that may not be known."""
    return None if at is None else to_ms(at)
