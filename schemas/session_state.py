"""What is known of a viewing session: its phases, the event as the fold sees it, and the state between two events."""

from __future__ import annotations

from typing import Final

import msgspec

IDLE: Final = 0
STARTING: Final = 1
PLAYING: Final = 2
STALLED: Final = 3
SEEKING: Final = 4
"""Waiting for media after a seek: neither a stall nor playing."""
PAUSED: Final = 5
AD: Final = 6
AD_STALLED: Final = 7
ENDED: Final = 8

WATCHING = frozenset({PLAYING, STALLED})
STATE_VERSION = 1
RECENT_EVENTS = 32
"""How many event ids a live session remembers, to drop a client's retries. Batch needs no window."""


class Fact(msgspec.Struct, frozen=True, gc=False):
    """What the fold needs to know of one playback event. Times are Unix ms; `at_ms` is `schemas.event.occurred_at`."""

    at_ms: int
    received_ms: int
    kind: str
    event_id: str
    rank: int
    seq: int | None = None
    session_id: str | None = None
    user_id: str | None = None
    profile_id: str | None = None
    content_id: str | None = None
    device_type: str | None = None
    country: str | None = None
    region: str | None = None
    app_version: str | None = None
    player_version: str | None = None
    cdn: str | None = None
    connection_type: str | None = None
    is_live: bool | None = None
    position_ms: int | None = None
    duration_ms: int | None = None
    bitrate_kbps: int | None = None
    dropped_frames: int | None = None
    playback_rate: float | None = None
    error_code: str | None = None
    fatal: bool | None = None
    extra: str | None = None

    @property
    def group_id(self) -> str:
        """The session's id where the client sent one, else `~user|device|content`, to be split at gaps."""
        return self.session_id or f"~{self.user_id}|{self.device_type}|{self.content_id}"

    @property
    def order(self) -> tuple[int, int, int, str]:
        """Order of events in a session: never the offset, so that arrival order cannot change the result."""
        return self.at_ms, -1 if self.seq is None else self.seq, self.rank, self.event_id


ATTRIBUTES = (
    "user_id", "profile_id", "content_id", "device_type", "country", "region", "app_version", "player_version", "cdn",
    "connection_type", "is_live", "duration_ms", "extra",
)  # fmt: skip
"""Set by the first event that carries them and kept: a session belongs to one cohort."""


class SessionState(msgspec.Struct, array_like=True):
    """A session so far. New fields go to the end, with a default: stored state of an older version stays readable."""

    session_id: str
    group_id: str
    is_derived_id: bool
    first_ms: int
    last_ms: int
    first_received_ms: int
    last_received_ms: int
    phase: int = IDLE
    phase_before: int = IDLE
    """Where a pause or an ad came from and leads back to."""
    just_sought: bool = False
    play_ms: int | None = None
    first_frame_ms: int | None = None
    is_started: bool = False
    startup_ms: int | None = None
    preroll_ms: int = 0
    end_reason: str | None = None
    error_code: str | None = None
    rate: float = 1.0
    bitrate_kbps: int | None = None
    playing_ms: int = 0
    stall_ms: int = 0
    media_ms: int = 0
    bits_played: int = 0
    paused_ms: int = 0
    seeking_ms: int = 0
    starting_ms: int = 0
    ad_ms: int = 0
    ad_stall_ms: int = 0
    stall_count: int = 0
    seek_count: int = 0
    pause_count: int = 0
    bitrate_switch_count: int = 0
    max_position_ms: int | None = None
    dropped_frames: int | None = None
    event_count: int = 0
    duplicate_event_count: int = 0
    seq_count: int = 0
    seq_min: int | None = None
    seq_max: int | None = None
    last_active_minute: int = -1
    user_id: str | None = None
    profile_id: str | None = None
    content_id: str | None = None
    device_type: str | None = None
    country: str | None = None
    region: str | None = None
    app_version: str | None = None
    player_version: str | None = None
    cdn: str | None = None
    connection_type: str | None = None
    is_live: bool | None = None
    duration_ms: int | None = None
    extra: str | None = None
    recent: bytes = b""
    """Digests of the last event ids (live only)."""

    @property
    def watched_ms(self) -> int:
        return self.playing_ms + self.stall_ms
