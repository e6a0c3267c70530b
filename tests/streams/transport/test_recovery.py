"""Beside Faust's tables: fetching begins when they are complete, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from confluent_kafka import Producer

from infra.kafka import client_config
from infra.settings import Settings
from tests.streams.transport.world import SmallApp, create, send, until

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(120)]
_numbers = itertools.count(time.time_ns())
KEYS = 40_000


@pytest.fixture
def topic(kafka: Settings) -> str:
    """A topic of two partitions with records, and a changelog with `KEYS` keys in each."""
    topic = f"recovery-{next(_numbers)}"
    changelog = f"g-{topic}-state-changelog"
    for name in (topic, changelog):
        create(kafka, name, 2)
    producer = Producer(client_config(kafka, {"linger.ms": 20, "queue.buffering.max.messages": 1_000_000}))
    for partition in (0, 1):
        for n in range(KEYS):
            producer.produce(changelog, b"v" * 50, b"%d/%d" % (partition, n), partition)
    assert producer.flush(30) == 0
    for partition in (0, 1):
        send(kafka, topic, [b"%d" % n for n in range(500)], partition)
    return topic


async def test_positions_are_asked_for_when_the_tables_are_complete(kafka: Settings, topic: str) -> None:
    small = SmallApp(kafka, topic, f"g-{topic}", has_table=True)
    async with small.running():
        await until(lambda: len(small.values) == 1000, 60, lambda: (small.recovered, len(small.values)))
    assert small.recovered == [2 * KEYS] * 2
    assert small.gaps == []


async def test_rebalances_in_the_middle_of_recovery_leave_no_hole(kafka: Settings, topic: str) -> None:
    """Members come and go every few hundred milliseconds, so that most recoveries are overtaken by the next one."""
    whole = {KEYS, 2 * KEYS}
    first = SmallApp(kafka, topic, f"g-{topic}", has_table=True)
    async with first.running():
        for n in range(5):
            other = SmallApp(kafka, topic, f"g-{topic}", has_table=True)
            other.taken = first.taken
            async with other.running():
                await asyncio.sleep(0.4 + 0.3 * n)
            assert other.gaps == []
            assert set(other.recovered) <= whole, "a table with a hole was taken for a complete one"
        await until(lambda: first.recovered[-2:] == [2 * KEYS] * 2, 60, lambda: first.recovered)
        await until(lambda: len(first.values) == 1000, 60, lambda: len(first.values))
    assert first.gaps == []
    assert set(first.recovered) <= whole, "a table with a hole was taken for a complete one"


async def test_it_stops_in_the_middle_of_recovery(kafka: Settings, topic: str) -> None:
    small = SmallApp(kafka, topic, f"g-{topic}", has_table=True)

    async def slowly(_: object) -> None:
        await asyncio.sleep(0.001)

    small.table.on_changelog_event = slowly
    starting = asyncio.create_task(small.app.start())  # it returns when recovery is complete
    await until(lambda: small.app.in_recovery)
    await asyncio.sleep(0.5)
    assert small.app.in_recovery
    began = time.monotonic()
    await asyncio.wait_for(small.app.stop(), 20)
    assert time.monotonic() - began < 10
    starting.cancel()
    assert small.asked == []
