"""A real collector for tests, and what it has put into Kafka."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

import httpx

from infra import topics as kafka_topics
from infra.kafka import consumer_config
from infra.settings import ROOT, Settings

SEED = (
    b'{"userId":"user123","contentId":"title456","eventType":"play","timestamp":"2026-01-15T20:30:45Z",'
    b'"deviceType":"smart_tv","quality":"4K"}'
)
CLICK = b'{"userId": "user123", "eventType":"click",  "timestamp":"2026-01-15T20:30:40Z","target":"play"}'
BAD_DEVICE = SEED.replace(b"smart_tv", b"fridge")
PLAYBACK, UI, LETTERS = "user.playback.events", "user.ui.events", "dead.letters"


class RunningCollector:
    """The collector as the supervisor starts it, a process of its own."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://{settings.host}:{settings.collector_port}"
        settings.home.mkdir(parents=True, exist_ok=True)
        self.log = settings.home / "collector.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams.intake.collector"],
                cwd=ROOT,
                env=os.environ | settings.to_env(),
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def wait_listening(self) -> None:
        for _ in range(200):
            try:
                httpx.get(f"{self.url}/metrics")
                return
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def wait_drained(self) -> None:
        """Until Kafka has what the spool had."""
        for _ in range(600):
            if httpx.get(f"{self.url}/healthz", timeout=10).json().get("spooling") is False:
                return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text()[-3000:])

    def post(self, body: bytes, query: str = "", **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/events{query}", content=body, headers=headers, timeout=30)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(12)
        finally:
            self.process.kill()


def read_all(settings: Settings, topic: str) -> list[tuple[int, int, bytes | None, bytes | None]]:
    """Every record of a topic: partition, offset, key, value."""
    from confluent_kafka import Consumer, TopicPartition

    ends = kafka_topics.offsets(settings, [topic])
    consumer = Consumer(consumer_config(settings, "reader"))
    consumer.assign([TopicPartition(topic, partition, 0) for _, partition in ends])
    missing = sum(end - start for start, end in ends.values())
    found: list[tuple[int, int, bytes | None, bytes | None]] = []
    while len(found) < missing:
        messages = consumer.consume(missing - len(found), timeout=20)
        assert messages
        found += [(m.partition(), m.offset(), m.key(), m.value()) for m in messages if not m.error()]
    consumer.close()
    return sorted(found, key=lambda record: record[:2])


ADDED = re.compile(rb'(,"eventId":"[0-9a-f]{32}")?(,"client":\{[^}]*\})?,"receivedAt":"[^"]+Z"\}$')


def as_sent(value: bytes | None) -> bytes:
    """A record without what the collector has put behind the client's own fields."""
    sent, found = ADDED.subn(b"}", value or b"")
    assert found
    return sent


def letters(settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(value or b"") for *_, value in read_all(settings, LETTERS)]
