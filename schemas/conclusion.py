"""What follows from a folded session's numbers: how it ended, and the columns that are made of others."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from infra.shared import shared
from schemas.piece import startup_bucket
from schemas.session_state import (
    ABSENT,
    ATTEMPTED,
    END_REASONS,
    ERROR,
    EXIT_BEFORE_START,
    OPEN,
    START_FAILURE,
    fields_of,
)

_TIMEOUT: Final = END_REASONS.index("timeout")


class Conclusion(msgspec.Struct):
    """Columns of `silver.sessions`, and how the session ended."""

    ended_by: int = OPEN
    """Place in END_REASONS."""
    watched_ms: int = 0
    startup_bucket: int = ABSENT
    average_bitrate_kbps: int = ABSENT
    is_attempt: bool = False
    is_start_failure: bool = False
    is_playback_failure: bool = False
    is_exit_before_start: bool = False
    missing_event_count: int = 0
    expected_event_count: int = 0


CONCLUSION_FIELDS = fields_of(Conclusion)
"""Fields of a numpy record with a session's conclusion."""


@shared
def ended_by(state: Any, now_ms: int, timeout_ms: int) -> int:
    """How the session ended, as of received time `now_ms`: open until it has been silent for the time-out."""
    if state.end == OPEN and now_ms - state.last_received_ms >= timeout_ms:
        return _TIMEOUT
    return state.end  # type: ignore[no-any-return]


@shared
def conclude(state: Any, row: Any, now_ms: int, timeout_ms: int) -> None:
    """Set all fields of `row` (those of `Conclusion`, as they begin) as of received time `now_ms`."""
    reason = ended_by(state, now_ms, timeout_ms)
    row.ended_by = reason
    row.watched_ms = state.playing_ms + state.stall_ms
    if state.startup_ms != ABSENT:
        row.startup_bucket = startup_bucket(state.startup_ms)
    if state.bitrate_media_ms:
        row.average_bitrate_kbps = round(state.bits_played / state.bitrate_media_ms)
    row.is_attempt = state.counted & ATTEMPTED != 0
    row.is_start_failure = reason == START_FAILURE and not state.is_business_failure
    row.is_playback_failure = reason == ERROR and not state.is_business_failure
    row.is_exit_before_start = (
        state.play_ms != ABSENT and not state.is_started and reason in (EXIT_BEFORE_START, _TIMEOUT)
    )
    # Of the running numbers between the first and the last that came: those that are absent, and all.
    if state.seq_min != ABSENT:
        row.expected_event_count = max(0, state.seq_max - state.seq_min - 1)
        row.missing_event_count = max(0, state.seq_max - state.seq_min + 1 - state.seq_count)
