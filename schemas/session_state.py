"""What is known of a viewing session: its phases, the event as the fold sees it, and the state between two events.

The fold takes numbers only. They are declared once, as the structs `Numbers` (of a session) and `EventNumbers` (of an
event); the stream keeps the same fields as records of a numpy array (`SESSION_FIELDS`, `EVENT_FIELDS`), on which the
compiled fold works. An unknown number is ABSENT there, and None everywhere else.
"""

from __future__ import annotations

import math
from typing import Final, get_type_hints

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

ABSENT: Final = -(2**63)
"""An integer that is not known."""

ATTEMPTED: Final = 1
FAILED_TO_START: Final = 2
FAILED: Final = 4
REFUSED: Final = 8
EXITED: Final = 16
"""What a session counts once, however often it happens (`Numbers.counted`): viewers try again after an error."""

OPEN: Final = 0
STOP: Final = 1
ERROR: Final = 2
EXIT_BEFORE_START: Final = 3
START_FAILURE: Final = 4
END_REASONS = ("open", "stop", "error", "exit_before_start", "start_failure", "timeout")
"""By the numbers above; `timeout` is only known in hindsight."""


class EventNumbers(msgspec.Struct):
    """One playback event as the fold sees it. Times are Unix ms; `at_ms` is `schemas.event.occurred_at`."""

    at_ms: int = 0
    received_ms: int = 0
    kind: int = 0
    """Place of the event type in the vocabulary (`PLAYBACK.rank`)."""
    seq: int = ABSENT
    position_ms: int = ABSENT
    bitrate_kbps: int = ABSENT
    dropped_frames: int = ABSENT
    live_latency_ms: int = ABSENT
    playback_rate: float = math.nan
    """NaN: not told."""
    fatal: bool = False
    is_business: bool = False
    """The error is a refusal that is meant."""


class Fact(msgspec.Struct, frozen=True, gc=False):
    """What is needed of one playback event to make sessions of it. Unknown is None."""

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
    live_latency_ms: int | None = None
    playback_rate: float | None = None
    error_code: str | None = None
    error_category: str | None = None
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

    def numbers(self) -> EventNumbers:
        """What the fold sees of it."""
        return EventNumbers(
            at_ms=self.at_ms,
            received_ms=self.received_ms,
            kind=self.rank,
            seq=_number(self.seq),
            position_ms=_number(self.position_ms),
            bitrate_kbps=_number(self.bitrate_kbps),
            dropped_frames=_number(self.dropped_frames),
            live_latency_ms=_number(self.live_latency_ms),
            playback_rate=math.nan if self.playback_rate is None else self.playback_rate,
            fatal=bool(self.fatal),
            is_business=self.error_category == "business",
        )


def _number(value: int | None) -> int:
    return ABSENT if value is None else value


ATTRIBUTES = (
    "user_id", "profile_id", "content_id", "device_type", "country", "region", "app_version", "player_version", "cdn",
    "connection_type", "is_live", "duration_ms", "extra",
)  # fmt: skip
"""Set by the first event that carries them and kept: a session belongs to one cohort."""


class Numbers(msgspec.Struct):
    """The numbers of a session so far. All times and durations in ms."""

    is_derived_id: bool = False
    first_ms: int = 0
    last_ms: int = 0
    first_received_ms: int = 0
    last_received_ms: int = 0
    phase: int = IDLE
    phase_before: int = IDLE
    """Where a pause or an ad came from and leads back to."""
    end: int = OPEN
    """OPEN, STOP, ERROR, EXIT_BEFORE_START or START_FAILURE."""
    is_started: bool = False
    is_business_failure: bool = False
    is_background: bool = False
    just_sought: bool = False
    counted: int = 0
    """Sum of ATTEMPTED to EXITED: what the session has added to the parts that count sessions."""
    play_ms: int = ABSENT
    first_frame_ms: int = ABSENT
    startup_ms: int = ABSENT
    preroll_ms: int = 0
    rate: float = 1.0
    bitrate_kbps: int = ABSENT
    playing_ms: int = 0
    stall_ms: int = 0
    media_ms: int = 0
    bits_played: int = 0
    bitrate_media_ms: int = 0
    """Of `media_ms`, what played at a known bitrate: what `bits_played` may be divided by."""
    paused_ms: int = 0
    seeking_ms: int = 0
    starting_ms: int = 0
    background_ms: int = 0
    ad_ms: int = 0
    ad_stall_ms: int = 0
    ad_count: int = 0
    ad_error_count: int = 0
    stall_count: int = 0
    seek_count: int = 0
    pause_count: int = 0
    bitrate_switch_count: int = 0
    max_position_ms: int = ABSENT
    """Furthest position that was played. The target of a seek is none until something is reported from there."""
    end_position_ms: int = ABSENT
    """Newest position, wherever it came from: where the viewer left."""
    position_media_ms: int = ABSENT
    """`media_ms` when it was told; ABSENT where it may be an ad's position."""
    dropped_frames: int = ABSENT
    live_latency_sum_ms: int = 0
    live_latency_samples: int = 0
    event_count: int = 0
    duplicate_event_count: int = 0
    absurd_value_count: int = 0
    """Values that no player can mean (`schemas.session.PLAUSIBLE`): kept in silver, left out of every metric."""
    seq_count: int = 0
    seq_min: int = ABSENT
    seq_max: int = ABSENT
    last_active_minute: int = -1


class SessionState(Numbers):
    """A session with its names, as the fold in Python has it."""

    session_id: str = ""
    group_id: str = ""
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
    error_code: str | None = None

    @property
    def watched_ms(self) -> int:
        return self.playing_ms + self.stall_ms

    @property
    def end_reason(self) -> str | None:
        """How it ended; None while nothing said so."""
        return None if self.end == OPEN else END_REASONS[self.end]


_FORMATS = {int: "i8", float: "f8", bool: "?"}


def fields_of(struct: type[msgspec.Struct]) -> list[tuple[str, str]]:
    """Fields of a numpy record with the numbers of a struct."""
    return [(name, _FORMATS[hint]) for name, hint in get_type_hints(struct).items()]


EVENT_FIELDS = fields_of(EventNumbers)
"""Fields of a numpy record with an event's numbers."""
SESSION_FIELDS = fields_of(Numbers)
"""Fields of a numpy record with a session's numbers."""
