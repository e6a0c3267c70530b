"""Ways for a load to go: a batch of records in, the outcome of each out, when it is known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import httpx
import msgspec

from infra.kafka import producer_config
from infra.settings import Settings
from streams.intake.load.ledger import Outcome
from streams.intake.load.pool import Record

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

PATIENCE_S = 60.0
"""How long a record is offered again to somebody who does not answer."""


class Sender(Protocol):
    """`send` may return before the outcomes are known; `settle` waits for those of everything sent since the last."""

    epoch: int
    """About how many records one `settle` should be for."""

    def send(self, records: Sequence[Record]) -> None: ...

    def settle(self) -> list[Outcome]:
        """In the order in which the records were sent."""


class KafkaSender:
    """Straight into the topics.

    Only failures are reported one by one: a report for each record would cost as much as sending it. What was sent
    before a completed flush and is in no report is acknowledged, that is what librdkafka means by it.
    """

    epoch = 200_000

    def __init__(self, settings: Settings, patience_s: float = PATIENCE_S) -> None:
        from confluent_kafka import Producer

        self._patience_s = patience_s

        fast = {
            "delivery.report.only.error": True,
            "on_delivery": self._report,
            "batch.size": 1_000_000,
            "batch.num.messages": 100_000,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 2 * self.epoch,
            "queue.buffering.max.kbytes": 1_000_000,
            "message.timeout.ms": round(patience_s * 1000),
            # Less than that, or librdkafka refuses the whole configuration.
            "linger.ms": min(50, round(patience_s * 500)),
            "reconnect.backoff.max.ms": 1000,
        }
        self._producer = Producer(producer_config(settings, fast))
        self._failed: list[tuple[bytes, Outcome]] = []
        self._order: list[bytes] = []

    def send(self, records: Sequence[Record]) -> None:
        produce = self._producer.produce
        for topic, key, value in records:
            while True:
                try:
                    produce(topic, value, key)
                    break
                except BufferError:
                    self._producer.poll(0.05)
        self._order += [value for _, _, value in records]
        self._producer.poll(0)

    def settle(self) -> list[Outcome]:
        left = self._producer.flush(self._patience_s + 10)
        outcomes: list[Outcome] = ["acked"] * len(self._order)
        if left:
            # Which ones are left, nobody says: of none of them anything is known.
            outcomes = ["unknown"] * len(self._order)
        elif self._failed:
            failed = dict(self._failed)
            outcomes = [failed.get(value, "acked") for value in self._order]
        self._order, self._failed = [], []
        return outcomes

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        # A record that timed out may have been written all the same; any other was refused.
        timed_out = error.name() in ("_MSG_TIMED_OUT", "REQUEST_TIMED_OUT")
        self._failed.append((message.value() or b"", "unknown" if timed_out else "nacked"))


class CollectorSender:
    """By `POST /v1/events`, as an SDK does: batches, and again what nobody answered for, with the same ids."""

    def __init__(self, settings: Settings, batch: int, key: str | None = None, patience_s: float = PATIENCE_S) -> None:
        self.epoch = 10_000
        self.latencies_ms: list[float] = []
        self._url = f"http://{settings.host}:{settings.collector_port}/v1/events"
        headers = {"content-type": "application/x-ndjson"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._client = httpx.Client(timeout=30, headers=headers)
        self._batch, self._patience_s = batch, patience_s
        self._outcomes: list[Outcome] = []

    def send(self, records: Sequence[Record]) -> None:
        by_topic: dict[str, list[tuple[int, Record]]] = {}
        outcomes: list[Outcome] = ["unknown"] * len(records)
        for index, record in enumerate(records):
            by_topic.setdefault(record[0], []).append((index, record))
        for topic, waiting in by_topic.items():
            for at in range(0, len(waiting), self._batch):
                batch = waiting[at : at + self._batch]
                for (index, _), outcome in zip(batch, self._deliver(topic, [r for _, r in batch]), strict=True):
                    outcomes[index] = outcome
        self._outcomes += outcomes

    def settle(self) -> list[Outcome]:
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def _deliver(self, topic: str, records: list[Record]) -> list[Outcome]:
        """The outcomes of one batch, which is offered until everything in it is settled or patience is at its end."""
        settled: dict[int, Outcome] = {}
        waiting = list(range(len(records)))
        until, pause = time.monotonic() + self._patience_s, 0.1
        while waiting:
            wait_s = self._post(topic, records, waiting, settled)
            waiting = [index for index in waiting if index not in settled]
            if waiting:
                if time.monotonic() + max(wait_s, pause) > until:
                    break
                time.sleep(max(wait_s, pause))
                pause = min(2 * pause, 5.0)
        return [settled.get(index, "unknown") for index in range(len(records))]

    def _post(self, topic: str, records: list[Record], waiting: list[int], settled: dict[int, Outcome]) -> float:
        """Offer once, note what is settled; returns how long the collector wants to be left alone, in seconds."""
        body = b"\n".join(records[index][2] for index in waiting)
        began = time.monotonic()
        try:
            answer = self._client.post(self._url, params={"topic": topic}, content=body)
        except httpx.TransportError:
            return 0.0
        self.latencies_ms.append((time.monotonic() - began) * 1000)
        verdicts = _verdicts(answer)
        if verdicts is not None:
            meaning: dict[str, Outcome] = {"accepted": "acked", "duplicate": "acked", "rejected": "nacked"}
            for index, status in zip(waiting, verdicts, strict=True):
                if status in meaning:
                    settled[index] = meaning[status]
        elif 400 <= answer.status_code < 500 and answer.status_code != 429:
            settled.update(dict.fromkeys(waiting, "nacked"))
        after = answer.headers.get("retry-after", "")
        return float(after) if after.isdigit() else 0.0


def _verdicts(answer: httpx.Response) -> list[str] | None:
    if answer.status_code not in (200, 503):
        return None
    try:
        events = msgspec.json.decode(answer.content).get("events")
    except (msgspec.DecodeError, AttributeError):
        return None
    return None if events is None else [event["status"] for event in events]
