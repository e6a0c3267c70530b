"""The live file behind a real broker: what is published to the live topic is in SQL within about a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from confluent_kafka import Producer

from infra.kafka import producer_config
from infra.settings import Settings
from infra.waiting import until
from schemas.registry import LIVE_QUALITY
from schemas.topic import Topic
from tests.warehouse.lake import Lake
from tests.warehouse.test_live_state import now, record
from warehouse import publication
from warehouse.live import LiveFeed

pytestmark = pytest.mark.kafka

START = int(datetime.now(UTC).replace(second=0, microsecond=0).timestamp()) - 1800


@pytest.fixture
def feed(kafka: Settings, topics: dict[str, Topic]) -> Iterator[LiveFeed]:
    opened = LiveFeed(kafka)
    yield opened
    opened.stop()


@pytest.fixture
def send(kafka: Settings, topics: dict[str, Topic]) -> Callable[..., None]:
    producer = Producer(producer_config(kafka))

    def produce(*records: tuple[bytes, bytes]) -> None:
        for key, value in records:
            producer.produce(LIVE_QUALITY.name, value, key)
        assert producer.flush(20) == 0

    return produce


def read(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    path = publication.live_file(settings.warehouse)
    if path is None:
        return []
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{path}' AS live (READ_ONLY)")
        return connection.execute(sql).fetchall()


def wait_for(what: Callable[[], Any], expected: Any, seconds: float = 20) -> float:
    """Seconds until `what()` is as expected."""
    return until(f"{expected}", lambda: what() == expected, seconds, every_s=0.05, seen=what)


def test_upserts_are_in_the_file_and_replay_never_shows_less(
    kafka: Settings, feed: LiveFeed, send: Callable[..., None]
) -> None:
    def plays() -> list[tuple[Any, ...]]:
        return read(kafka, "SELECT sum(plays)::INTEGER FROM live.quality_minute WHERE rollup = 'total'")

    send(record(START, partition=0, position=5, plays=3), record(START, partition=1, position=5, plays=4))
    feed.start()
    wait_for(plays, [(7,)])
    send(record(START, partition=0, position=9, plays=6), now(0, START * 1000, 2), (b"total/broken", b"{}"))
    assert wait_for(plays, [(10,)]) < 5
    # A restarted worker publishes its recovered state again, from an older position on.
    seen = set()
    for position, count in ((5, 3), (7, 5), (9, 6)):
        send(record(START, partition=0, position=position, plays=count))
        for _ in range(8):
            seen.update(plays())
            time.sleep(0.1)
    assert seen == {(10,)}
    assert read(kafka, "SELECT sum(concurrent)::INTEGER FROM live.now") == [(2,)]


def test_a_restarted_server_never_shows_less(kafka: Settings, feed: LiveFeed, send: Callable[..., None]) -> None:
    send(*(record(START + 60 * minute, position=minute, plays=1) for minute in range(20)))

    def rows() -> list[tuple[Any, ...]]:
        return read(kafka, "SELECT count(*) FROM live.quality_minute")

    feed.start()
    wait_for(rows, [(20,)])
    feed.stop()
    send(record(START + 60 * 20, position=30, plays=1))
    again = LiveFeed(kafka)
    assert rows() == [(20,)]
    again.start()
    seen = set()
    end = time.monotonic() + 20
    while (21,) not in seen and time.monotonic() < end:
        seen.update(rows())
    again.stop()
    assert seen == {(20,), (21,)}


def test_a_publish_moves_the_cutover(
    kafka: Settings, feed: LiveFeed, send: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warehouse.live.KEEP_REPLACED_S", 2.0)
    send(*(record(START + 60 * minute, position=1) for minute in range(10)))
    lake = Lake(kafka)
    first = datetime.fromtimestamp(START + 120, UTC)
    lake.publish("p1", cutover=first)

    def minutes() -> list[tuple[Any, ...]]:
        return read(kafka, "SELECT epoch(min(minute))::BIGINT, count(*) FROM live.quality_minute")

    feed.start()
    wait_for(minutes, [(START + 120, 8)])
    lake.publish("p2", cutover=first + timedelta(minutes=5))
    assert minutes() == [(START + 120, 8)], "readers may still hold the publish before"
    wait_for(minutes, [(START + 420, 3)])


def test_it_waits_for_a_broker_and_a_topic(settings: Settings) -> None:
    """No broker at all: nothing is written, and stopping is quick."""
    feed = LiveFeed(settings)
    feed.start()
    time.sleep(1)
    started = time.monotonic()
    feed.stop()
    assert time.monotonic() - started < 5
    assert publication.live_file(settings.warehouse) is None
