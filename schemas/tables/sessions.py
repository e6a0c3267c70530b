"""`silver.sessions`: one row a viewing session, as `schemas/session.py` folds it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from schemas.fact import from_ms
from schemas.quality import DIMENSIONS, PARTS, MinuteParts, startup_bucket
from schemas.session import end_reason
from schemas.session_state import ATTRIBUTES, SessionState
from schemas.table import Column, Table, fail, warn

END_REASONS = ("stop", "error", "exit_before_start", "start_failure", "timeout", "open")

SESSIONS = Table(
    layer="silver",
    name="sessions",
    description="One row a viewing session. A late event restates the row.",
    owner="quality of experience",
    grain=("session_id",),
    partition_by="start_date",
    columns=(
        Column("session_id", "string", "the client's session id, or a derived one", nullable=False),
        Column(
            "group_id", "string", "group the session was folded in: its id, or user, device and content", nullable=False
        ),
        Column("is_derived_id", "boolean", "the client sent no session id", nullable=False),
        Column("user_id", "string", "account of the viewer"),
        Column("profile_id", "string", "profile within the account"),
        Column("content_id", "string", "title"),
        Column("device_type", "string", "smart_tv, mobile or web"),
        Column("country", "string", "ISO 3166-1 alpha-2 code"),
        Column("region", "string", "region within the country"),
        Column("app_version", "string", "version of the app"),
        Column("player_version", "string", "version of the player"),
        Column("cdn", "string", "CDN of the session's first event that names one"),
        Column("connection_type", "string", "network of the session's first event that names one"),
        Column("is_live", "boolean", "live stream"),
        Column("started_at", "timestamp", "first event", nullable=False),
        Column("ended_at", "timestamp", "last event so far", nullable=False),
        Column("end_reason", "string", ", ".join(END_REASONS), nullable=False),
        Column("startup_ms", "long", "play to first frame without pre-roll ads, ms; null if it never started"),
        Column("startup_bucket", "int", "place of startup_ms in the startup histogram"),
        Column("watched_ms", "long", "playing_ms + stall_ms", nullable=False),
        Column("playing_ms", "long", "time in which content moved, ms", nullable=False),
        Column("media_ms", "long", "content played, ms of media", nullable=False),
        Column("stall_count", "long", "stalls after the start, without those that follow a seek", nullable=False),
        Column("stall_ms", "long", "time in such stalls, ms", nullable=False),
        Column("seek_count", "long", "seeks", nullable=False),
        Column("pause_count", "long", "pauses", nullable=False),
        Column("paused_ms", "long", "time paused, ms", nullable=False),
        Column("bitrate_switch_count", "long", "changes of bitrate", nullable=False),
        Column("bits_played", "long", "bitrate × media time, bits", nullable=False),
        Column("average_bitrate_kbps", "long", "bits_played / media_ms, kbit/s; null if nothing played"),
        Column("max_position_ms", "long", "furthest position, ms"),
        Column("duration_ms", "long", "length of the content, ms"),
        Column("dropped_frames", "long", "frames dropped"),
        Column("ad_ms", "long", "time in ads, ms", nullable=False),
        Column("ad_stall_ms", "long", "stalls within ads, ms", nullable=False),
        Column("error_code", "string", "code of the fatal error"),
        Column("is_start_failure", "boolean", "ended by a fatal error before the first frame", nullable=False),
        Column("is_playback_failure", "boolean", "ended by a fatal error after the first frame", nullable=False),
        Column("is_exit_before_start", "boolean", "asked for, given up before the first frame", nullable=False),
        Column("event_count", "long", "events, each once", nullable=False),
        Column("missing_event_count", "long", "gaps in seq", nullable=False),
        Column("duplicate_event_count", "long", "events that came again", nullable=False),
        Column("first_received_at", "timestamp", "received_at of the first event to arrive", nullable=False),
        Column("last_received_at", "timestamp", "received_at of the last event to arrive", nullable=False),
        Column("extra", "string", "JSON object of unknown fields, from the session's first event that has any"),
        Column("minutes", "minutes", "what the session adds to each minute", nullable=False),
        Column("start_date", "date", "date of started_at, UTC", nullable=False),
    ),
    checks=(
        fail("unique(session_id)"),
        fail("not_null(session_id, group_id, started_at, ended_at)"),
        fail(f"in_set(end_reason, {', '.join(END_REASONS)})"),
        fail("never(ended_at < started_at)"),
        fail("never(least(watched_ms, playing_ms, stall_ms, paused_ms, ad_ms, media_ms, bits_played) < 0)"),
        fail("never(watched_ms <> playing_ms + stall_ms)"),
        warn("never(watched_ms > 86400000)"),
    ),
)


def session_row(state: SessionState, minutes: Iterable[MinuteParts], now_ms: int, timeout_ms: int) -> dict[str, Any]:
    """A session as a row of the table, as of received time `now_ms`."""
    reason = end_reason(state, now_ms, timeout_ms)
    started_at = from_ms(state.first_ms)
    return {
        **{name: getattr(state, name) for name in (*ATTRIBUTES, *_PLAIN)},
        "watched_ms": state.watched_ms,
        "started_at": started_at,
        "start_date": started_at.date(),
        "ended_at": from_ms(state.last_ms),
        "end_reason": reason,
        "startup_bucket": None if state.startup_ms is None else startup_bucket(state.startup_ms),
        "average_bitrate_kbps": round(state.bits_played / state.media_ms) if state.media_ms else None,
        "is_start_failure": reason == "start_failure",
        "is_playback_failure": reason == "error",
        "is_exit_before_start": state.play_ms is not None
        and not state.is_started
        and reason in ("exit_before_start", "timeout"),
        "missing_event_count": _missing(state),
        "first_received_at": from_ms(state.first_received_ms),
        "last_received_at": from_ms(state.last_received_ms),
        "minutes": list(_minute_rows(minutes)),
    }


def _missing(state: SessionState) -> int:
    """Events whose running numbers are absent between the first and the last that came."""
    if state.seq_min is None or state.seq_max is None:
        return 0
    return max(0, state.seq_max - state.seq_min + 1 - state.seq_count)


_PLAIN = tuple(
    column.name
    for column in SESSIONS.columns
    if column.name in SessionState.__struct_fields__ and column.name not in ATTRIBUTES and column.name != "end_reason"
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
