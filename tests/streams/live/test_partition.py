"""One live partition: a crash at any moment, whatever was written by then, changes no number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.errors import PositionRefused, ProcessError
from schemas.live_minute import minute_of
from schemas.registry import PLAYBACK
from schemas.standing import Standing, read_standing
from streams.live import partition as partition_room
from streams.live.events import BUCKETS
from streams.live.records import NewestRecordStore, Position, check_source, pack, through_of, unpack
from streams.sources import PLAYBACK_SOURCE
from tests.streams.live.world import (
    START_MS,
    FakeRecord,
    after_crashes,
    feed,
    partition,
    rows,
    sessions,
    store,
    taken,
    totals,
    waiting,
    wire,
)


@st.composite
def topics(draw: st.DrawFn) -> list[FakeRecord]:
    """Records of a few viewers: in and out of order, repeated, lost, late, broken."""
    records, stamp_ms, numbers = [], START_MS, [0] * 6
    for offset in range(draw(st.integers(1, 60))):
        stamp_ms += draw(st.sampled_from([0, 10, 10, 5_000, 61_000]))
        viewer = draw(st.integers(0, 5))
        numbers[viewer] += draw(st.sampled_from([1, 1, 2, 2, -1]))
        user, seq = f"u{viewer}", draw(st.sampled_from([numbers[viewer]] * 4 + [None]))
        kind = draw(st.sampled_from(sorted(PLAYBACK.rank)))
        at_ms = stamp_ms - draw(st.sampled_from([0, 500, 30_000, 400_000]))
        raw = wire(kind, at_ms, userId=user, sessionId=f"{user}-1", eventId=str(draw(st.integers(0, 40))), seq=seq)
        broken = draw(st.integers(0, 9)) == 0
        records.append(FakeRecord(offset, stamp_ms, b"{" if broken else raw, user.encode()))
    return records


@pytest.mark.parametrize("most", [BUCKETS, 1])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=topics(), data=st.data())
def test_crash_and_replay_equal_no_crash(
    most: int, monkeypatch: pytest.MonkeyPatch, records: list[FakeRecord], data: st.DataObject
) -> None:
    """Run to the end at once; or crash at random moments, losing any suffix of what the last flush wrote.

    With one bucket a flush all others lag behind the minutes and the totals.
    """
    monkeypatch.setattr(partition_room, "MOST_BUCKETS", most)
    whole = partition({})
    feed(whole, None, len(records), records)
    last, published = after_crashes(partition, records, data)
    # The words by which `make mutate` knows a verdict.
    assert totals(last) == totals(whole), "the verdict is red: totals"
    assert sessions(last) == sessions(whole), "the verdict is red: sessions"
    assert waiting(last) == waiting(whole), "the verdict is red: held"
    expected = {key: json.loads(value) for key, value in rows(whole)}
    for key, row in expected.items():
        assert {n: v for n, v in published[key].items() if n != "position"} == {
            n: v for n, v in row.items() if n != "position"
        }, f"the verdict is red: {key}"
    counts = last.fates()
    assert counts["applied"] == len(records)
    assert counts["applied"] == sum(counts[name] for name in ("counted", "late", "duplicates", "rejected", "held"))
    assert counts["held"] == len(waiting(last))


def test_a_first_flush_that_was_cut_off_before_its_position_is_held() -> None:
    """Its buckets would otherwise be ahead of totals that were begun anew."""
    records = [FakeRecord(n, START_MS, wire("play", START_MS, userId=f"u{n}"), b"u%d" % n) for n in range(9)]
    stored: dict[bytes, bytes] = {}
    first = partition(stored)
    feed(first, None, 9, records)
    minutes_and_totals, buckets, _ = taken(first).steps
    store(stored, [*minutes_and_totals, *buckets])
    again = partition(stored)
    assert again.next is None and again.fates()["applied"] == 9
    feed(again, None, 4, records[:4])
    feed(again, 4, 9, records[4:])
    assert (totals(again), sessions(again)) == (totals(first), sessions(first))


def test_a_gap_between_batches_is_refused() -> None:
    live = partition({})
    feed(live, None, 1, [FakeRecord(0, START_MS, wire("play", START_MS))])
    with pytest.raises(ProcessError, match="records from 3 came, those from 1 were expected"):
        feed(live, 3, 4, [FakeRecord(3, START_MS, wire("stop", START_MS))])


def test_holes_inside_a_batch_are_legal() -> None:
    """Transactions leave control records: offsets without a record."""
    live = partition({})
    feed(
        live,
        None,
        5,
        [FakeRecord(0, START_MS, wire("play", START_MS)), FakeRecord(3, START_MS, wire("stop", START_MS))],
    )
    assert live.next == 5 and live.fates()["applied"] == 2


def test_a_retry_is_counted_once_and_a_late_event_only_as_late() -> None:
    live = partition({})
    play = wire("play", START_MS, sessionId="s", eventId="1")
    later = wire("heartbeat", START_MS + 300_000, sessionId="s", eventId="2")
    late = wire("quality_change", START_MS + 1000, sessionId="s", eventId="3")
    raws = [play, play, later, late]
    feed(live, None, 4, [FakeRecord(n, START_MS + (300_000 if n > 1 else 0), raw) for n, raw in enumerate(raws)])
    counts = live.fates()
    assert (counts["counted"], counts["duplicates"], counts["late"]) == (2, 1, 1)


def test_concurrent_sessions_are_those_that_watch_and_were_heard_from() -> None:
    live = partition({})
    raws = [
        wire("play", START_MS, sessionId="a"), wire("first_frame", START_MS, sessionId="a"),
        wire("play", START_MS, sessionId="b"), wire("first_frame", START_MS, sessionId="b"),
        wire("pause", START_MS + 1, sessionId="b"),
    ]  # fmt: skip
    feed(live, None, 5, [FakeRecord(n, START_MS, raw) for n, raw in enumerate(raws)])
    assert live.concurrent(START_MS + 1000) == 1
    assert live.concurrent(START_MS + 70_000) == 0


def test_a_row_s_key_tells_its_minute_whatever_its_names_are() -> None:
    live = partition({})
    raws = [wire("play", START_MS + 61_000 * n, sessionId=f"s{n}", contentId=f"1/{n}/2") for n in range(3)]
    feed(live, None, 3, [FakeRecord(n, START_MS + 61_000 * n, raw) for n, raw in enumerate(raws)])
    told = [(minute_of(key), json.loads(value)["minute"]) for portion in live.live_rows() for key, value in portion]
    assert len({minute for minute, _ in told}) == 3
    assert all(of_key == of_value for of_key, of_value in told)
    assert minute_of(live.say(START_MS, 1)[0]) is None


def test_a_worker_says_since_when_what_is_new_came_in() -> None:
    live = partition({})

    def standing() -> Standing:
        return read_standing(live.say(START_MS + 9_000, 1)[1])

    assert (standing().since, standing().clock, standing().position) == (0, 0, 0)
    beats = [wire("heartbeat", START_MS + 1000 * n, sessionId="s") for n in range(4)]
    feed(live, None, 2, [FakeRecord(n, START_MS + 1000 * n, beats[n]) for n in (0, 1)])
    feed(live, 2, 3, [FakeRecord(2, START_MS + 2000, beats[2])])
    said = standing()
    assert (said.since, said.clock, said.position, said.events) == (START_MS, START_MS + 2000, 3, 3)
    assert standing().since == 0, "nothing came since"
    feed(live, 3, 4, [FakeRecord(3, START_MS + 3000, beats[3])])
    assert standing().since == START_MS + 3000


def test_the_newer_of_two_stored_buckets_counts() -> None:
    """A zombie that wakes up may write an old bucket after its successor wrote a newer one."""
    live = partition({})
    feed(live, None, 1, [FakeRecord(0, START_MS, wire("play", START_MS))])
    old = taken(live).steps[1]
    feed(live, 1, 2, [FakeRecord(1, START_MS, wire("stop", START_MS))])
    new = taken(live).steps[1]

    @dataclass
    class Recovered:
        message: Any

    @dataclass
    class Message:
        key: bytes
        value: bytes
        partition: int = 0

    store: Any = NewestRecordStore.__new__(NewestRecordStore)
    store.data, store._key_partition = {}, {}
    store.apply_changelog_batch([Recovered(Message(*record)) for record in (*new, *old)], lambda k: k, lambda v: v)
    assert {through_of(value) for value in store.data.values()} == {2}


def test_another_source_is_refused() -> None:
    live = partition({})
    feed(live, None, 1, [FakeRecord(0, START_MS, wire("play", START_MS))])
    position = unpack(Position, taken(live).steps[2][0][1])
    check_source(position, PLAYBACK_SOURCE, "topic-1", 4)
    with pytest.raises(PositionRefused, match="was recreated"):
        check_source(position, PLAYBACK_SOURCE, "topic-2", 4)
    with pytest.raises(PositionRefused, match="has 8 partitions"):
        check_source(position, PLAYBACK_SOURCE, "topic-1", 8)
    position.version = 99
    with pytest.raises(PositionRefused, match="version 99"):
        unpack(Position, pack(position, 1))
