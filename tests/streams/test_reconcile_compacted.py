"""Conservation of a topic that Kafka itself thins out, with real compaction before and after the sink has read it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from infra.kafka import producer_config
from infra.settings import Settings
from infra.topics import TIMEOUT_S, admin
from schemas.registry import EVENT_TOPICS
from schemas.tables import BRONZE
from schemas.topic import Topic
from streams.reconcile import Line, reconcile
from tests.streams.bronze_world import in_kafka, query, sink, stop, wait_caught_up
from tests.streams.test_reconcile import damaged

pytestmark = pytest.mark.kafka
CATALOG = EVENT_TOPICS["catalog.titles"]
EAGER = {"min.compaction.lag.ms": "0", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.001"}


@pytest.fixture
def eager(kafka: Settings, topics: Mapping[str, Topic]) -> Iterator[Settings]:
    """The catalogue's topic is compacted within the second."""
    from confluent_kafka.admin import ConfigResource

    often = {"log.cleaner.backoff.ms": "100"}
    alter(kafka, ConfigResource(ConfigResource.Type.TOPIC, CATALOG.name), EAGER)
    [broker] = admin(kafka).list_topics(timeout=TIMEOUT_S).brokers
    alter(kafka, ConfigResource(ConfigResource.Type.BROKER, str(broker)), often)
    yield kafka
    alter(kafka, ConfigResource(ConfigResource.Type.BROKER, str(broker)), dict.fromkeys(often))


def alter(settings: Settings, resource: object, config: Mapping[str, str | None]) -> None:
    """Set settings of a topic or of all brokers; None takes one back."""
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry

    for name, value in config.items():
        how = AlterConfigOpType.SET if value is not None else AlterConfigOpType.DELETE
        resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=how))  # type: ignore[attr-defined]
    client = admin(settings)
    for future in client.incremental_alter_configs([resource], request_timeout=TIMEOUT_S).values():  # type: ignore[list-item]
        future.result()


def upserts(settings: Settings, first: int, count: int, titles: int = 7) -> None:
    """States of a few titles, one after the other, and a broken record."""
    from confluent_kafka import Producer

    producer = Producer(producer_config(settings))
    for number in range(first, first + count):
        event = {"eventType": "title_upsert", "eventId": f"c{number}", "contentId": f"t{number % titles}"}
        event |= {"timestamp": "2026-01-15T20:30:45Z", "title": f"state {number}", "kind": "film"}
        producer.produce(CATALOG.name, json.dumps(event), event["contentId"])
    producer.produce(CATALOG.name, b"broken", f"broken{first}")
    assert producer.flush(20) == 0


def wait_compacted(settings: Settings, left: int) -> None:
    """Return when at most `left` records are still there. A segment is only cleaned once another one has begun."""
    from confluent_kafka import Producer

    until = time.monotonic() + 30
    while len(in_kafka(settings, CATALOG.name)) > left:
        assert time.monotonic() < until, len(in_kafka(settings, CATALOG.name))
        producer = Producer(producer_config(settings))
        producer.produce(CATALOG.name, b"broken", b"pulse")
        producer.flush(10)
        time.sleep(0.3)


def kafka_line(settings: Settings) -> Line:
    [line] = [line for line in reconcile(settings).lines if (line.equation, line.topic) == ("kafka", CATALOG.name)]
    return line


@pytest.mark.long
def test_every_record_that_kafka_still_has_is_in_the_lake(eager: Settings) -> None:
    upserts(eager, 0, 300)
    wait_compacted(eager, left=20)
    with sink(eager, "g") as process:
        wait_caught_up(eager, 30, process)
        late = kafka_line(eager)
        assert late.holds and "compacted away" in late.terms, late
        # What is read before it is compacted stays in bronze.
        upserts(eager, 300, 50)
        wait_caught_up(eager, 30, process)
        stop(process)
    bronze = Path(BRONZE[CATALOG.name].path(eager.lake_root))
    assert query(bronze, "SELECT count(*) AS n FROM t WHERE event_id >= 'c300'")[0]["n"] == 50
    wait_compacted(eager, left=25)
    with sink(eager, "g") as process:
        wait_caught_up(eager, 30, process)
        stop(process)
    assert kafka_line(eager).holds

    newest = query(bronze, "SELECT max(\"offset\") AS o FROM t WHERE event_id = 'c349'")[0]["o"]
    assert (0, newest) in in_kafka(eager, CATALOG.name), "the newest state of a title is never compacted away"
    with damaged(bronze, f'DELETE "offset" = {newest}'):
        assert kafka_line(eager).why == f"in Kafka and not in the lake: {newest}"
