"""From a decoded playback record to the fact that the session fold takes: the same step in the stream and the sink."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from schemas.event import identity, occurred_at, unknown_fields
from schemas.events.playback import PlaybackEvent
from schemas.registry import PLAYBACK
from schemas.session import Fact


def to_ms(at: datetime) -> int:
    """Unix ms of a moment, whole."""
    return round(at.timestamp() * 1000)


def from_ms(at_ms: int) -> datetime:
    """The moment of a Unix ms stamp, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def fact_of(raw: bytes, event: PlaybackEvent, received_ms: int) -> Fact:
    """The fact of one record. `received_ms` is the broker's stamp of the record."""
    at, _ = occurred_at(event, from_ms(received_ms))
    extra = unknown_fields(raw, event)
    return Fact(
        at_ms=to_ms(at),
        received_ms=received_ms,
        kind=event.event_type,
        event_id=identity(raw, event),
        rank=PLAYBACK.rank[event.event_type],
        extra=msgspec.json.encode(extra).decode() if extra else None,
        **{name: getattr(event, name) for name in _SHARED},
    )


_SHARED = tuple(
    name for name in Fact.__struct_fields__ if name in PlaybackEvent.__struct_fields__ and name != "event_id"
)
