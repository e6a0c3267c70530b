"""What the collector adds to an event: fields behind the client's own, in the same JSON object.

The record in Kafka is what the client sent, byte for byte, up to its last brace; behind it stand

    eventId      where the client gave none: the hash of what the client sent, so that nothing added changes it
    country      where the client gave none and the collector knows it
    client       browser, os and device by the User-Agent; no contract names it, so it is kept in `extra`
    receivedAt   when the collector took it; Kafka's own stamp may be later by an outage

They are fields and not Kafka headers because every reader of a topic (sink, stream worker, other people's consumers)
reads the value, and because a value keeps them when a record is copied.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from schemas.event import Event, identity


class Additions:
    """Those of one request."""

    def __init__(self, received_at: datetime, country: str | None = None, agent: bytes | None = None) -> None:
        self.received_at = received_at
        stamp = received_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._client = b',"client":' + agent if agent else b""
        self._received = b',"receivedAt":"' + stamp.encode() + b'"}'
        self._country = b',"country":"' + country.encode() + b'"' if country else b""

    def to(self, raw: bytes, event: Event) -> tuple[bytes, str]:
        """The record for Kafka, and the event's id. `raw` is one JSON object without white space around it."""
        event_id = event.event_id
        added = b""
        if not event_id:
            event_id = identity(raw, event)
            added = b',"eventId":' + msgspec.json.encode(event_id)
        # An event that is of no viewer says nothing of where and with what somebody watched.
        if self._country and getattr(event, "country", "") is None:
            added += self._country
        if self._client and hasattr(event, "device_type") and b'"client"' not in raw:
            added += self._client
        return raw[:-1] + added + self._received, event_id
