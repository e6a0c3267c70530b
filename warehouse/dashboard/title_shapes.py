"""What the server tells the page Titles: the shapes of `/v1/dashboard/titles…`. See `payload.py` for the rules."""

from __future__ import annotations

import msgspec

from warehouse.dashboard.payload import Publish


class TitleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A title over the stretch, from minutes: history and live."""

    content_id: str
    name: str | None
    """As the published catalogue has it; null when it does not know the title."""
    viewers: float
    """Average number of concurrent viewers over the stretch."""
    plays: int
    watched_ms: int
    stalled_share: float | None
    start_failure_rate: float | None
    startup_p95_ms: float | None
    change: float | None
    """Average viewers of the last 5 closed minutes less those of the 30 before them; null when nobody watches now."""
    surge: float | None
    """The change against the noise of small numbers."""


class TitleList(msgspec.Struct, frozen=True, kw_only=True):
    """The titles that were watched, the most watched first."""

    publish: Publish
    start_at: int
    stop_at: int
    live_at: int | None
    total: int
    titles: list[TitleRow]


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """A title over time, as columns of equal length, oldest first."""

    at: list[int]
    viewers: list[float]
    plays: list[int]


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How far plays get, by hundredths of the title's length: 0 to 99, the last one holds the end."""

    plays: int
    first_day: str
    last_day: str
    reached: list[float]
    """Share of the plays that got there or beyond: 1 at the start, never rising."""
    left: list[int]
    """Plays that ended there."""


class TitleView(msgspec.Struct, frozen=True, kw_only=True):
    """One title: its audience, and where viewers leave."""

    content_id: str
    name: str | None
    step_s: int
    start_at: int
    stop_at: int
    audience: Audience
    retention: Retention | None
    """Null when no play of the days tells positions: live streams, or nothing published yet."""
    viewers: int
    """Different viewers of the published sessions that began in the stretch."""
    complete_play_rate: float | None
    valid_play_rate: float | None
    experience_score: float | None
    sessions_to_at: int | None
    """Published sessions end there; null before the first publish."""
