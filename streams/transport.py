"""A Faust transport whose unit of work is a partition batch.

Faust keeps what it is good at: group membership, assignment, commits, recovery of tables. The records of *batch
topics* are fetched by librdkafka (about thirty times cheaper a record) and reach the agent as one `Batch` a partition
and fetch.

    app = faust.App(..., broker="batch://127.0.0.1:19092")
    transport = cast(BatchTransport, app.transport)
    transport.serve(topic, client_config, start_of)
    app.topic(topic, schema=BatchSchema())

Where fetching starts is asked of `start_of` after each assignment, never of the group's offsets: position and state are
one record, and it is the agent that knows it. A batch says where it starts and ends, so that the agent can see that
nothing went missing between the two (offsets themselves may have holes: transactions leave control records).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import confluent_kafka as ck
import faust
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage

from infra.errors import PositionRefused, ProcessError

log = logging.getLogger(__name__)

BATCH_RECORDS = 5_000
POLL_S = 0.1
KEEPALIVE_S = 1.0
FETCH = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 10,
    "queued.min.messages": 50_000,
    "queued.max.messages.kbytes": 65_536,
}
"""Bounds memory, and returns what is there at once: latency first, batches form by themselves under load."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition. The next batch of the partition starts where this one ends."""

    partition: int
    start: int | None
    """Offset from which the transport looked for records; None: from the topic's beginning."""
    end: int
    """Offset after the last record."""
    records: list[Any]
    """`confluent_kafka.Message`s without errors, in order."""


class BatchSchema(faust.Schema):  # type: ignore[type-arg]
    """Hands the batch through as it is: decoding is the agent's business."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        """Batches have no key."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> Batch:
        """The Batch itself."""
        return message.value  # type: ignore[no-any-return]


class _Fetcher:
    """The librdkafka consumer and the thread that waits for it. It belongs to no group: partitions are given to it."""

    def __init__(self, config: Mapping[str, Any], start_of: Callable[[int], int | None]) -> None:
        self._consumer = ck.Consumer({**config, **FETCH, "group.id": "playlake-fetch-only"}, logger=log)
        self._start_of = start_of
        self._thread = ThreadPoolExecutor(1, "fetch")
        self._next: dict[TP, int | None] = {}
        self._assignment: tuple[frozenset[TP], int] = (frozenset(), -1)

    async def batches(self, tps: frozenset[TP], generation: int) -> list[tuple[TP, Batch]]:
        """What has arrived for these partitions, waiting POLL_S at most."""
        if (tps, generation) != self._assignment:
            self._assign(tps, generation)
        messages = await asyncio.get_running_loop().run_in_executor(self._thread, self._take)
        grouped: dict[TP, list[Any]] = {}
        for message in messages:
            if (error := message.error()) is not None:
                self._on_error(message, error)
            else:
                grouped.setdefault(TP(message.topic(), message.partition()), []).append(message)
        batches = []
        for tp, records in grouped.items():
            if tp in tps:
                end = records[-1].offset() + 1
                batches.append((tp, Batch(tp.partition, self._next[tp], end, records)))
                self._next[tp] = end
        return batches

    def _assign(self, tps: frozenset[TP], generation: int) -> None:
        before, old_generation = self._assignment
        kept = before & tps if generation == old_generation else frozenset()
        for tp in tps - kept:
            self._next[tp] = self._start_of(tp.partition)
        starts = {tp: self._next[tp] for tp in tps}
        self._consumer.assign(
            [ck.TopicPartition(*tp, ck.OFFSET_BEGINNING if at is None else at) for tp, at in starts.items()]
        )
        self._assignment = (tps, generation)
        log.info("fetching", extra={"starts": {f"{tp.topic}/{tp.partition}": at for tp, at in starts.items()}})

    def _take(self) -> list[Any]:
        first = self._consumer.poll(POLL_S)
        return [] if first is None else [first, *self._consumer.consume(BATCH_RECORDS - 1, 0)]

    def _on_error(self, message: Any, error: Any) -> None:
        if error.code() == ck.KafkaError._AUTO_OFFSET_RESET:
            msg = (
                f"{message.topic()}/{message.partition()}: the stored position is not in the topic ({error.str()}): "
                "records were deleted before they were applied. To go on without them, delete the stream's state topic."
            )
            raise PositionRefused(msg)
        if error.fatal():
            msg = f"{message.topic()}/{message.partition()}: {error.str()}"
            raise ProcessError(msg)
        log.warning("fetch: %s", error.str(), extra={"code": error.name()})

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._consumer.close()


