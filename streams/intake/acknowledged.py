"""A Kafka producer for asyncio: records in, a receipt each when the broker has spoken.

Delivery reports are polled in the event loop itself: no second thread takes the interpreter from the one that answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

log = logging.getLogger(__name__)

BUSY_POLL_S = 0.002
"""How often delivery reports are looked for while some are due: it adds half of that to the time of an answer."""
IDLE_POLL_S = 0.2
"""And otherwise: errors and log lines come that way too."""


class Record(NamedTuple):
    """What goes to Kafka."""

    topic: str
    key: bytes | None
    value: bytes | None


class Receipt(NamedTuple):
    """What became of a record.

    partition, offset: where the broker put it; -1 for one that is kept in the spool and on its way.
    error: nobody has it, or nobody knows. is_refused: the broker will never take it, whoever sends it again.
    """

    partition: int = -1
    offset: int = -1
    error: str | None = None
    is_refused: bool = False

    @property
    def may_be_sent_again(self) -> bool:
        """Whether nobody has it, and that may change."""
        return self.error is not None and not self.is_refused


class Delivery:
    """Records on their way: `receipts` fill up in any order, `done` when none is missing."""

    def __init__(self, size: int, done: asyncio.Future[None]) -> None:
        self.receipts: list[Receipt | None] = [None] * size
        self.done = done
        self._open = size
        if not size:
            done.set_result(None)

    def settle(self, index: int, receipt: Receipt) -> None:
        self.receipts[index] = receipt
        self._open -= 1
        if not self._open and not self.done.done():
            self.done.set_result(None)


class AcknowledgedProducer:
    """librdkafka with delivery reports. `config` should say acks=all (`infra.kafka.producer_config`).

    To be made within the event loop in which it is used. `on_fatal` is called when the producer can't go on: the
    process has to be started again.
    """

    def __init__(self, config: Mapping[str, Any], on_fatal: Callable[[str], None]) -> None:
        from confluent_kafka import KafkaError, KafkaException, Producer

        self._on_fatal = on_fatal
        own: dict[str, Any] = {"error_cb": self._on_error}
        self._producer = Producer({**config, **own}, logger=logging.getLogger("librdkafka"))
        self._refusals = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD}
        self._error = KafkaException
        self._loop = asyncio.get_running_loop()
        self._outstanding = 0
        self._closed = False
        self._timer = self._loop.call_later(IDLE_POLL_S, self._poll)
        self._is_busy = False

    def produce(self, records: Sequence[Record]) -> Delivery:
        """Hand the records to librdkafka, which keeps trying for as long as `config` says."""
        delivery = Delivery(len(records), self._loop.create_future())
        produce, report = self._producer.produce, self._report
        for index, (topic, key, value) in enumerate(records):
            try:
                produce(topic, value, key, on_delivery=partial(report, delivery, index))
            except BufferError:
                delivery.settle(index, Receipt(error="the collector's queue to Kafka is full"))
            except self._error as error:
                delivery.settle(index, self._failure(error.args[0]))
            else:
                self._outstanding += 1
        if self._outstanding and not self._is_busy:
            self._is_busy = True
            self._timer.cancel()
            self._timer = self._loop.call_later(BUSY_POLL_S, self._poll)
        return delivery

    async def send(self, records: Sequence[Record]) -> list[Receipt]:
        """Produce the records and wait for the broker's word on each."""
        delivery = self.produce(records)
        await delivery.done
        return [receipt for receipt in delivery.receipts if receipt is not None]

    def topics(self, timeout_s: float) -> set[str]:
        """Topics that the broker knows. Raises KafkaException when it does not answer in time."""
        return set(self._producer.list_topics(timeout=timeout_s).topics)

    async def close(self, timeout_s: float) -> int:
        """Wait for what is on its way, at most `timeout_s`; returns how many records the broker did not acknowledge."""
        end = self._loop.time() + timeout_s
        while self._outstanding and self._loop.time() < end:
            await asyncio.sleep(BUSY_POLL_S)
        self._closed = True
        self._timer.cancel()
        return self._outstanding

    def _poll(self) -> None:
        if self._closed:
            return
        self._producer.poll(0)
        self._is_busy = self._outstanding > 0
        self._timer = self._loop.call_later(BUSY_POLL_S if self._is_busy else IDLE_POLL_S, self._poll)

    def _report(self, delivery: Delivery, index: int, error: KafkaError | None, message: Message) -> None:
        self._outstanding -= 1
        if error is None:
            delivery.settle(index, Receipt(message.partition(), message.offset()))  # type: ignore[arg-type]
        else:
            delivery.settle(index, self._failure(error))

    def _failure(self, error: KafkaError) -> Receipt:
        return Receipt(error=error.str(), is_refused=error.code() in self._refusals)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._on_fatal(str(error))
        else:
            log.warning("broker trouble", extra={"error": str(error)})
