"""What waits between fetch thread and event loop: nothing is lost, doubled or reordered, and it is bounded."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import ProcessError
from streams.transport.backlog import Backlog, Cut, Limits
from streams.transport.batch import Batch
from streams.transport.deliveries import Deliveries

SMALL = Limits(batch_records=5, batch_bytes=100, ahead_records=20, ahead_bytes=300)


@dataclass(frozen=True)
class Record:
    at: int
    size: int = 10

    def offset(self) -> int:
        return self.at

    def __len__(self) -> int:
        return self.size


def batch_of(cut: Cut) -> Batch:
    return Batch(cut.partition, cut.start, cut.end, cut.messages, len(cut.messages), -1)


def prepare(backlog: Backlog) -> bool:
    cut = backlog.cut()
    if cut is not None:
        backlog.offer(batch_of(cut), cut.size)
    return cut is not None


RUNS = st.tuples(
    st.integers(0, 1),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 150)), min_size=1, max_size=12),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), RUNS),
        st.tuples(st.just("reach"), st.tuples(st.integers(0, 1), st.integers(0, 5))),
        st.tuples(st.just("prepare"), st.none()),
        st.tuples(st.just("take"), st.frozensets(st.integers(0, 1))),
        st.tuples(st.just("pause"), st.frozensets(st.integers(0, 1))),
    ),
    max_size=60,
)


@given(steps=STEPS, start=st.sampled_from([None, 7]))
@settings(max_examples=200, deadline=None)
def test_every_record_comes_once_and_each_batch_starts_where_the_last_ended(  # noqa: PLR0912 - one branch a step
    steps: list[tuple[str, object]], start: int | None
) -> None:
    backlog = Backlog({0: start, 1: start}, SMALL)
    topic: dict[int, list[Record]] = {0: [], 1: []}
    end = {0: start or 0, 1: start or 0}
    taken: dict[int, list[Batch]] = {0: [], 1: []}

    def fetch_again(partition: int) -> None:
        """As librdkafka does after the partition was given to it anew."""
        at = backlog.positions()[partition]
        again = [record for record in topic[partition] if record.at >= (at or 0)]
        if again:
            backlog.add(partition, again)
        backlog.reach(partition, end[partition])

    def take(partitions: frozenset[int]) -> bool:
        batch = backlog.take(partitions)
        if batch is not None:
            taken[batch.partition].append(batch)
        return batch is not None

    for kind, what in steps:
        match kind, what:
            case "add", (int(partition), list(run)):
                records = []
                for gap, size in run:
                    records.append(Record(end[partition] + gap - 1, size))
                    end[partition] += gap
                topic[partition] += records
                if partition not in backlog.paused:
                    backlog.add(partition, records)
            case "reach", (int(partition), int(gap)):
                end[partition] += gap
                if partition not in backlog.paused:
                    backlog.reach(partition, end[partition])
            case "prepare", _:
                prepare(backlog)
            case "take", frozenset(partitions):
                take(partitions)
            case "pause", frozenset(partitions):
                resumed = backlog.paused - partitions
                backlog.paused = partitions
                backlog.shed()
                for partition in resumed:
                    fetch_again(partition)
    resumed, backlog.paused = backlog.paused, frozenset()
    for partition in resumed:
        fetch_again(partition)
    while prepare(backlog) | take(frozenset({0, 1})):
        pass
    for partition in (0, 1):
        assert [record for batch in taken[partition] for record in batch.records] == topic[partition]
        at = start
        for batch in taken[partition]:
            assert batch.start == at
            assert batch.count <= SMALL.batch_records
            assert sum(map(len, batch.records)) <= SMALL.batch_bytes or batch.count == 1
            at = batch.end
        assert (at or 0) == end[partition]
    assert backlog.room() == SMALL.ahead_records, "all that was taken or shed has given its room back"


def test_a_batch_grows_while_the_one_before_is_not_taken() -> None:
    backlog = Backlog({0: 0}, Limits(batch_records=100))
    backlog.add(0, [Record(0)])
    assert prepare(backlog)
    for at in range(1, 5):
        backlog.add(0, [Record(at)])
        assert not prepare(backlog), "one batch is ready: the next is cut when it was taken"
    first, second = backlog.take({0}), prepare(backlog) and backlog.take({0})
    assert first and second
    assert (first.count, second.count) == (1, 4)


def test_partitions_take_turns() -> None:
    backlog = Backlog({0: 0, 1: 0}, SMALL)
    backlog.add(0, [Record(at) for at in range(10)])
    backlog.add(1, [Record(0)])
    assert prepare(backlog)
    assert prepare(backlog)
    order = []
    while (batch := backlog.take({0, 1})) is not None:
        order.append(batch.partition)
        prepare(backlog)
    assert order == [0, 1, 0]


@pytest.mark.parametrize("size", [1, 100])
def test_what_waits_is_bounded_by_records_and_by_bytes(size: int) -> None:
    backlog = Backlog({0: 0}, SMALL)
    at = 0
    while room := backlog.room():
        backlog.add(0, [Record(at + n, size) for n in range(min(room, 4))])
        at += min(room, 4)
    assert at == (20 if size == 1 else 4)


def test_a_record_from_before_the_position_is_refused() -> None:
    backlog = Backlog({0: 5}, SMALL)
    backlog.add(0, [Record(5), Record(6)])
    with pytest.raises(ProcessError, match="a record from offset 6 came, 7 or later was expected"):
        backlog.add(0, [Record(6)])


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    order=st.randoms(use_true_random=False),
    bulk=st.integers(1, 7),
)
def test_the_group_moves_over_what_is_acknowledged_without_a_gap(sizes: list[int], order: object, bulk: int) -> None:
    deliveries, ends, at = Deliveries(), [], 0
    for size in sizes:
        at += size
        ends.append(at)
        deliveries.add(at - 1)
    late = [end - 1 for end in ends]
    order.shuffle(late)  # type: ignore[attr-defined]
    acknowledged: set[int] = set()
    done: set[int] = set()
    for n in range(0, len(late), bulk):
        acknowledged |= set(late[n : n + bulk])
        done |= set(late[n : n + bulk])
        expected = None
        for end in ends:
            if end - 1 not in done:
                break
            expected = end
        assert deliveries.settle(acknowledged) == expected
        assert deliveries.settle(acknowledged) == expected, "the same again, so that a failed commit is repeated"
    assert not acknowledged
