"""Records are kept once `send` says so: Kafka has acknowledged them or, when it does not in time, the spool has.

As long as all is well, records go straight to Kafka. What is not acknowledged within `patience_s` is written to the
spool and counts from then on; so does all that comes later, until the spool is drained, so that Kafka gets the records
in the order in which they came. What librdkafka already holds is not sent again: the spool's copy is let go when
librdkafka has delivered, and is there for the case that this process dies before.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import msgspec

from streams.intake.acknowledged import Delivery, Receipt, Record
from streams.intake.spool import Frame, Spool

log = logging.getLogger(__name__)

WINDOW_BYTES = 1_000_000
"""How much of the spool is on its way to Kafka at once."""
RETRY_S = 1.0
FULL = Receipt(error="Kafka does not answer, and the spool is full")


class Producer(Protocol):
    """Kafka, as `AcknowledgedProducer` reaches it."""

    def produce(self, records: Sequence[Record]) -> Delivery: ...
    async def close(self, timeout_s: float) -> int: ...


class _Batch(msgspec.Struct, array_like=True):
    """What a frame of the spool holds. The token says whether this process has handed the records to librdkafka."""

    token: str
    records: list[Record]


class _Held(NamedTuple):
    """Records that librdkafka has: some of a delivery."""

    delivery: Delivery
    indexes: Sequence[int]


class _Waiting(NamedTuple):
    """A batch that is about to be written, and who waits for the disk."""

    token: str
    payload: bytes
    kept: asyncio.Future[bool]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Batch)


class DurableProducer:
    """Kafka with a spool behind it. To be made, and used, within one event loop."""

    def __init__(self, producer: Producer, spool: Spool, patience_s: float, on_fatal: Callable[[str], None]) -> None:
        """Begins to drain what an earlier process left in the spool.

        `on_fatal` is called when the spool can't be read: the process has to be started again.
        """
        self._producer = producer
        self._on_fatal = on_fatal
        self._spool = spool
        self._patience_s = patience_s
        self._disk = ThreadPoolExecutor(1, "spool")
        """The one thread that touches the spool."""
        self._run = uuid.uuid4().hex
        self._count = itertools.count()
        self._waiting: list[_Waiting] = []
        self._held: dict[str, _Held] = {}
        self._is_direct = not spool.frames
        self._writer: asyncio.Task[None] | None = None
        self._drainer: asyncio.Task[None] | None = None
        if spool.frames:
            self._begin_draining()
        self.drained = 0
        """Records that went from the spool to Kafka."""

    @property
    def is_spooling(self) -> bool:
        """Whether records go to the spool and not straight to Kafka."""
        return not self._is_direct

    @property
    def spooled_bytes(self) -> int:
        """Room that the spool takes on disk."""
        return self._spool.size

    async def send(self, records: Sequence[Record]) -> list[Receipt]:
        """Returns when the records are kept, with a receipt each.

        Those with an `error` are not: the spool is full, or (`is_refused`) Kafka will never take them.
        """
        if not self._is_direct:
            return await self._keep(records)
        delivery = self._producer.produce(records)
        await asyncio.wait((delivery.done,), timeout=self._patience_s)
        receipts = list(delivery.receipts)
        missing = [index for index, receipt in enumerate(receipts) if receipt is None]
        failed = [
            index for index, receipt in enumerate(receipts) if receipt and receipt.error and not receipt.is_refused
        ]
        if missing or failed:
            self._is_direct = False
            kept = asyncio.gather(
                self._keep([records[index] for index in missing], _Held(delivery, missing)),
                self._keep([records[index] for index in failed]),
            )
            for index, receipt in zip([*missing, *failed], itertools.chain(*await kept), strict=True):
                receipts[index] = receipt
        return [receipt for receipt in receipts if receipt is not None]

    async def close(self, timeout_s: float) -> int:
        """Wait a moment for what is on its way; returns how many records Kafka has not acknowledged.

        Those that were promised are in the spool, for the next process.
        """
        if self._drainer:
            await asyncio.wait((self._drainer,), timeout=timeout_s / 2)
        left = await self._producer.close(timeout_s / 2)
        for task in (self._writer, self._drainer):
            if task:
                task.cancel()
        await self._on_disk(self._spool.close)
        self._disk.shutdown()
        return left

    async def _keep(self, records: Sequence[Record], held: _Held | None = None) -> list[Receipt]:
        """Into the spool; what is written at the same time shares one fsync."""
        if not records:
            return []
        token = f"{self._run}/{next(self._count)}"
        if held:
            self._held[token] = held
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(token, _ENCODER.encode(_Batch(token, list(records))), kept))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return [Receipt() if await kept else FULL] * len(records)

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                written = len(await self._on_disk(self._spool.append, [waiting.payload for waiting in batch]))
            except OSError as error:
                log.error("the spool can't be written", extra={"error": str(error)})
                written = 0
            if self._drainer is None:
                # Also when nothing could be written: it finds nothing, and records go straight to Kafka again.
                self._begin_draining()
            for place, waiting in enumerate(batch):
                if place >= written:
                    self._held.pop(waiting.token, None)
                if not waiting.kept.done():
                    waiting.kept.set_result(place < written)
        self._writer = None

    def _begin_draining(self) -> None:
        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()):
                self._on_fatal(f"the spool can't be drained: {error}")

        self._drainer = asyncio.create_task(self._drain())
        self._drainer.add_done_callback(done)

    async def _drain(self) -> None:
        """Bring the spool to Kafka, oldest first, until it is empty."""
        log.warning("the spool is in use", extra={"bytes": self._spool.size})
        while True:
            frames = await self._on_disk(self._spool.read, WINDOW_BYTES)
            if frames:
                await self._deliver(frames)
                await self._on_disk(self._spool.release, frames[-1].number)
                continue
            # Nothing that was answered is left. Whoever comes now goes straight to Kafka, else a busy collector would
            # never leave the spool; what is being written at this moment may arrive a little after them.
            self._is_direct = True
            if self._writer is None:
                break
            await asyncio.wait((self._writer,))
        self._drainer = None
        log.warning("the spool is drained", extra={"records": self.drained})

    async def _deliver(self, frames: Sequence[Frame]) -> None:
        batches = [_DECODER.decode(frame.payload) for frame in frames]
        on_their_way = [
            self._held.pop(batch.token) if batch.token in self._held else self._produce(batch.records)
            for batch in batches
        ]
        for batch, held in zip(batches, on_their_way, strict=True):
            await self._until_kafka_has(batch.records, held)
            self.drained += len(batch.records)

    async def _until_kafka_has(self, records: Sequence[Record], held: _Held) -> None:
        while True:
            await held.delivery.done
            again = []
            for record, index in zip(records, held.indexes, strict=True):
                receipt = held.delivery.receipts[index]
                if receipt and receipt.is_refused:
                    await self._set_aside(record, receipt)
                elif receipt and receipt.may_be_sent_again:
                    again.append(record)
            if not again:
                return
            log.warning("spooled records wait", extra={"records": len(again)})
            await asyncio.sleep(RETRY_S)
            records, held = again, self._produce(again)

    def _produce(self, records: Sequence[Record]) -> _Held:
        return _Held(self._producer.produce(records), range(len(records)))

    async def _set_aside(self, record: Record, receipt: Receipt) -> None:
        log.error("Kafka refuses a record of the spool for good", extra={"topic": record.topic, "error": receipt.error})
        line = msgspec.json.encode({"error": receipt.error, **record._asdict()})
        await self._on_disk(self._spool.refuse, line)

    async def _on_disk(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)
