"""The producer helper: nothing that breaks its contract leaves, nothing unacknowledged goes unnoticed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from infra.errors import ContractError, DeliveryError, SettingsError
from infra.settings import Settings
from schemas.events.playback import Play, Stop
from schemas.events.ui import Search
from schemas.topic import Topic
from streams.intake.producer import EventProducer
from streams.live.events import partition_of
from tests.streams.intake.collector_world import read_all

NOW = datetime(2026, 1, 15, 20, 30, 45, tzinfo=UTC)
NOWHERE = "127.0.0.1:1"
QUICK = {"message.timeout.ms": 300, "reconnect.backoff.max.ms": 100}
PLAY = Play(user_id="user123", content_id="title456", timestamp=NOW, device_type="smart_tv", quality="4K")


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (Play(user_id="u", content_id="t", timestamp=NOW, device_type="fridge"), "deviceType"),  # type: ignore[arg-type]
        (Play(user_id="u", content_id=7, timestamp=NOW), "contentId"),  # type: ignore[arg-type]
        (Play(user_id="u", content_id="t", timestamp=datetime(2026, 1, 1)), "timestamp"),  # noqa: DTZ001
        (Play(user_id="u", content_id="t", timestamp=NOW, position_ms=2**70), "positionMs"),
        (Play(user_id="u", content_id="t", timestamp=NOW, experiments={"a": object()}), None),  # type: ignore[dict-item]
    ],
)
def test_what_breaks_its_contract_does_not_leave(event: Play, field: str | None) -> None:
    producer = EventProducer(NOWHERE, QUICK)
    with pytest.raises(ContractError) as caught:
        producer.send(event)
    assert caught.value.field == field
    producer.close(1)  # nothing is under way, so nothing is missed


def test_raw_events_are_held_to_the_same_contract() -> None:
    producer = EventProducer(NOWHERE, QUICK)
    for event, field in [({"eventType": "teleport"}, "eventType"), (b'{"eventType":"play"}', "timestamp")]:
        with pytest.raises(ContractError) as caught:
            producer.send_raw(event)  # type: ignore[arg-type]
        assert caught.value.field == field
    with pytest.raises(ContractError, match=r"user\.ui\.events"):
        producer.send_raw({"eventType": "play"}, topic="user.ui.event")
    producer.close(1)


def test_what_the_promise_rests_on_is_not_open_to_change() -> None:
    for config in ({"acks": "1"}, {"partitioner": "random"}, {"enable.idempotence": False}):
        with pytest.raises(SettingsError, match=next(iter(config))):
            EventProducer(NOWHERE, config)


def test_without_a_broker_every_event_is_in_the_error() -> None:
    producer = EventProducer(NOWHERE, QUICK)
    sent = [producer.send(PLAY) for _ in range(3)]
    with pytest.raises(DeliveryError, match=r"3 events were not delivered, 0 not acknowledged") as caught:
        producer.flush(10)
    failures: Any = caught.value.failures
    assert sorted(msgspec.json.decode(failure.value)["eventId"] for failure in failures) == sorted(sent)
    producer.close()
    with pytest.raises(DeliveryError, match="closed"):
        producer.send(PLAY)


def test_an_error_in_the_block_goes_on_and_tells_what_was_not_delivered() -> None:
    with pytest.raises(ZeroDivisionError) as caught, EventProducer(NOWHERE, QUICK) as producer:
        producer.send(PLAY)
        raise ZeroDivisionError
    assert "1 events were not delivered" in caught.value.__notes__[0]


@pytest.mark.kafka
def test_acknowledged_events_are_in_their_topics_by_key(kafka: Settings, topics: dict[str, Topic]) -> None:
    with EventProducer(kafka.bootstrap) as producer:
        ids = [producer.send(Play(user_id=f"u{i % 7}", content_id="t", timestamp=NOW)) for i in range(200)]
        producer.send(Stop(session_id="s", content_id="t", timestamp=NOW, event_id="mine"))
        producer.send(Search(user_id="u1", query="x", timestamp=NOW))
        producer.send_raw(b'{"eventType":"pause",  "userId":"u1","contentId":"t","timestamp":"2026-01-15T20:30:45Z"}')
    records = read_all(kafka, "user.playback.events")
    values = [value or b"" for *_, value in records]
    assert {msgspec.json.decode(value).get("eventId") for value in values} == {*ids, "mine", None}
    assert any(b'"pause",  "userId"' in value for value in values), "bytes travel as they are"
    assert {key for _, _, key, _ in records} == {b"s", *(b"u%d" % i for i in range(7))}
    # librdkafka chose as the live partitions reckon: murmur2, of two partitions.
    places = {key: partition for partition, _, key, _ in records}
    assert places == {key: partition_of(key or b"", 2) for key in places}
    assert len(read_all(kafka, "user.ui.events")) == 1
