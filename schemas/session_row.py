"""A folded session as a row of `silver.sessions`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from schemas.fact import from_ms
from schemas.piece import startup_bucket
from schemas.quality import DIMENSIONS, PARTS, MinuteParts
from schemas.session_state import ABSENT, ATTEMPTED, ATTRIBUTES, SessionState
from schemas.sessionize import end_reason
from schemas.tables.sessions import SESSIONS


def session_row(state: SessionState, minutes: Iterable[MinuteParts], now_ms: int, timeout_ms: int) -> dict[str, Any]:
    """A session as a row of the table, as of received time `now_ms`."""
    reason = end_reason(state, now_ms, timeout_ms)
    started_at = from_ms(state.first_ms)
    return {
        **{name: getattr(state, name) for name in ATTRIBUTES},
        **{name: None if (value := getattr(state, name)) == ABSENT else value for name in _PLAIN},
        "watched_ms": state.watched_ms,
        "started_at": started_at,
        "start_date": started_at.date(),
        "ended_at": from_ms(state.last_ms),
        "end_reason": reason,
        "startup_bucket": None if state.startup_ms == ABSENT else startup_bucket(state.startup_ms),
        "average_bitrate_kbps": round(state.bits_played / state.bitrate_media_ms) if state.bitrate_media_ms else None,
        "is_attempt": bool(state.counted & ATTEMPTED),
        "is_start_failure": reason == "start_failure" and not state.is_business_failure,
        "is_playback_failure": reason == "error" and not state.is_business_failure,
        "is_exit_before_start": state.play_ms != ABSENT
        and not state.is_started
        and reason in ("exit_before_start", "timeout"),
        "missing_event_count": _missing(state),
        "expected_event_count": 0 if state.seq_min == ABSENT else max(0, state.seq_max - state.seq_min - 1),
        "first_received_at": from_ms(state.first_received_ms),
        "last_received_at": from_ms(state.last_received_ms),
        "minutes": list(_minute_rows(minutes)),
    }


def _missing(state: SessionState) -> int:
    """Events whose running numbers are absent between the first and the last that came."""
    if state.seq_min == ABSENT:
        return 0
    return max(0, state.seq_max - state.seq_min + 1 - state.seq_count)


_PLAIN = tuple(
    column.name
    for column in SESSIONS.columns
    if column.name in SessionState.__struct_fields__ and column.name not in ATTRIBUTES
)
"""Columns that the state holds under the same name."""


def _minute_rows(minutes: Iterable[MinuteParts]) -> Iterable[dict[str, datetime | str | int | None]]:
    """One row a minute and set of dimensions, parts added up."""
    rows: dict[tuple[int | str | None, ...], dict[str, Any]] = {}
    for piece in minutes:
        key = (piece.minute_ms, *(getattr(piece, name) for name in DIMENSIONS))
        row = rows.get(key)
        if row is None:
            row = rows[key] = dict(zip(("minute", *DIMENSIONS), key, strict=True))
            row["minute"] = from_ms(piece.minute_ms)
            row |= dict.fromkeys(PARTS, 0)
            row["startup_bucket"] = None
        for part, amount in piece.parts.items():
            row[part] += amount
        if piece.startup_bucket is not None:
            row["startup_bucket"] = piece.startup_bucket
    return rows.values()
