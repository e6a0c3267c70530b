"""What the server tells the page Session: the shapes of `/v1/dashboard/sessions…`. See `payload.py` for the rules."""

from __future__ import annotations

from typing import Literal

import msgspec

from warehouse.dashboard.payload import Publish


class SessionHit(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was found."""

    session_id: str
    user_id: str | None
    content_id: str | None
    country: str | None
    device_type: str | None
    started_at: int
    ended_at: int
    end_reason: str
    error_code: str | None
    startup_ms: int | None
    watched_ms: int
    stall_ms: int
    experience_score: int | None


class SessionSearch(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions with this id, and those of the user of this id, newest first."""

    publish: Publish
    first_at: int | None
    """Start of the oldest published session: older ones are in the lake only. Null when none is published."""
    total: int
    hits: list[SessionHit]


class SessionFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the session's row. One of `number` and `text` is told, neither where it is not known."""

    name: str
    title: str
    kind: Literal["who", "score", "time", "count"]
    unit: str
    """`stamp` are ms of epoch; empty where there is none."""
    doc: str
    number: float | None
    text: str | None


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """What the player did between two events, as the fold behind every metric sees it."""

    name: Literal["idle", "starting", "playing", "stalled", "seeking", "paused", "ad", "ad stalled", "ended"]
    start_at: int
    stop_at: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A number over time, as columns of equal length, oldest first."""

    at: list[int]
    value: list[float]


class RawField(msgspec.Struct, frozen=True, kw_only=True):
    """A field of an event that the client told, or a column that was added on the way."""

    name: str
    value: str


class TimelineEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event as silver has it."""

    event_id: str
    at: int
    received_at: int
    event_type: str
    table: str
    seq: int | None
    position_ms: int | None
    bitrate_kbps: int | None
    detail: str
    """Reason, error code, quality, player state: what the event tells beside its numbers."""
    phase: str
    """The phase after it; empty where it does not take part."""
    fields: list[RawField]


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """One session: what the metrics made of it, and the events that they made it of."""

    publish: Publish
    session_id: str
    figures: list[SessionFigure]
    """Of the published row; empty when no published session has the id."""
    started_at: int | None
    ended_at: int | None
    events: list[TimelineEvent]
    events_left_out: int
    events_problem: str
    """Why there are no events; empty when they could be read."""
    read_ms: int
    """How long the lake took to find them."""
    phases: list[Phase]
    bitrate: Line
    buffer: Line
    position: Line
