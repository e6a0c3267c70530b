"""Where a simulation or a replay sends its records: Kafka itself, the HTTP collector, or a file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import httpx
import msgspec

from infra.errors import ProcessError, SettingsError
from infra.kafka import producer_config
from infra.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message


class Target(Protocol):
    """Takes records; `acknowledged` and `rejected` count them by topic, and are complete after `finish`."""

    acknowledged: Counter[str]
    rejected: Counter[str]

    def send(self, topic: str, key: bytes | None, value: bytes | None) -> None: ...

    def pause(self) -> None:
        """Nothing to send for a moment: let out what waits for company."""

    def settle(self) -> None:
        """Wait until everything so far is acknowledged. Raises ProcessError when something never was."""

    def finish(self) -> None:
        """`settle`, and take nothing more."""


class ToKafka:
    """Straight into the topics, as any producer does."""

    def __init__(self, settings: Settings) -> None:
        from confluent_kafka import Producer

        self.acknowledged: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._producer = Producer(
            producer_config(settings, {"linger.ms": 20, "compression.type": "lz4", "reconnect.backoff.max.ms": 1000})
        )

    def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        while True:
            try:
                self._producer.produce(topic, key=key, value=value, on_delivery=self._report)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)

    def pause(self) -> None:
        self._producer.poll(0)

    def finish(self) -> None:
        self.settle()

    def settle(self) -> None:
        left = self._producer.flush(120)
        if left or self._failed:
            msg = (
                f"expected every record to be acknowledged; {left} are still in the queue, failed: {dict(self._failed)}"
            )
            raise ProcessError(msg)

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.acknowledged[message.topic() or ""] += 1
        else:
            self._failed[f"{message.topic()}: {error.str()}"] += 1


class ToCollector:
    """By `POST /v1/events`, as an SDK does: in batches, and again what was not acknowledged."""

    batch = 500
    patience_s = 60.0

    def __init__(self, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> None:
        self.acknowledged: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self._url = f"http://{settings.host}:{settings.collector_port}/v1/events"
        self._client = httpx.Client(timeout=30, headers={"content-type": "application/x-ndjson"})
        self._waiting: list[tuple[str, bytes]] = []
        self._sleep = sleep

    def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        # A record without a value is a thing of Kafka's; over HTTP the nearest is null.
        self._waiting.append((topic, b"null" if value is None else value))
        if len(self._waiting) >= self.batch:
            self._post()

    def pause(self) -> None:
        self._post()

    def settle(self) -> None:
        self._post()

    def finish(self) -> None:
        self._post()
        self._client.close()

    def _post(self) -> None:
        end = time.monotonic() + self.patience_s
        while self._waiting:
            unknown = self._try()
            if unknown and time.monotonic() > end:
                msg = f"expected {self._url} to take the events within {self.patience_s:.0f} s, {len(unknown)} are left"
                raise ProcessError(msg)
            if unknown:
                self._sleep(1.0)
            self._waiting = unknown

    def _try(self) -> list[tuple[str, bytes]]:
        """Post what waits once; returns what has to be sent again."""
        sent = self._waiting
        try:
            answer = self._client.post(self._url, content=b"\n".join(value for _, value in sent))
        except httpx.TransportError:
            return sent
        if answer.status_code not in (200, 503):
            msg = f"the collector at {self._url} answered {answer.status_code}: {answer.text[:200]}"
            raise ProcessError(msg)
        verdicts = msgspec.json.decode(answer.content).get("events")
        if verdicts is None:
            return sent
        counts = {"accepted": self.acknowledged, "duplicate": self.acknowledged, "rejected": self.rejected}
        again = []
        for (topic, value), verdict in zip(sent, verdicts, strict=True):
            if verdict["status"] in counts:
                counts[verdict["status"]][topic] += 1
            else:
                again.append((topic, value))
        return again


class ToFile:
    """Values as lines of a file, e.g. for `curl --data-binary @file`. Broken records hold no line end."""

    def __init__(self, path: Path) -> None:
        self.acknowledged: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self._file = path.open("wb")

    def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self._file.write((b"null" if value is None else value) + b"\n")
        self.acknowledged[topic] += 1

    def pause(self) -> None:
        self._file.flush()

    def settle(self) -> None:
        self._file.flush()

    def finish(self) -> None:
        self._file.close()


def target(to: str, settings: Settings, output: Path | None) -> Target:
    """The target that a command names: kafka, collector or file."""
    match to:
        case "kafka":
            return ToKafka(settings)
        case "collector":
            return ToCollector(settings)
        case _ if output is not None:
            return ToFile(output)
    msg = "expected --output FILE with --to file"
    raise SettingsError(msg)
