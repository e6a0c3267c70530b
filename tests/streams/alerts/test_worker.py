"""The process on a real broker: it judges what the live topic holds, stores, tells once, goes on after a restart."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec
import pytest
from confluent_kafka import Producer

from infra.kafka import producer_config
from infra.settings import Settings
from infra.topics import offsets
from infra.waiting import until
from schemas.alert import ALERT_PREFIX, Alert, Change
from schemas.quality import DIMENSIONS, PARTS
from schemas.registry import LIVE_ALERTS, LIVE_QUALITY
from schemas.standing import Standing
from schemas.topic import Topic
from streams.alerts.delivery import Delivery
from streams.alerts.minutes import MinuteRows
from streams.alerts.stored import Store
from streams.alerts.worker import AlertWorker
from streams.reconcile_topics import read_records
from tests.streams.alerts.service import START_S, service

pytestmark = pytest.mark.kafka

MINUTES = service(44, lambda m, who: 15.0 if 16 <= m < 24 and who["country"] == "BR" else 1.0)


class Ears(Delivery):
    """Hears what is told; delivers nothing."""

    def __init__(self) -> None:
        super().__init__(None, "")
        self.heard: list[Change] = []

    def tell(self, changes: Iterable[Change], *, again: bool = False) -> None:
        self.heard += changes


def publish(settings: Settings, minutes: Iterable[MinuteRows]) -> None:
    producer = Producer(producer_config(settings))
    for minute in minutes:
        for labels, cells in minute.rows.items():
            told = dict(zip(("rollup", *DIMENSIONS), labels, strict=True)) | dict(
                zip(PARTS, cells.tolist(), strict=False)
            )
            told |= {"topic": "t", "partition": 0, "minute": minute.minute_s, "position": 1}
            told |= {"startup_histogram": cells[len(PARTS) :].tolist()}
            producer.produce(LIVE_QUALITY.name, msgspec.json.encode(told), f"{labels}/{minute.minute_s}".encode())
        clock_ms = (minute.minute_s + 120) * 1000
        key, value = Standing(topic="t", partition=0, clock=clock_ms, at=clock_ms, position=0).record()
        producer.produce(LIVE_QUALITY.name, value, key)
    assert producer.flush(30) == 0


@contextmanager
def running(settings: Settings, until_minute: int) -> Iterator[Ears]:
    """A worker whose clock stands at the end of a minute, with half a minute for its records."""
    ears = Ears()
    worker = AlertWorker(settings, ears, wall_clock=lambda: START_S + 60 * (until_minute + 1) + 31.0)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    last_s = START_S + 60 * until_minute
    until(
        "the minutes are judged",
        lambda: (saved := Store(settings).read()) and saved.judged_s >= last_s,
        60,
        every_s=0.3,
    )
    yield ears
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()


def stored(settings: Settings) -> dict[bytes, Alert]:
    (low, high), *_ = offsets(settings, [LIVE_ALERTS.name]).values()
    records = read_records(settings, LIVE_ALERTS.name, 0, low, high)
    return {key: msgspec.json.decode(value, type=Alert) for _, key, value in records if key.startswith(ALERT_PREFIX)}


def test_it_judges_stores_and_tells_once(kafka: Settings, topics: dict[str, Topic]) -> None:
    publish(kafka, MINUTES[:20])
    with running(kafka, 15) as ears:
        assert ears.heard == []
    with running(kafka, 19) as ears:
        opened = [change.alert for change in ears.heard]
    assert [alert.cohort for alert in opened if alert.metric == "stalled_share"] == [{"country": "BR"}]
    assert all(alert.is_open for alert in stored(kafka).values())
    assert {alert.id for alert in stored(kafka).values()} == {alert.id for alert in opened}

    publish(kafka, MINUTES[20:])
    with running(replace(kafka), 43) as ears:
        after = [(change.kind, change.alert.metric, change.alert.id) for change in ears.heard]
    stalls = next(alert.id for alert in opened if alert.metric == "stalled_share")
    assert [kind for kind, _, name in after if name == stalls] == ["closed"], "not opened once more"
    assert not stored(kafka)[ALERT_PREFIX + stalls.encode()].is_open
