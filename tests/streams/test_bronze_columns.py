"""The sink's rows against the contract's own word, record by record: what is in a row, and in which order rows lie."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from infra.errors import ContractError
from schemas.event import identity, occurred_at, unknown_fields
from schemas.examples import fullest, smallest, typical
from schemas.fact import from_ms
from schemas.registry import EVENT_TOPICS, PLAYBACK
from schemas.session_state import Fact
from schemas.topic import EventTopic
from streams.bronze_rows import Decoder, sorted_by
from streams.message import Message
from tests.streams.delta_world import RECEIVED_MS

GROUP = Fact.group_id.fget  # type: ignore[attr-defined]


def records(topic: EventTopic, count: int, choose: random.Random) -> list[Message]:
    """Good and broken ones; few and many different texts, some empty, some beyond ASCII; over two days."""
    made = []
    for offset in range(count):
        event = choose.choice([smallest, typical, fullest])(topic, choose.choice(list(topic.rank)))
        for name in list(event):
            if name in ("eventType", "timestamp"):
                continue
            if choose.random() < 0.1:
                del event[name]
            elif isinstance(event[name], str) and choose.random() < 0.1:
                event[name] = choose.choice(["", "ü", "x" * choose.randrange(30), event[name]])
        if "userId" in event:
            event["userId"] = f"user-{choose.randrange(10 ** choose.randrange(5))}"
        event |= {"eventId": f"e{choose.randrange(300)}"} if choose.random() < 0.6 else {}
        event |= {"more": choose.choice([1, "x", [1], None])} if choose.random() < 0.2 else {}
        raw = json.dumps(event, ensure_ascii=choose.random() < 0.5).encode()
        made.append(Message(choose.randrange(4), offset, RECEIVED_MS + choose.randrange(40_000_000), raw, topic.name))
    return made


def expected(topic: EventTopic, record: Message, columns: list[str]) -> dict[str, Any] | None:
    """The row of one record; None for one that breaks its contract."""
    raw, (_, received_ms) = record.value(), record.timestamp()
    try:
        event = topic.decode(raw)
    except ContractError:
        return None
    received = datetime.fromtimestamp(received_ms / 1000, UTC)
    at, is_suspect = occurred_at(event, from_ms(received_ms))
    extra = unknown_fields(raw, event)
    computed = {
        "topic": topic.name, "partition": record.partition(), "offset": record.offset(), "received_at": received,
        "received_date": received.date(), "event_id": identity(raw, event), "event_type": event.event_type,
        "occurred_at": at, "is_clock_suspect": is_suspect,
        "extra": msgspec.json.encode(extra).decode() if extra else None,
        "group_id": GROUP(event) if topic is PLAYBACK else None,
    }  # fmt: skip
    row = {name: computed[name] if name in computed else getattr(event, name, None) for name in columns}
    return {name: list(value.items()) if isinstance(value, dict) else value for name, value in row.items()}


@pytest.mark.parametrize("topic", EVENT_TOPICS.values(), ids=lambda topic: topic.name)
def test_rows_are_what_the_contract_says(topic: EventTopic) -> None:
    decoder = Decoder(topic)
    batch = records(topic, 500, random.Random(5))
    found = decoder.decode(batch)
    rows = found.rows.cast(decoder.schema)
    rows.validate(full=True)
    by_offset = {row["offset"]: row for row in rows.to_pylist()}
    wanted = [expected(topic, record, decoder.schema.names) for record in batch]
    assert by_offset == {row["offset"]: row for row in wanted if row}
    assert len(by_offset) == rows.num_rows > 100
    assert [record for record, _ in found.broken] == [r for r, row in zip(batch, wanted, strict=True) if not row]
    in_order = rows.sort_by([(name, "ascending") for name in sorted_by(topic)])
    assert rows["offset"].to_pylist() == in_order["offset"].to_pylist()


def test_few_different_texts_are_written_once() -> None:
    event = smallest(PLAYBACK, "play") | {"deviceType": "web"}
    values = [json.dumps(event | {"eventId": f"e{number}"}).encode() for number in range(1000)]
    rows = Decoder(PLAYBACK).decode([Message(0, at, RECEIVED_MS, raw) for at, raw in enumerate(values)]).rows
    are_listed = {name: pa.types.is_dictionary(rows[name].type) for name in ("device_type", "event_type", "event_id")}
    assert are_listed == {"device_type": True, "event_type": True, "event_id": False}


def test_no_record_is_no_row() -> None:
    found = Decoder(PLAYBACK).decode([])
    assert (found.rows.num_rows, found.broken) == (0, [])
