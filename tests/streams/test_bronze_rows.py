"""Records become rows or dead letters: every record exactly one of them, whatever is in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.registry import EVENT_TOPICS, PLAYBACK
from schemas.tables import BRONZE
from streams.bronze_rows import Decoder
from streams.dead_letters import DeadLetter, from_topic, rejected, to_arrow
from tests.streams.delta_world import RECEIVED_MS, Record

SEED = (
    b'{"userId":"user123","contentId":"title456","eventType":"play","timestamp":"2026-01-15T20:30:45Z",'
    b'"deviceType":"smart_tv","quality":"4K"}'
)
DECODER = Decoder(PLAYBACK)


def row(value: bytes) -> dict[str, Any]:
    [found] = DECODER.decode([Record(7, value)]).rows.to_pylist()
    return dict(found)


def test_the_seed_event_as_a_row() -> None:
    found = row(SEED)
    at = datetime(2026, 1, 15, 20, 30, 45, tzinfo=UTC)
    assert {name: value for name, value in found.items() if value is not None} == {
        "topic": PLAYBACK.name, "partition": 0, "offset": 7, "received_at": at, "received_date": at.date(),
        "event_id": found["event_id"], "event_type": "play", "occurred_at": at, "is_clock_suspect": False,
        "group_id": "~user123|smart_tv|title456", "timestamp": at, "user_id": "user123", "device_type": "smart_tv",
        "content_id": "title456", "quality": "4K",
    }  # fmt: skip
    assert list(found) == [column.name for column in BRONZE[PLAYBACK.name].columns]


def with_field(text: bytes) -> bytes:
    return SEED[:-1] + b"," + text + b"}"


@pytest.mark.parametrize(
    ("field", "extra"),
    [
        (b'"cap":1080', '{"cap":1080}'),
        (b'"big":1e999', '{"big":1e999}'),
        (b'"huge":123456789012345678901234567890', '{"huge":123456789012345678901234567890}'),
        (b'"a":{"b":[1, null]}', '{"a":{"b":[1, null]}}'),
    ],
)
def test_an_unknown_field_is_kept_as_it_came(field: bytes, extra: str) -> None:
    assert row(with_field(field))["extra"] == extra


@pytest.mark.parametrize(
    "field",
    [
        b'"sentAt":"0001-01-01T00:00:00Z"',
        b'"sentAt":"9999-12-31T23:59:59Z"',
        b'"sentAt":"9999-12-31T23:59:59-14:00"',
        b'"seq":-9223372036854775808',
        b'"region":"\\u0000"',
    ],
)
def test_an_odd_value_is_kept(field: bytes) -> None:
    found = DECODER.decode([Record(7, with_field(field))])
    assert (found.rows.num_rows, found.broken) == (1, [])
    assert found.rows["occurred_at"].to_pylist()[0].year == 2026


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        (None, "empty", None),
        (b"", "not_json", None),
        (b"[]", "invalid_field", None),
        (with_field(b'"x":"\xff"'), "not_json", None),
        (with_field(b'"\xff":1'), "not_json", None),
        (with_field(b'"x":"\\ud800"'), "not_json", None),
        (with_field(b'"seq":9223372036854775808'), "invalid_field", "seq"),
        (SEED.replace(b"play", b"explode"), "unknown_event_type", "eventType"),
        (SEED.replace(b'"userId":"user123",', b""), "missing_field", "userId"),
    ],
)
def test_a_broken_record_keeps_its_bytes(value: bytes | None, reason: str, field: str | None) -> None:
    [(record, error)] = DECODER.decode([Record(7, value)]).broken
    [letter] = to_arrow([rejected(record, error)]).to_pylist()
    assert (letter["reason"], letter["field"], letter["value"], letter["key"]) == (reason, field, value, b"u1")
    assert (letter["topic"], letter["partition"], letter["offset"]) == (PLAYBACK.name, 0, 7)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(EVENT_TOPICS)), st.binary(max_size=40), st.integers(0, len(SEED)), st.integers(0, 40))
def test_every_record_has_one_outcome(topic: str, noise: bytes, at: int, gone: int) -> None:
    value = SEED[:at] + noise + SEED[at + gone :]
    found = Decoder(EVENT_TOPICS[topic]).decode([Record(1, value), Record(2, SEED), Record(3, noise)])
    places = [*found.rows["offset"].to_pylist(), *(record.offset() for record, _ in found.broken)]
    assert sorted(places) == [1, 2, 3]


def test_what_the_topic_of_dead_letters_adds() -> None:
    sent = {"source": "collector", "at": "2026-01-15T20:30:45Z", "reason": "r", "detail": "d", "value": "eyI="}
    kept = from_topic(Record(3, json.dumps(sent | {"topic": "user.ui.events"}).encode()))
    assert kept is not None
    assert (kept.offset, kept.value, kept.detail) == (3, b'{"', "d (meant for user.ui.events)")
    assert kept.at == datetime.fromtimestamp(RECEIVED_MS / 1000, UTC)
    assert from_topic(Record(3, json.dumps(sent | {"source": "sink"}).encode())) is None
    foreign = from_topic(Record(3, b"?"))
    assert foreign is not None
    assert (foreign.reason, foreign.value) == ("not_json", b"?")


@pytest.mark.parametrize(("size", "is_whole"), [(65_536, True), (65_537, False)])
def test_an_announcement_is_never_large(size: int, is_whole: bool) -> None:
    letter = DeadLetter(source="sink", at=datetime.now(UTC), reason="r", detail="d", value=b"x" * size)
    said = msgspec.json.decode(letter.announcement(), type=DeadLetter)
    assert (said.value == letter.value, said.size) == ((True, None) if is_whole else (False, size))
