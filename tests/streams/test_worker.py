"""The stream worker on a real broker: killed again and again, it ends with the numbers of one that never was."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from infra.kafka import consumer_config, producer_config
from infra.settings import ROOT, Settings
from infra.topics import offsets
from infra.waiting import until
from schemas.registry import LIVE_QUALITY, PLAYBACK
from schemas.topic import Topic

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
KINDS = ("play", "first_frame", "heartbeat", "heartbeat", "stall_start", "stall_end", "heartbeat", "stop")
BROKEN = b'{"eventType":"play"}'


class RunningWorker:
    """A stream worker in a process of its own."""

    def __init__(self, settings: Settings, number: int = 0) -> None:
        self.log = settings.home / f"stream-{number}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.begins = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams.app", "--worker", str(number)],
                cwd=ROOT, env={"PATH": "/usr/bin:/bin", **settings.to_env()}, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def stop(self) -> int:
        """Exit code after SIGTERM; waits until it is at work, since a signal during its imports just ends it."""
        until("it is at work", lambda: '"fetching"' in self.log.read_text()[self.begins :], 30, every_s=0.2)
        self.process.terminate()
        return self.process.wait(15)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def worker_settings(kafka: Settings, topics: dict[str, Topic]) -> Settings:
    return replace(kafka, stream_flush_s=0.5)


@pytest.fixture
def workers() -> Iterator[list[RunningWorker]]:
    started: list[RunningWorker] = []
    yield started
    for worker in started:
        if worker.process.poll() is None:
            worker.kill()
        print(worker.log.read_text()[-3000:])


def send(settings: Settings, count: int, broken: int = 0, repeated: int = 0) -> None:
    """`count` valid events of many short sessions, `broken` records beside them, `repeated` events once more."""
    producer = Producer(producer_config(settings, {"linger.ms": 5}))
    now = datetime.now(UTC)
    dice = random.Random(count)
    sent: list[tuple[bytes, bytes]] = []
    for n in range(count):
        session, step = divmod(n, len(KINDS))
        event = {
            "eventType": KINDS[step], "timestamp": (now + timedelta(milliseconds=step)).isoformat(), "seq": step,
            "userId": f"u{session % 97}", "sessionId": f"s{session}", "contentId": f"t{session % 11}",
            "eventId": str(n),
        }  # fmt: skip
        sent.append((str(event["userId"]).encode(), json.dumps(event).encode()))
    for place in sorted(dice.sample(range(count), repeated), reverse=True):
        sent.insert(place + 1, sent[place])
    for place in dice.sample(range(count), broken):
        sent.insert(place, (b"u1", BROKEN))
    for n, (key, value) in enumerate(sent):
        producer.produce(PLAYBACK.name, value, key)
        if n % 2000 == 0:
            producer.flush()
            time.sleep(0.2)
    assert producer.flush(20) == 0


def live(settings: Settings) -> dict[str, dict[str, Any]]:
    """The live topic as a reader holds it: of each key the value with the highest position.

    Up to the end as it is now: with two workers that write twice a second there may be no moment without news.
    """
    place = TopicPartition(LIVE_QUALITY.name, 0, 0)
    consumer = Consumer(consumer_config(settings, "test-live"))
    consumer.assign([place])
    end = consumer.get_watermark_offsets(place, 10)[1]
    rows: dict[str, dict[str, Any]] = {}
    while end and (message := consumer.poll(10)) is not None:
        assert not message.error()
        key, row = message.key().decode(), json.loads(message.value())
        if key not in rows or row["position"] >= rows[key]["position"]:
            rows[key] = row
        if message.offset() + 1 >= end:
            break
    consumer.close()
    return rows


def now_sums(settings: Settings) -> dict[str, int]:
    rows = [row for key, row in live(settings).items() if key.startswith("now/")]
    names = ("position", "applied", "events", "late", "duplicates", "rejected", "misplaced")
    return {name: sum(row[name] for row in rows) for name in names}


def wait_applied(settings: Settings, timeout_s: float = 60) -> dict[str, int]:
    """Wait until the live topic says that every record has been applied."""
    ends = sum(end for _, end in offsets(settings, [PLAYBACK.name]).values())
    until = time.monotonic() + timeout_s
    while (sums := now_sums(settings))["position"] < ends:
        assert time.monotonic() < until, f"applied {sums['position']} of {ends} after {timeout_s} s"
        time.sleep(0.5)
    return sums


@pytest.mark.parametrize("kills", [pytest.param(2, marks=pytest.mark.long), pytest.param(12, marks=pytest.mark.chaos)])
def test_kills_lose_and_double_nothing(worker_settings: Settings, workers: list[RunningWorker], kills: int) -> None:
    dice = random.Random(7)
    workers.append(RunningWorker(worker_settings))
    for _ in range(kills):
        send(worker_settings, 8000, broken=40, repeated=40)
        time.sleep(dice.uniform(4, 7))
        workers[-1].kill()
        workers.append(RunningWorker(worker_settings))
    sums = wait_applied(worker_settings)
    assert sums["applied"] == kills * 8080
    # The rounds send the same ids; a session's repeats of an earlier round are dropped while it is remembered.
    assert sums["rejected"] == kills * 40
    assert sums["events"] + sums["late"] + sums["duplicates"] == kills * 8040
    assert sums["duplicates"] >= kills * 40
    assert workers[-1].stop() == 0  # the last rows come with the last flush
    minutes = [row for key, row in live(worker_settings).items() if key.startswith("total/")]
    assert sum(row["events"] for row in minutes) == sums["events"]


def test_an_event_is_live_within_two_seconds(worker_settings: Settings, workers: list[RunningWorker]) -> None:
    """The smallest event that must be accepted, from any producer."""
    workers.append(RunningWorker(worker_settings))
    send(worker_settings, 8)
    wait_applied(worker_settings)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    seed = (
        f'{{"userId":"user123","contentId":"title456","eventType":"play","timestamp":"{stamp}",'
        '"deviceType":"smart_tv","quality":"4K"}'
    )
    producer = Producer(producer_config(worker_settings))
    producer.produce(PLAYBACK.name, seed.encode(), b"user123")
    assert producer.flush(5) == 0
    began = time.monotonic()
    while now_sums(worker_settings)["events"] < 9:
        assert time.monotonic() - began < 2
        time.sleep(0.1)
    plays = 0
    while plays != 1:
        assert time.monotonic() - began < 2
        titles = [row for key, row in live(worker_settings).items() if key.startswith("title/")]
        plays = sum(row["plays"] for row in titles if row["content_id"] == "title456")


def test_two_workers_share_and_hand_over(worker_settings: Settings, workers: list[RunningWorker]) -> None:
    workers.append(RunningWorker(worker_settings))
    send(worker_settings, 4000)
    workers.append(RunningWorker(worker_settings, 1))
    send(worker_settings, 4008)
    wait_applied(worker_settings)
    assert workers[0].stop() == 0
    send(worker_settings, 4016)
    sums = wait_applied(worker_settings)
    assert sums["applied"] == 4000 + 4008 + 4016
    assert sums["events"] + sums["late"] + sums["duplicates"] == sums["applied"]
