"""Bronze and silver tables of events, derived from a topic's contract: a new topic needs no code of its own here."""

from __future__ import annotations

from schemas.derive import event_columns
from schemas.registry import PLAYBACK
from schemas.table import Column, Table, fail
from schemas.topic import EventTopic

SOURCE = (
    Column("topic", "string", "Kafka topic of the record", nullable=False),
    Column("partition", "int", "Kafka partition of the record", nullable=False),
    Column("offset", "long", "Kafka offset of the record", nullable=False),
    Column("received_at", "timestamp", "the broker's stamp of the record", nullable=False),
)
"""Where a row came from: no two rows of a bronze table share it."""

ENVELOPE = (
    Column("event_id", "string", "the event's id, or the hash that stands in for it", nullable=False),
    Column("event_type", "string", "kind of event", nullable=False),
    Column("occurred_at", "timestamp", "when it happened: client time, corrected by sentAt", nullable=False),
    Column("is_clock_suspect", "boolean", "the client's stamp was not believable; received_at counts", nullable=False),
    Column("group_id", "string", "session id, or the group that a missing one is derived from", nullable=False),
)
EXTRA = Column("extra", "string", "JSON object of the fields that the contract does not name")


def _fields(topic: EventTopic) -> tuple[Column, ...]:
    """The contract's own fields. The wire's receivedAt gives way to the broker's."""
    taken = {column.name for column in (*SOURCE, *ENVELOPE)}
    return tuple(column for column in event_columns(topic) if column.name not in taken)


def _grouped(topic: EventTopic) -> tuple[Column, ...]:
    """Only playback has sessions."""
    return tuple(c for c in ENVELOPE if c.name != "group_id" or topic is PLAYBACK)


def bronze_table(topic: EventTopic) -> Table:
    """Every valid record of the topic, as it came, once."""
    return Table(
        layer="bronze",
        name=topic.bronze_table,
        description=f"Every valid record of {topic.name}, as it came, once.",
        owner="platform",
        grain=("topic", "partition", "offset"),
        partition_by="received_date",
        columns=(
            *SOURCE,
            *_grouped(topic),
            *_fields(topic),
            EXTRA,
            Column("received_date", "date", "date of received_at, UTC", nullable=False),
        ),
    )


def silver_events(topic: EventTopic) -> Table:
    """The topic's events, each once, by the day they happened."""
    kinds = ", ".join(sorted(str(event.__struct_config__.tag) for event in topic.events))
    return Table(
        layer="silver",
        name=topic.table,
        description=f"Events of {topic.name}, each once: of those that share an event_id the first received one stays.",
        owner="platform",
        grain=("event_id",),
        partition_by="event_date",
        columns=(
            *_grouped(topic),
            *_fields(topic),
            EXTRA,
            *SOURCE,
            Column("event_date", "date", "date of occurred_at, UTC", nullable=False),
        ),
        checks=(
            fail("unique(event_id)"),
            fail("not_null(event_id, event_type, occurred_at, received_at)"),
            fail(f"in_set(event_type, {kinds})"),
            fail("never(event_date <> CAST(occurred_at AS DATE))"),
        ),
    )


dead_letters = Table(
    layer="bronze",
    name="dead_letters",
    description="Records that broke their contract, with the reason and the original bytes.",
    owner="platform",
    grain=("topic", "partition", "offset"),
    partition_by="received_date",
    columns=(
        *SOURCE,
        Column(
            "reason", "string", "reason code: not_json, empty, missing_field, unknown_event_type, invalid_field", False
        ),
        Column("field", "string", "wire name of the failing field, if one is at fault"),
        Column("detail", "string", "what was expected and what came", nullable=False),
        Column("key", "binary", "the record's key"),
        Column("value", "binary", "the record's value, byte for byte"),
        Column("received_date", "date", "date of received_at, UTC", nullable=False),
    ),
)
