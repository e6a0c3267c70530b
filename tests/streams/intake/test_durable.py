"""What `send` has said is kept reaches Kafka, in order, through outages and deaths; what is not kept is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streams.intake import durable
from streams.intake.acknowledged import Delivery, Receipt, Record
from streams.intake.durable import DurableProducer
from streams.intake.spool import Spool


class FakeKafka:
    """A broker that can be away, and that librdkafka keeps trying to reach."""

    def __init__(self) -> None:
        self.is_up = True
        self.log: list[Record] = []
        self.queue: list[tuple[Delivery, int, Record]] = []
        self.failing: list[str] = []
        """Errors of the next records, one each."""
        self.refused: set[bytes] = set()

    def produce(self, records: Sequence[Record]) -> Delivery:
        delivery = Delivery(len(records), asyncio.get_running_loop().create_future())
        for index, record in enumerate(records):
            self.queue.append((delivery, index, record))
        self.turn()
        return delivery

    def turn(self, is_up: bool | None = None) -> None:
        self.is_up = self.is_up if is_up is None else is_up
        while self.is_up and self.queue:
            delivery, index, record = self.queue.pop(0)
            if record.value in self.refused:
                delivery.settle(index, Receipt(error="too large", is_refused=True))
            elif self.failing:
                delivery.settle(index, Receipt(error=self.failing.pop()))
            else:
                self.log.append(record)
                delivery.settle(index, Receipt(0, len(self.log) - 1))

    async def close(self, timeout_s: float) -> int:
        return len(self.queue)


@pytest.fixture
def kafka() -> FakeKafka:
    return FakeKafka()


@asynccontextmanager
async def running(kafka: FakeKafka, folder: Path, max_bytes: int = 1_000_000) -> AsyncIterator[DurableProducer]:
    fatal: list[str] = []
    producer = DurableProducer(kafka, Spool(folder, max_bytes), 0.05, fatal.append)
    yield producer
    await producer.close(0.1)
    assert fatal == []


def records(*numbers: int) -> list[Record]:
    return [Record("topic", b"key", b"%d" % number) for number in numbers]


def values(found: Sequence[Record]) -> list[int]:
    return [int(record.value or b"-1") for record in found]


async def until_direct(producer: DurableProducer) -> None:
    async with asyncio.timeout(10):
        while producer.is_spooling or producer.spooled_bytes:
            await asyncio.sleep(0.01)


async def test_kafka_in_reach_gets_them_at_once_and_the_disk_nothing(kafka: FakeKafka, tmp_path: Path) -> None:
    async with running(kafka, tmp_path) as producer:
        assert await producer.send(records(1, 2)) == [Receipt(0, 0), Receipt(0, 1)]
        assert await producer.send([]) == []
        assert not producer.is_spooling
        assert not list(tmp_path.glob("*.spool"))


async def test_an_outage_is_bridged_in_order_and_nothing_is_sent_twice(kafka: FakeKafka, tmp_path: Path) -> None:
    async with running(kafka, tmp_path) as producer:
        kafka.turn(is_up=False)
        first = await producer.send(records(1, 2))
        assert first == [Receipt(), Receipt()]
        assert producer.is_spooling
        rest = await asyncio.gather(*(producer.send(records(number)) for number in range(3, 50)))
        assert rest == [[Receipt()]] * 47
        assert len(kafka.queue) <= 49 and kafka.log == []
        kafka.turn(is_up=True)
        await until_direct(producer)
        assert values(kafka.log) == list(range(1, 50))
        assert (await producer.send(records(50)))[0].offset == 49
        assert producer.drained == 49


async def test_a_process_that_died_is_followed_by_one_that_sends_what_was_promised(
    kafka: FakeKafka, tmp_path: Path
) -> None:
    kafka.turn(is_up=False)
    async with running(kafka, tmp_path) as producer:
        for number in range(10):
            assert await producer.send(records(number)) == [Receipt()]
    after = FakeKafka()
    async with running(after, tmp_path) as producer:
        assert producer.is_spooling
        assert await producer.send(records(10)) == [Receipt()]
        await until_direct(producer)
    assert values(after.log) == list(range(11))


async def test_a_full_spool_says_so_and_takes_again_after_the_outage(kafka: FakeKafka, tmp_path: Path) -> None:
    async with running(kafka, tmp_path, max_bytes=400) as producer:
        kafka.turn(is_up=False)
        receipts = [(await producer.send(records(number)))[0] for number in range(10)]
        kept = [number for number, receipt in enumerate(receipts) if receipt.error is None]
        assert 0 < len(kept) < 10
        assert {receipt.error for receipt in receipts} == {None, durable.FULL.error}
        kafka.turn(is_up=True)
        await until_direct(producer)
        assert values(kafka.log) == kept
        assert (await producer.send(records(99)))[0].error is None


async def test_what_librdkafka_gave_up_is_tried_again(
    kafka: FakeKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "RETRY_S", 0.01)
    async with running(kafka, tmp_path) as producer:
        kafka.failing = ["unknown topic"] * 5
        assert await producer.send(records(1, 2)) == [Receipt(), Receipt()]
        await until_direct(producer)
        assert sorted(values(kafka.log)) == [1, 2]


async def test_a_refused_record_is_the_callers_matter_unless_it_was_promised(kafka: FakeKafka, tmp_path: Path) -> None:
    async with running(kafka, tmp_path) as producer:
        kafka.refused = {b"7"}
        receipts = await producer.send(records(6, 7, 8))
        assert [receipt.is_refused for receipt in receipts] == [False, True, False]
        kafka.turn(is_up=False)
        assert await producer.send(records(7, 9)) == [Receipt(), Receipt()]
        assert await producer.send(records(7, 10)) == [Receipt(), Receipt()]
        kafka.turn(is_up=True)
        await until_direct(producer)
    assert values(kafka.log) == [6, 8, 9, 10]
    lines = (tmp_path / "refused.jsonl").read_text().splitlines()
    assert len(lines) == 2 and all("too large" in line and '"topic"' in line for line in lines)


async def test_a_spool_that_can_not_be_read_ends_the_process(kafka: FakeKafka, tmp_path: Path) -> None:
    fatal: list[str] = []
    producer = DurableProducer(kafka, Spool(tmp_path, 1_000_000), 0.01, fatal.append)
    kafka.turn(is_up=False)
    await producer.send(records(1))
    await producer.send(records(2))
    for file in tmp_path.glob("*.spool"):
        file.unlink()
    kafka.turn(is_up=True)
    async with asyncio.timeout(5):
        while not fatal:
            await asyncio.sleep(0.01)
    assert "can't be drained" in fatal[0]
    await producer.close(0.1)
