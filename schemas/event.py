"""The envelope of every event: bytes in, an event or a ContractError out.

The wire is JSON in camelCase. An event type is a frozen struct whose tag is the wire's `eventType`; the classes are in
`schemas/events/`, one file a topic. A field's description, unit and bounds stand in its annotation, from which the
JSON Schema, the Arrow and Spark schemas and the documentation are derived (`schemas/derive.py`).
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from infra.errors import ContractError

Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""Bounded to what a table column can hold; whether a value makes sense is judged later, so that nothing is lost."""
Stamp = Annotated[datetime, Meta(tz=True)]
"""RFC 3339 with an offset, e.g. `2026-01-15T20:30:45Z`."""

MAX_PAST = timedelta(days=7)
MAX_FUTURE = timedelta(minutes=5)
MAX_SKEW = timedelta(minutes=5)
UNHASHED = frozenset({"receivedAt", "sentAt"})
"""Fields that a retry or a collector may change without making another event of it."""


def snake(name: str) -> str:
    """`FirstFrame` → `first_frame`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Event(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", tag_field="eventType", tag=snake
):
    """What every event carries, whatever its topic."""

    key_fields: ClassVar[tuple[str, ...]] = ()
    """The first of these fields that has a value is the record's key; one of them must have."""

    timestamp: Annotated[Stamp, Meta(description="When it happened, by the client's clock.")]
    event_id: Annotated[str | None, Meta(description="Unique id; a hash of the event stands in for a missing one.")] = (
        None
    )
    sent_at: Annotated[Stamp | None, Meta(description="When the client sent it, by the same clock as timestamp.")] = (
        None
    )
    received_at: Annotated[Stamp | None, Meta(description="When a collector took it in; Kafka's own stamp counts.")] = (
        None
    )

    def __post_init__(self) -> None:
        if not self.key:
            names = {field.name: field.encode_name for field in msgspec.structs.fields(self)}
            msg = f"{' or '.join(names[name] for name in self.key_fields)} is required"
            raise ValueError(msg)

    @property
    def key(self) -> str:
        """Partition key of the record."""
        return next(filter(None, (getattr(self, name) for name in self.key_fields)), "")

    @property
    def event_type(self) -> str:
        """The wire's `eventType`."""
        return str(self.__struct_config__.tag)


class ViewerEvent(Event, frozen=True, kw_only=True):
    """What every event of a viewer carries. `userId` or `sessionId` must be there: one of them is the key."""

    key_fields: ClassVar[tuple[str, ...]] = ("user_id", "session_id")

    user_id: Annotated[str | None, Meta(description="Account of the viewer, pseudonymous.")] = None
    session_id: Annotated[str | None, Meta(description="Session of viewing or playing as the client counts it.")] = None
    profile_id: Annotated[str | None, Meta(description="Profile within the account.")] = None
    device_type: Annotated[Literal["smart_tv", "mobile", "web"] | None, Meta(description="Kind of device.")] = None
    seq: Annotated[Int | None, Meta(description="Running number within the session; a gap means lost events.")] = None
    country: Annotated[str | None, Meta(description="ISO 3166-1 alpha-2 code of the country.")] = None
    region: Annotated[str | None, Meta(description="Region within the country, ISO 3166-2.")] = None
    app_version: Annotated[str | None, Meta(description="Version of the app.")] = None
    experiments: Annotated[dict[str, str] | None, Meta(description="Experiment → arm the viewer is in.")] = None

    @property
    def key(self) -> str:
        """Partition key of the record: userId, else sessionId."""
        return self.user_id or self.session_id or ""


def decode(raw: bytes | None, decoder: msgspec.json.Decoder[Any]) -> Any:
    """One record as the event that `decoder` knows. Raises ContractError with a reason code and the failing field."""
    if raw is None:
        reason = "empty"
        raise ContractError(reason, "expected a JSON object, got a record without a value")
    try:
        # The decoder skips what it does not know without a look; `extra` keeps it as text, so it must be text.
        if not raw.isascii():
            raw.decode()
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _violation(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "not_json"
        raise ContractError(reason, f"expected one JSON object in UTF-8: {error}") from None


def _violation(text: str) -> ContractError:
    """msgspec's message (`Expected ... - at `$.field``) as reason, detail and wire field."""
    detail, _, path = text.partition(" - at `$")
    field = re.sub(r"\[.*\]", "", path.rstrip("`")).lstrip(".") or None
    if named := re.search(r"missing required field `(\w+)`", detail):
        return ContractError("missing_field", detail, named[1])
    if no_key := re.fullmatch(r"(\w+)(?: or \w+)* is required", detail):
        return ContractError("missing_field", detail, no_key[1])
    if field == "eventType":
        return ContractError("unknown_event_type", detail, "eventType")
    return ContractError("invalid_field", detail, field)


_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def unknown_fields(raw: bytes, event: Event) -> dict[str, msgspec.Raw]:
    """Top-level wire fields that the contract does not name, their JSON as it came.

    They ride in the column `extra`, so none is dropped, and none is parsed: `1e999` is JSON, but no number of ours.
    """
    known = wire_fields(type(event))
    return {name: value for name, value in _FIELDS.decode(raw).items() if name not in known}


_WIRE_FIELDS: dict[type, frozenset[str]] = {}


def wire_fields(event_type: type[Event]) -> frozenset[str]:
    """Names on the wire of an event type's fields, its tag included."""
    if event_type not in _WIRE_FIELDS:
        names = {field.encode_name for field in msgspec.structs.fields(event_type)}
        _WIRE_FIELDS[event_type] = frozenset(names | {str(event_type.__struct_config__.tag_field)})
    return _WIRE_FIELDS[event_type]


def identity(raw: bytes, event: Event) -> str:
    """The event's id: its own, else the hash that stands in for it."""
    return event.event_id or identity_as_sent(raw)


def identity_as_sent(raw: bytes) -> str:
    """A hash of the event as the client sent it, so that a retry has the same."""
    try:
        fields = msgspec.json.decode(raw)
    except msgspec.ValidationError:
        # A number out of range, in a field that we do not know.
        fields = _FIELDS.decode(raw)
    sent = {name: value for name, value in fields.items() if name not in UNHASHED}
    return hashlib.blake2b(msgspec.json.encode(sent, order="sorted"), digest_size=16).hexdigest()


def occurred_at(event: Event, received_at: datetime) -> tuple[datetime, bool]:
    """When the event happened, and whether its stamp was not believable.

    A client clock that is off by more than MAX_SKEW at sending is corrected by that much; smaller differences are
    left, because they are mostly delivery time. What counts as the time of sending is the collector's receivedAt where
    it is believable, since a record may reach Kafka later by an outage. A stamp outside [received − MAX_PAST, received
    + MAX_FUTURE] is flagged, and received_at counts in its place.
    """
    at = event.timestamp
    came = received_at
    if event.received_at is not None and received_at - MAX_PAST <= event.received_at <= received_at + MAX_FUTURE:
        came = event.received_at
    if event.sent_at is not None and abs(came - event.sent_at) > MAX_SKEW:
        try:
            at += came - event.sent_at
        except OverflowError:  # before year 1 or after 9999
            return received_at, True
    if received_at - MAX_PAST <= at <= received_at + MAX_FUTURE:
        return at.astimezone(UTC), False
    return received_at, True
