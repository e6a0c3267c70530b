"""The transport by itself on a real broker: which records an agent gets, and what is committed."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from typing import Any

import pytest
from confluent_kafka import Producer

from infra.errors import PositionRefused, ProcessError
from infra.kafka import producer_config
from infra.settings import Settings
from infra.topics import admin
from streams.transport import Batch, Limits
from tests.streams.transport.world import SmallApp, committed, create, send, transaction, until

pytestmark = pytest.mark.kafka
_numbers = itertools.count(time.time_ns())


@pytest.fixture
def topic(kafka: Settings) -> str:
    """An empty topic of two partitions."""
    name = f"transport-{next(_numbers)}"
    create(kafka, name, 2)
    return name


def numbers(first: int, count: int) -> list[bytes]:
    return [b"%d" % n for n in range(first, first + count)]


async def test_records_and_control_records_are_led_to_the_end(kafka: Settings, topic: str) -> None:
    """Committed transactions arrive, aborted ones do not, and positions go over the control records behind them."""
    small = SmallApp(kafka, topic, f"g-{topic}")
    async with small.running():
        transaction(kafka, topic, numbers(0, 3), commit=True)  # offsets 0-2, control record 3
        await until(lambda: 0 in small.taken and small.taken[0].at == 4, what=lambda: small.taken)
        transaction(kafka, topic, numbers(90, 2), commit=False)  # 4, 5, control record 6
        await until(lambda: small.taken[0].at == 7, what=lambda: small.taken)
        send(kafka, topic, numbers(3, 2))
        await until(lambda: small.taken[0].at == 9, what=lambda: small.taken)
        assert small.values == numbers(0, 5)
        assert small.gaps == []
        assert all(
            batch.stamp_ms > 1_700_000_000_000 if batch.count else batch.stamp_ms == -1 for batch in small.batches
        )
        await until(
            lambda: committed(kafka, f"g-{topic}", topic) == 9, what=lambda: committed(kafka, f"g-{topic}", topic)
        )
        assert small.taken[1].at is None, "nothing is said of a partition where nothing ever was"
    assert sorted(small.asked) == [0, 1]


@pytest.mark.long
async def test_it_starts_where_the_agent_says_whatever_the_group_has_committed(kafka: Settings, topic: str) -> None:
    send(kafka, topic, numbers(0, 10))
    small = SmallApp(kafka, topic, f"g-{topic}")
    async with small.running():
        await until(lambda: len(small.values) == 10)
    assert committed(kafka, f"g-{topic}", topic) == 10, "also on the way out"
    small = SmallApp(kafka, topic, f"g-{topic}", starts={0: 4}, acknowledges=False)
    async with small.running():
        await until(lambda: len(small.values) == 6)
        assert small.values == numbers(4, 6)
        assert small.batches[0].start == 4
        for event in reversed(small.events):
            event.ack()
        await asyncio.sleep(0.5)
        assert committed(kafka, f"g-{topic}", topic) == 10, "acknowledgements below the group's offset count as well"
        send(kafka, topic, numbers(10, 3))
        await until(lambda: len(small.values) == 9)
        send(kafka, topic, numbers(13, 3))
        await until(lambda: len(small.values) == 12)
        small.events[-1].ack()
        await asyncio.sleep(0.5)
        assert committed(kafka, f"g-{topic}", topic) == 10, "the one before is still open"
        for event in small.events:
            event.ack()
        await until(lambda: committed(kafka, f"g-{topic}", topic) == 16)


@pytest.mark.parametrize("who", ["prepare", pytest.param("agent", marks=pytest.mark.long)])
async def test_a_poison_batch_ends_the_worker_and_is_not_acknowledged(kafka: Settings, topic: str, who: str) -> None:
    send(kafka, topic, numbers(0, 5))

    def prepare(messages: list[Any]) -> list[bytes]:
        values = [message.value() for message in messages]
        if who == "prepare" and b"poison" in values:
            msg = "this can't be decoded"
            raise ValueError(msg)
        return values

    async def on_batch(batch: Batch) -> None:
        if who == "agent" and b"poison" in batch.records:
            msg = "this can't be applied"
            raise ValueError(msg)

    small = SmallApp(kafka, topic, f"g-{topic}", prepare=prepare, on_batch=on_batch)
    async with small.running():
        await until(lambda: len(small.values) == 5)
        await until(lambda: committed(kafka, f"g-{topic}", topic) == 5)
        send(kafka, topic, [b"poison"])
        await until(lambda: small.failure is not None)
        send(kafka, topic, numbers(6, 5))
        await asyncio.sleep(0.3)
        assert small.values == numbers(0, 5), "and none of those behind it"
    if who == "prepare":
        assert isinstance(small.failure, ProcessError)
        assert f"{topic}/0: records from 5 to 6 could not be prepared: ValueError: this can't be decoded" in str(
            small.failure
        )
    assert committed(kafka, f"g-{topic}", topic) == 5
    again = SmallApp(kafka, topic, f"g-{topic}", starts={0: 5})
    async with again.running():
        await until(lambda: len(again.values) == 6)
    assert again.values == [b"poison", *numbers(6, 5)]


@pytest.mark.long
async def test_a_position_that_retention_has_passed_is_refused(kafka: Settings, topic: str) -> None:
    from confluent_kafka import TopicPartition

    send(kafka, topic, numbers(0, 10))
    admin_client = admin(kafka)
    for future in admin_client.delete_records([TopicPartition(topic, 0, 6)]).values():
        future.result()
    small = SmallApp(kafka, topic, f"g-{topic}", starts={0: 3})
    async with small.running():
        await until(lambda: small.failure is not None)
    assert isinstance(small.failure, PositionRefused)
    assert f"{topic}/0: the stored position 3 is not in the topic, the topic holds 6 to 10" in str(small.failure)
    assert "delete the stream's state topic" in str(small.failure)
    fresh = SmallApp(kafka, topic, f"g-{topic}")
    async with fresh.running():
        await until(lambda: len(fresh.values) == 4)
    assert fresh.batches[0].start is None


async def test_two_workers_share_a_topic_and_hand_over(kafka: Settings, topic: str) -> None:
    """Positions and values are shared as they are by a state topic; a batch of an earlier assignment would be a gap."""
    first = SmallApp(kafka, topic, f"g-{topic}", stream_buffer_maxsize=1, on_batch=lambda _: asyncio.sleep(0.01))
    second = SmallApp(kafka, topic, f"g-{topic}", stream_buffer_maxsize=1, on_batch=lambda _: asyncio.sleep(0.01))
    second.taken = first.taken
    small = Limits(batch_records=20)
    first.transport.fetchers[topic]._limits = second.transport.fetchers[topic]._limits = small
    for partition in (0, 1):
        send(kafka, topic, numbers(0, 1500), partition)
    async with first.running():
        await until(lambda: len(first.values) > 200)
        async with second.running():
            await until(lambda: bool(second.asked))
            at = [len(first.taken[partition].values) for partition in (0, 1)]
            for partition in (0, 1):  # they may have come to the end while the group was forming
                send(kafka, topic, numbers(1500, 250), partition)
            await until(lambda: all(len(first.taken[p].values) > at[p] + 100 for p in (0, 1)))
            for partition in (0, 1):
                send(kafka, topic, numbers(1750, 250), partition)
        await until(lambda: len(first.values) == 4000, 30, lambda: len(first.values))
        await asyncio.sleep(0.2)
    assert first.gaps == second.gaps == []
    for partition in (0, 1):
        assert first.taken[partition].values == numbers(0, 2000)


async def test_a_paused_partition_waits_and_holds_nothing(kafka: Settings, topic: str) -> None:
    from faust.types.tuples import TP

    small = SmallApp(kafka, topic, f"g-{topic}", limits=Limits(batch_records=100, ahead_records=500))
    async with small.running():
        await until(lambda: set(small.asked) == {0, 1})
        small.app.consumer.pause_partitions([TP(topic, 0)])
        await asyncio.sleep(0.3)
        send(kafka, topic, numbers(0, 3000), 0)
        send(kafka, topic, numbers(0, 3000), 1)
        await until(lambda: len(small.taken[1].values) == 3000)
        assert small.taken[0].values == []
        small.app.consumer.resume_partitions([TP(topic, 0)])
        await until(lambda: len(small.taken[0].values) == 3000)
    assert small.gaps == []
    assert small.taken[0].values == numbers(0, 3000)


@pytest.mark.long
async def test_an_idle_topic_has_little_latency_and_a_busy_agent_large_batches(kafka: Settings, topic: str) -> None:
    busy = asyncio.Event()
    busy.set()

    async def on_batch(_: Batch) -> None:
        await busy.wait()

    small = SmallApp(kafka, topic, f"g-{topic}", on_batch=on_batch, stream_buffer_maxsize=1)
    producer = Producer(producer_config(kafka, {"linger.ms": 0}))
    waits = []
    async with small.running():
        await until(lambda: set(small.asked) == {0, 1})
        for n in range(100):
            arrived = asyncio.Event()
            began = time.perf_counter()
            producer.produce(topic, b"%d" % n, partition=n % 2)
            while len(small.values) <= n:
                await asyncio.sleep(0.0005)
            waits.append(time.perf_counter() - began)
            del arrived
        waits.sort()
        print(f"idle: p50 {waits[50] * 1e3:.1f} ms, p99 {waits[98] * 1e3:.1f} ms, from produce() to the agent")
        assert waits[50] < 0.05, "no waiting for a full batch"
        busy.clear()
        for _ in range(20):
            send(kafka, topic, [b"x"] * 500)
            await asyncio.sleep(0.01)
        busy.set()
        await until(lambda: len(small.values) == 10_100)
    sizes = Counter(batch.count for batch in small.batches)
    assert max(sizes) > 5_000, f"what came while the agent was busy is one batch: {sizes}"
    assert small.gaps == []


@pytest.mark.long
async def test_a_stopped_agent_bounds_what_is_fetched(kafka: Settings, topic: str) -> None:
    """Limits hold in our own queue; what librdkafka and Faust hold beside is stated where the transport is."""
    stopped = asyncio.Event()

    async def on_batch(_: Batch) -> None:
        await stopped.wait()

    limits = Limits(batch_records=100, batch_bytes=50_000, ahead_records=1000, ahead_bytes=100_000)
    prepared: list[int] = []

    def prepare(messages: list[Any]) -> list[bytes]:
        prepared.append(len(messages))
        return [message.value() for message in messages]

    small = SmallApp(
        kafka, topic, f"g-{topic}", on_batch=on_batch, prepare=prepare, limits=limits, stream_buffer_maxsize=2
    )
    send(kafka, topic, [b"x" * 300] * 20_000)
    async with small.running():
        await until(lambda: bool(prepared))
        await asyncio.sleep(1)
        backlog = small.transport.fetchers[topic]._backlog
        assert backlog is not None
        assert backlog._bytes < 100_000 + 4_000 * 300, "one fetch more than the bound at most"
        assert backlog._records <= 1000
        assert len(prepared) <= 2 + 2 + 2, "in the agent, its queue, between, and ready"
        stopped.set()
        await until(lambda: len(small.values) == 20_000)
        assert backlog.room() == 1000
    assert small.gaps == []


@pytest.mark.long
async def test_it_stops_at_once_with_full_queues(kafka: Settings, topic: str) -> None:
    never = asyncio.Event()

    async def on_batch(_: Batch) -> None:
        await never.wait()

    small = SmallApp(kafka, topic, f"g-{topic}", on_batch=on_batch)
    for partition in (0, 1):
        send(kafka, topic, [b"x" * 300] * 20_000, partition)
    async with small.running():
        await until(lambda: set(small.asked) == {0, 1})
        await asyncio.sleep(0.5)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert committed(kafka, f"g-{topic}", topic) < 0


def test_the_agent_gets_nothing_of_partitions_that_have_not_recovered(settings: Settings) -> None:
    """Faust makes a partition active by itself when an agent's queue drains, also while its tables recover."""
    from faust.types.tuples import TP

    small = SmallApp(settings, "t", "g")
    consumer: Any = small.app.consumer
    consumer._is_assigned = True
    consumer._set_active_tps({TP("t", 0)})
    consumer.on_buffer_full(TP("t", 0))
    consumer.on_buffer_drop(TP("t", 0))
    assert TP("t", 0) in consumer._get_active_partitions()
    consumer._follow_assignment()
    assert small.asked == []
    consumer.resume_partitions({TP("t", 0)})
    assert not consumer._recovered, "Faust empties the agents' queues once more before it resumes the flow"
    consumer.resume_flow()
    assert consumer._recovered == {TP("t", 0)}
    consumer._end_assignment()
    consumer.resume_partitions({TP("t", 0)})
    consumer.resume_flow()
    assert not consumer._recovered, "a recovery that a rebalance has overtaken resumes nothing"
