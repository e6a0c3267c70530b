"""What really happened in a simulated session, by the player's own clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Truth:
    """The measure for whoever works the session out from its events. `seeking_ms` is neither playing nor stalled."""

    session_id: str
    user_id: str
    content_id: str
    startup_ms: int | None = None
    playing_ms: int = 0
    stall_ms: int = 0
    seeking_ms: int = 0
    paused_ms: int = 0
    ad_ms: int = 0
    media_ms: float = 0
    bits: float = 0
    stall_count: int = 0
    pause_count: int = 0
    seek_count: int = 0
    switch_count: int = 0
    event_count: int = 0
    end_reason: str = "open"
    error_code: str | None = None
