"""Records of an event topic → rows of its bronze table, as Arrow, and the records that broke their contract.

One event object at a time; a columnar decoder would replace `Decoder.decode` and leave the rest of the sink alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from infra.errors import ContractError
from schemas.derive import arrow_schema, event_columns
from schemas.event import Event, identity, occurred_at, unknown_fields
from schemas.fact import from_ms
from schemas.registry import PLAYBACK
from schemas.session_state import Fact
from schemas.tables import BRONZE
from schemas.topic import EventTopic

if TYPE_CHECKING:
    import pyarrow as pa


class Record(Protocol):
    """What is needed of a Kafka record (`confluent_kafka.Message` is one)."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...


class Decoded(NamedTuple):
    """The two outcomes: rows (in the order of the records), and what broke its contract, with why."""

    rows: pa.Table
    broken: list[tuple[Record, ContractError]]


COMPUTED = (
    "partition", "offset", "received_ms", "event_id", "event_type", "occurred_at", "is_clock_suspect", "extra",
    "group_id",
)  # fmt: skip
"""What stands in a row beside the contract's own fields."""
# The group is defined on the fold's fact; a playback event has the fields it looks at under the same names.
_group_id: Callable[[Any], str] = Fact.group_id.fget  # type: ignore[attr-defined]


def sorted_by(topic: EventTopic) -> tuple[str, ...]:
    """Order of the rows of a file: what has one key lies together."""
    return (*topic.key_fields, "partition", "offset")


class Decoder:
    """Decodes the records of one event topic."""

    def __init__(self, topic: EventTopic) -> None:
        self.topic = topic
        self.schema = arrow_schema(BRONZE[topic.name].columns)
        self._fields = [c.name for c in event_columns(topic) if c.name in self.schema.names and c.name not in COMPUTED]
        self._getters = {event: _getter(event, self._fields) for event in topic.events}
        self._groups = topic is PLAYBACK

    def decode(self, records: Iterable[Record]) -> Decoded:
        """Every record ends in exactly one of the two outcomes."""
        computed: list[tuple[Any, ...]] = []
        fields: list[tuple[Any, ...]] = []
        broken: list[tuple[Record, ContractError]] = []
        for record in records:
            raw = record.value()
            try:
                event = self.topic.decode(raw)
            except ContractError as error:
                broken.append((record, error))
                continue
            computed.append(self._computed(record, raw or b"", event))
            fields.append(self._getters[type(event)](event))
        return Decoded(self._table(computed, fields), broken)

    def _computed(self, record: Record, raw: bytes, event: Event) -> tuple[Any, ...]:
        received_ms = record.timestamp()[1]
        at, is_suspect = occurred_at(event, from_ms(received_ms))
        extra = unknown_fields(raw, event)
        return (
            record.partition(),
            record.offset(),
            received_ms,
            identity(raw, event),
            event.event_type,
            at,
            is_suspect,
            msgspec.json.encode(extra).decode() if extra else None,
            _group_id(event) if self._groups else None,
        )

    def _table(self, computed: Sequence[tuple[Any, ...]], fields: Sequence[tuple[Any, ...]]) -> pa.Table:
        import pyarrow as pa

        values: dict[str, Any] = dict(zip(COMPUTED, zip(*computed, strict=True), strict=False)) if computed else {}
        values |= dict(zip(self._fields, zip(*fields, strict=True), strict=True)) if fields else {}
        received = pa.array(values.get("received_ms", ()), pa.int64()).cast(pa.timestamp("ms", "UTC"))
        columns = []
        for field in self.schema:
            match field.name:
                case "topic":
                    columns.append(pa.repeat(self.topic.name, len(computed)))
                case "received_at":
                    columns.append(received.cast(field.type))
                case "received_date":
                    columns.append(received.cast(pa.date32()))
                case name:
                    columns.append(_array(values.get(name, ()), field.type))
        return pa.table(columns, schema=self.schema)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_map(kind):
        values = [None if value is None else list(value.items()) for value in values]
    return pa.array(values, kind)


def _getter(event: type[Event], names: Sequence[str]) -> Callable[[Event], tuple[Any, ...]]:
    """The event's fields in the order of `names`; None for those that this kind of event does not have."""
    own = set(event.__struct_fields__)
    if own.issuperset(names):
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) if name in own else None for name in names)
