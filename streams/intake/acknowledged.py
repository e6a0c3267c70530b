"""A Kafka producer for asyncio that answers when the broker has: one awaited batch, one wake-up."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

log = logging.getLogger(__name__)

POLL_S = 0.1


class Record(NamedTuple):
    """What goes to Kafka."""

    topic: str
    key: bytes | None
    value: bytes | None


class Receipt(NamedTuple):
    """Where the broker put a record; or `error`, when nobody knows whether it has it."""

    partition: int = -1
    offset: int = -1
    error: str | None = None


class AcknowledgedProducer:
    """librdkafka with delivery reports. `config` should say acks=all (`infra.kafka.producer_config`).

    `on_fatal` is called (from another thread) when the producer can't go on: the process has to be started again.
    """

    def __init__(self, config: Mapping[str, Any], on_fatal: Callable[[str], None]) -> None:
        from confluent_kafka import Producer

        self._on_fatal = on_fatal
        own: dict[str, Any] = {"error_cb": self._on_error}
        self._producer = Producer({**config, **own}, logger=logging.getLogger("librdkafka"))
        self._stop = threading.Event()
        # Delivery reports come in this thread alone, whatever the event loop does.
        self._poller = threading.Thread(target=self._poll, name="delivery-reports", daemon=True)
        self._poller.start()

    async def send(self, records: Sequence[Record]) -> list[Receipt]:
        """Produce the records and wait for the broker's word on each."""
        batch = _Batch(len(records), asyncio.get_running_loop())
        for index, record in enumerate(records):
            try:
                self._producer.produce(
                    record.topic, key=record.key, value=record.value, on_delivery=partial(batch.report, index)
                )
            except BufferError:
                batch.settle(index, Receipt(error="the collector's queue is full"))
        return await batch.future

    def topics(self, timeout_s: float) -> set[str]:
        """Topics that the broker knows. Raises KafkaException when it does not answer in time."""
        return set(self._producer.list_topics(timeout=timeout_s).topics)

    def close(self, timeout_s: float) -> int:
        """Send what is queued; returns how many records the broker did not acknowledge."""
        left = int(self._producer.flush(timeout_s))
        self._stop.set()
        self._poller.join(POLL_S * 10)
        return left

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(POLL_S)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._on_fatal(str(error))
        else:
            log.warning("broker trouble", extra={"error": str(error)})


class _Batch:
    """The receipts of one `send`. Counted down by two threads: the one that produces and the one that polls."""

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[list[Receipt]] = loop.create_future()
        self._loop = loop
        self._receipts: list[Receipt] = [Receipt()] * size
        self._open = size
        self._lock = threading.Lock()
        if not size:
            self.future.set_result([])

    def report(self, index: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.settle(index, Receipt(message.partition() or 0, message.offset() or 0))
        else:
            self.settle(index, Receipt(error=error.str()))

    def settle(self, index: int, receipt: Receipt) -> None:
        with self._lock:
            self._receipts[index] = receipt
            self._open -= 1
            done = self._open == 0
        if done and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        # The client may have gone: its request, and with it the future, is cancelled then.
        if not self.future.done():
            self.future.set_result(self._receipts)