class BatchConsumer(driver.Consumer):
    """Faust's aiokafka consumer, with the records of batch topics fetched beside it."""

    transport: BatchTransport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delivered: dict[TP, deque[int]] = defaultdict(deque)
        self._paused_generation = -1
        self._polled_at = 0.0

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Batches of the batch topics, records of all others."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
        generation = self.app.consumer_generation_id
        active = self._get_active_partitions()
        mine = frozenset(tp for tp in active if tp.topic in self.transport.fetchers)
        others = {tp for tp in active if tp not in mine}
        await self._pause_aiokafka(generation)
        for tp, records in (await self._records_of_others(others, timeout, idle=not mine)).items():
            if tp.topic not in self.transport.fetchers:  # aiokafka reads every partition when asked for none
                for record in records:
                    yield tp, self._to_message(tp, record)
        for topic, fetcher in self.transport.fetchers.items():
            wanted = frozenset(tp for tp in mine if tp.topic == topic)
            if not wanted:
                continue
            for tp, batch in await fetcher.batches(wanted, generation):
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                last = batch.end - 1
                self._delivered[tp].append(last)
                self._read_offset[tp] = last - 1  # no bookkeeping of gaps for the records inside the batch
                yield tp, self._message_of(tp, batch, generation)

    async def _records_of_others(self, others: set[TP], timeout: float, *, idle: bool) -> Mapping[TP, list[Any]]:
        """Records by aiokafka. It leaves the group unless it is polled, so it is, also when it has nothing to read."""
        if others:
            return await self._getmany(active_partitions=others, timeout=timeout if idle else 0)
        if idle:
            await self.sleep(POLL_S)
        if time.monotonic() - self._polled_at > KEEPALIVE_S:
            self._polled_at = time.monotonic()
            batch_tps = {tp for tp in self.assignment() if tp.topic in self.transport.fetchers}
            if batch_tps:
                await self._getmany(active_partitions=batch_tps, timeout=0)
        return {}

    async def _pause_aiokafka(self, generation: int) -> None:
        """Keep aiokafka from fetching what librdkafka fetches."""
        if generation != self._paused_generation:
            tps = [tp for tp in self.assignment() if tp.topic in self.transport.fetchers]
            await self._thread.call_thread(self._pause_in_thread, tps)
            self._paused_generation = generation

    async def _pause_in_thread(self, tps: Iterable[TP]) -> None:
        consumer = self._thread._ensure_consumer()
        still = consumer.assignment()
        consumer.pause(*(tp for tp in driver.ensure_aiokafka_TPset(tps) if tp in still))

    def _message_of(self, tp: TP, batch: Any, generation: int) -> ConsumerMessage:
        kind, stamp_ms = batch.records[-1].timestamp()
        return ConsumerMessage(
            tp.topic, tp.partition, batch.end - 1, stamp_ms / 1000, kind, [], None, batch, None, 0, 0, tp,
            generation_id=generation,
        )  # fmt: skip

    def _new_offset(self, tp: TP) -> int | None:
        """Offset to commit: after the last of the batches acknowledged without a gap, in order of delivery."""
        if tp.topic not in self.transport.fetchers:
            return super()._new_offset(tp)
        waiting, acked, index = self._delivered[tp], self._acked[tp], self._acked_index[tp]
        offset = None
        while waiting and waiting[0] in index:
            offset = waiting.popleft()
            index.discard(offset)
            acked.remove(offset)
        return None if offset is None else offset + 1

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust looks for stuck partitions in aiokafka's fetcher; batch topics are not there."""
        if tp.topic not in self.transport.fetchers:
            super().verify_event_path(now, tp)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget what was delivered of partitions that are no longer ours."""
        for tp in revoked:
            self._delivered.pop(tp, None)
        await super().on_partitions_revoked(revoked)

    async def on_stop(self) -> None:
        """Stop fetching, then leave the group."""
        await super().on_stop()
        for fetcher in self.transport.fetchers.values():
            fetcher.close()


class BatchTransport(driver.Transport):
    """Transport of `broker="batch://..."`."""

    Consumer = BatchConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fetchers: dict[str, _Fetcher] = {}

    def serve(self, topic: str, client_config: Mapping[str, Any], start_of: Callable[[int], int | None]) -> None:
        """Deliver `topic` in batches. `client_config` is librdkafka's; `start_of(partition)` says where to begin."""
        self.fetchers[topic] = _Fetcher(client_config, start_of)


TRANSPORTS.aliases["batch"] = f"{__name__}:BatchTransport"
