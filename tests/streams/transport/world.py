"""A small Faust app on the batch transport, with one topic and nothing of ours, and a producer for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import faust
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from mode.supervisors import CrashingSupervisor

from infra.kafka import client_config, consumer_config, faust_credentials, producer_config
from infra.settings import Settings
from infra.topics import admin
from streams.transport import Batch, BatchSchema, BatchTransport, Limits


@dataclass
class Taken:
    """What an agent got of one partition: the positions it was led through and the values."""

    at: int | None
    values: list[bytes] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)


def values_of(messages: list[Message]) -> list[bytes]:
    return [message.value() for message in messages]


class SmallApp:
    """Records what its agent gets, and checks that every batch starts where the one before ended."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        group: str,
        *,
        starts: dict[int, int] | None = None,
        prepare: Callable[[list[Any]], Any] = values_of,
        on_batch: Callable[[Batch], Awaitable[None]] | None = None,
        acknowledges: bool = True,
        limits: Limits | None = None,
        has_table: bool = False,
        **options: Any,
    ) -> None:
        self.topic = topic
        self.taken: dict[int, Taken] = {}
        self.gaps: list[str] = []
        self.starts = starts or {}
        self.asked: list[int] = []
        self.events: list[Any] = []
        self.recovered: list[int] = []
        """How many keys the table had whenever the transport asked where to start."""
        self._acknowledges = acknowledges
        self._on_batch = on_batch
        settings.home.mkdir(parents=True, exist_ok=True)
        self.app = faust.App(
            group,
            broker=[f"batch://{address}" for address in settings.bootstrap.split(",")],
            broker_credentials=faust_credentials(settings),
            datadir=str(settings.home / group),
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            consumer_auto_offset_reset="earliest",
            table_standby_replicas=0,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            **{
                "stream_buffer_maxsize": 4, "broker_session_timeout": 6.0, "broker_heartbeat_interval": 1.0,
                "broker_commit_interval": 0.2,
            } | options,
        )  # fmt: skip
        self.transport = cast(BatchTransport, self.app.transport)
        self.transport.serve(topic, client_config(settings), self._start_of, prepare, limits=limits)
        self.table: Any = None
        if has_table:
            self.table = self.app.Table(
                "state", partitions=2, key_type=bytes, value_type=bytes,
                schema=faust.Schema(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"),
            )  # fmt: skip
        # Faust's own supervisor would start the agent again, behind the batch that it failed at.
        self.app.agent(
            self.app.topic(topic, schema=BatchSchema()), concurrency=1, supervisor_strategy=CrashingSupervisor
        )(self._agent)

    @property
    def failure(self) -> BaseException | None:
        """What ended the app."""
        return cast(BaseException | None, self.app.crash_reason)

    def _start_of(self, partition: int) -> int | None:
        self.asked.append(partition)
        if self.table is not None:
            self.recovered.append(len(self.table.data.data))
        known = self.taken.setdefault(partition, Taken(self.starts.get(partition)))
        return known.at

    async def _agent(self, stream: Any) -> None:
        async for event in stream.noack().events():
            batch: Batch = event.value
            if self._on_batch is not None:
                await self._on_batch(batch)
                if not self.transport.is_current(event):
                    continue
            taken = self.taken[batch.partition]
            if batch.start != taken.at:
                self.gaps.append(f"partition {batch.partition}: {batch.start} came, {taken.at} was expected")
            assert len(batch.records) == batch.count
            taken.at = batch.end
            taken.values += batch.records
            taken.batches.append(batch)
            if self._acknowledges:
                event.ack()
            else:
                self.events.append(event)

    @property
    def values(self) -> list[bytes]:
        return [value for taken in self.taken.values() for value in taken.values]

    @property
    def batches(self) -> list[Batch]:
        return [batch for taken in self.taken.values() for batch in taken.batches]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SmallApp]:
        await self.app.start()
        try:
            yield self
        finally:
            await asyncio.wait_for(self.app.stop(), 20)


async def until(condition: Callable[[], bool], timeout_s: float = 20, what: Callable[[], object] = lambda: "") -> None:
    """Wait, and say what was instead."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s} s: {what()}"
        await asyncio.sleep(0.005)


def create(settings: Settings, topic: str, partitions: int = 1, **config: str) -> None:
    client = admin(settings)
    client.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result()


def send(settings: Settings, topic: str, values: Iterable[bytes], partition: int = 0) -> None:
    producer = _producer(settings.bootstrap)
    for value in values:
        while True:
            try:
                producer.produce(topic, value, partition=partition)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(30) == 0


def transaction(settings: Settings, topic: str, values: Iterable[bytes], *, commit: bool, partition: int = 0) -> None:
    """One transaction; it leaves a control record whatever becomes of it."""
    producer = Producer(producer_config(settings, {"transactional.id": f"{topic}-writer"}))
    producer.init_transactions(20)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=partition)
    producer.flush(20)
    (producer.commit_transaction if commit else producer.abort_transaction)(20)


def committed(settings: Settings, group: str, topic: str, partition: int = 0) -> int:
    """The group's offset; -1001 for none."""
    consumer = Consumer(consumer_config(settings, group))
    try:
        found = consumer.committed([TopicPartition(topic, partition)], timeout=20)[0]
    finally:
        consumer.close()
    assert found.error is None
    return int(found.offset)


@cache
def _producer(bootstrap: str) -> Producer:
    """One a broker. It is silent: it may live longer than its broker."""
    return Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 5, "log_level": 0})
