"""The reorder buffer: live is what batch says as long as nothing is later than it waits, and the compiled one is the
plain one, on whatever comes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.fact import fact_of
from schemas.quality import MINUTE_MS, PARTS, MinuteParts
from schemas.registry import PLAYBACK
from schemas.reorder import HELD_EVENTS, REORDER_MS
from schemas.session_state import Fact, Numbers
from schemas.sessionize import sessionize
from streams.live import partition as partition_room
from streams.live.events import BUCKETS
from streams.live.partition import LivePartition, Rules
from streams.parity import replay
from tests.streams.live.world import (
    RULES,
    START_MS,
    FakeRecord,
    feed,
    partition,
    sessions,
    snapshot,
    store,
    taken,
    totals,
    waiting,
    wire,
)

NUMBERS = Numbers.__struct_fields__
FOLDED = tuple(name for name in NUMBERS if name != "duplicate_event_count")
"""What the replay for the parity report keeps: copies add nothing, so it counts none."""
PLACE = replay.Place(PLAYBACK.name, 0)


def fact(record: FakeRecord) -> Fact:
    return fact_of(record.raw, PLAYBACK.decode(record.raw), record.stamp_ms)


def told(*events: tuple[int | None, int, str], session: str = "s", first: int = 0) -> list[FakeRecord]:
    """(running number, ms since the start at which it happens and is received, kind)."""
    return [
        FakeRecord(offset, START_MS + at, wire(kind, START_MS + at, sessionId=session, seq=seq, eventId=f"{offset}"))
        for offset, (seq, at, kind) in enumerate(events, first)
    ]


def other(offset: int, at: int) -> FakeRecord:
    """A record of another session, which moves the clock."""
    return told((1, at, "play"), session="other", first=offset)[0]


def fed(records: list[FakeRecord]) -> LivePartition:
    live = partition({})
    feed(live, None, len(records), records)
    return live


def minutes(live: LivePartition) -> dict[int, dict[str, int]]:
    """The rows over all, by minute."""
    rows = live.minutes.rows()
    return {
        row["minute"].item() * MINUTE_MS: {part: n for part, n in zip(PARTS, row["parts"].tolist(), strict=True) if n}
        for row in rows[rows["rollup"] == 0]
        if row["parts"].any()
    }


def added_up(parts: list[MinuteParts]) -> dict[int, dict[str, int]]:
    found: dict[int, Counter[str]] = {}
    for one in parts:
        found.setdefault(one.minute_ms, Counter()).update(one.parts)
    return {minute: {part: n for part, n in amounts.items() if n} for minute, amounts in found.items() if any(amounts)}


def numbers(live: LivePartition, names: tuple[str, ...] = NUMBERS) -> list[tuple[Any, ...]]:
    rows = live.sessions.table.rows[live.sessions.live()]
    return sorted(tuple(row[name].item() for name in names) for row in rows)


@st.composite
def in_time(draw: st.DrawFn) -> list[FakeRecord]:
    """A session whose events come up to REORDER_MS after they happened, in any order that this allows, some twice."""
    at, sent = START_MS, []
    for seq in range(1, draw(st.integers(1, 20)) + 1):
        at += draw(st.sampled_from([0, 0, 1, 200, 700, 1_500, 9_000]))
        raw = wire(draw(st.sampled_from(sorted(PLAYBACK.rank))), at, sessionId="s", seq=seq, eventId=f"e{seq}")
        copies = draw(st.sampled_from([1, 1, 1, 2]))
        sent += [(at + draw(st.integers(0, REORDER_MS - 1)), draw(st.integers()), raw) for _ in range(copies)]
    return [FakeRecord(offset, stamp, raw) for offset, (stamp, _, raw) in enumerate(sorted(sent))]


@settings(max_examples=150, deadline=None)
@given(in_time())
def test_what_comes_in_time_is_what_batch_says(records: list[FakeRecord]) -> None:
    live = fed(records)
    [(state, expected)] = sessionize(map(fact, records), RULES.timeout_ms)
    assert numbers(live) == [tuple(getattr(state, name) for name in NUMBERS)]
    assert minutes(live) == added_up(expected)
    assert live.fates()["held"] == 0


STEPS_MS = [0, 0, 1, 300, 900, REORDER_MS - 1, REORDER_MS, 61_000, 200_000, RULES.timeout_ms + 1, -400, -70_000]
NUMBERED = [1, 1, 1, 1, 2, 2, 3, 0, -1, -2]


@st.composite
def anything(draw: st.DrawFn) -> list[FakeRecord]:
    """Records of a few sessions: numbers with gaps, repeated, begun anew, none, absurd; stamps that go back."""
    records, stamp = [], START_MS
    last = dict.fromkeys("abc", 0)
    for offset in range(draw(st.integers(1, 70))):
        stamp += draw(st.sampled_from(STEPS_MS)) if draw(st.booleans()) else 0
        name = draw(st.sampled_from("abc"))
        last[name] = max(0, last[name] + draw(st.sampled_from(NUMBERED)))
        seq = draw(st.sampled_from([last[name]] * 15 + [None, 0, 2**40, 2**63 - 1, -(2**63) + 1]))
        event_id = f"{seq}" if draw(st.integers(0, 3)) else f"{draw(st.integers(0, 9))}"
        raw = wire(
            draw(st.sampled_from(sorted(PLAYBACK.rank))), stamp - draw(st.sampled_from([0, 0, 400, 90_000])),
            userId=name, eventId=event_id, seq=seq,
            sessionId=None if name == "c" and draw(st.integers(0, 3)) == 0 else name,
        )  # fmt: skip
        records.append(FakeRecord(offset, stamp, raw, name.encode()))
    return records


@settings(max_examples=150, deadline=None)
@given(anything(), st.data())
def test_the_compiled_buffer_is_the_plain_one_however_records_come_in_batches(
    records: list[FakeRecord], data: st.DataObject
) -> None:
    live, at = partition({}), 0
    while at < len(records):
        to = data.draw(st.integers(at + 1, len(records)))
        feed(live, live.next, to, records[at:to])
        at = to
    whole = fed(records)
    assert (totals(live), sessions(live), minutes(live)) == (totals(whole), sessions(whole), minutes(whole))
    assert waiting(live) == waiting(whole)
    clock = replay.Clock(
        np.arange(len(records)), np.maximum.accumulate(np.array([record.stamp_ms for record in records]))
    )
    groups: dict[str, list[replay.Record]] = {}
    for record in records:
        one = replay.Record(PLACE, record.at, fact(record).group_id, fact(record))
        groups.setdefault(one.group_id, []).append(one)
    plain = {group: replay.LiveGroup(clock, RULES) for group in groups}
    pieces = [piece for group, of_group in groups.items() for piece in plain[group].pieces(of_group)]
    assert minutes(live) == added_up([piece.parts for piece in pieces if not piece.is_late])
    states = [group._state for group in plain.values() if group._state]
    assert numbers(live, FOLDED) == sorted(tuple(getattr(state, name) for name in FOLDED) for state in states)
    assert live.fates()["held"] == sum(len(group._waiting) for group in plain.values()) == len(waiting(live))
    counts = live.fates()
    assert counts["applied"] == sum(counts[name] for name in ("counted", "late", "duplicates", "held"))


def test_what_is_in_order_waits_for_nothing() -> None:
    live = fed(told((1, 0, "play"), (2, 300, "first_frame"), (3, 9_000, "heartbeat"), (None, 9_100, "heartbeat")))
    assert live.fates()["counted"] == 4 and len(live.held.pool.events) == 64


def test_a_lost_event_delays_its_session_once() -> None:
    records = told((1, 0, "play"), (3, 5_000, "heartbeat"), (4, 5_900, "heartbeat"), (6, 6_500, "pause"))
    live = fed(records)
    assert (live.fates()["counted"], live.fates()["held"]) == (1, 3)
    feed(live, 4, 5, [other(4, 5_000 + REORDER_MS)])
    assert (live.fates()["counted"], live.fates()["held"]) == (4, 1), "2 is given up, 5 may still come"
    feed(live, 5, 6, told((7, 7_100, "heartbeat"), first=5))
    assert live.fates()["held"] == 2
    feed(live, 6, 7, told((5, 7_200, "heartbeat"), first=6))
    assert (live.fates()["counted"], live.fates()["held"]) == (7, 0)
    feed(live, 7, 9, told((8, 7_300, "heartbeat"), (2, 7_400, "first_frame"), first=7))
    assert (live.fates()["counted"], live.fates()["held"]) == (9, 0), "what was given up is folded when it comes"


def test_a_session_waits_for_its_beginning_and_not_when_it_is_joined_further_on() -> None:
    overtaken = fed(told((2, 0, "first_frame"), (1, 30, "play")))
    assert (overtaken.fates()["counted"], overtaken.fates()["held"]) == (2, 0)
    joined = fed(told((HELD_EVENTS + 1, 0, "heartbeat"), (HELD_EVENTS + 2, 0, "heartbeat")))
    assert (joined.fates()["counted"], joined.fates()["held"]) == (2, 0)


def test_more_than_so_many_are_not_held() -> None:
    live = fed(told((1, 0, "play"), *((3 + n, 1, "heartbeat") for n in range(HELD_EVENTS))))
    assert live.fates()["held"] == HELD_EVENTS
    feed(live, live.next, 34, told((40, 1, "heartbeat"), first=33))
    assert (live.fates()["counted"], live.fates()["held"]) == (1 + HELD_EVENTS, 1), "35 to 39 are waited for"


def test_numbers_that_begin_anew_or_are_absurd_delay_nothing_after() -> None:
    live = fed(told((1, 0, "play"), (2, 10, "first_frame"), (0, 20, "play"), (1, 30, "first_frame")))
    assert live.fates()["counted"] == 4
    feed(live, 4, 5, told((2**40, 40, "heartbeat"), first=4))
    feed(live, 5, 6, [other(5, 40 + REORDER_MS)])
    assert (live.fates()["counted"], live.fates()["held"]) == (6, 0)
    feed(live, 6, 8, told((3, 2_100, "heartbeat"), (9, 2_200, "heartbeat"), first=6))
    assert live.fates()["counted"] == 8


def test_what_waited_while_no_record_came_is_in_time() -> None:
    """It came when its minute was open. The record that ends the wait is the one that freezes the minute."""
    live = fed(told((1, 0, "play"), (3, 100, "heartbeat")))
    feed(live, 2, 3, [other(2, 10 * RULES.freeze_after_ms)])
    assert (live.fates()["counted"], live.fates()["late"]) == (3, 0)


def test_what_waits_is_state() -> None:
    """It is written with its session's bucket, as long as it has been waiting, and found again by the next owner."""
    live = fed([*told((1, 0, "play"), (3, 5_000, "pause")), other(2, 5_500)])
    stored: dict[bytes, bytes] = {}
    store(stored, taken(live).records())
    again = partition(stored)
    assert waiting(again) == waiting(live) != []
    assert again.fates()["held"] == 1
    feed(again, 3, 4, [other(3, 5_000 + REORDER_MS)])
    assert (again.fates()["held"], waiting(again)) == (0, [])
    assert (3, 2) in {(row[NUMBERS.index("seq_max")], row[NUMBERS.index("event_count")]) for row in numbers(again)}


def test_a_session_in_which_something_waits_is_not_over() -> None:
    """However short the time-out is: what waits is told before the session ends."""
    live = LivePartition(0, {}, "topic-1", 4, Rules(timeout_ms=1_000, freeze_after_ms=120_000))
    feed(live, None, 3, [*told((1, 0, "play"), (3, 100, "pause")), other(2, 1_500)])
    for _ in range(BUCKETS):
        snapshot(live)
    feed(live, 3, 5, [*told((4, 1_600, "heartbeat"), first=3), other(4, 3_700)])
    assert (live.fates()["held"], live.fates()["counted"]) == (0, 5)
    assert 3 in {row[NUMBERS.index("event_count")] for row in numbers(live)}


def test_names_of_what_waits_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_room, "FIRST_CODES", 1)
    raws = [
        wire("play", START_MS, sessionId=f"s{n}", seq=1 if n < 40 else 2, contentId=f"t{n}", eventId=f"{n}")
        for n in range(41)
    ]
    live = fed([FakeRecord(n, START_MS + n, raw) for n, raw in enumerate(raws)])
    live.sessions.drop(live.sessions.live()[:40])
    live.minutes.drop(live.minutes.rows()["rollup"] >= 0)
    before, codes = waiting(live), len(live.names)
    for _ in range(BUCKETS):
        snapshot(live)
    assert len(live.names) < codes and waiting(live) == before
    assert "t40" in before[0]


def test_a_pool_that_grows_keeps_what_waits() -> None:
    ahead = [
        FakeRecord(n, START_MS + n, wire("play", START_MS, sessionId=f"s{n}", seq=2, eventId=f"{n}"))
        for n in range(300)
    ]
    live = fed(ahead)
    assert live.fates()["held"] == 300 == len(waiting(live)) and len(live.held.pool.events) == 512
    feed(live, 300, 301, [other(300, REORDER_MS + 149)])
    assert live.fates()["held"] == 150
    feed(live, 301, 302, [other(301, REORDER_MS + 300)])
    assert (live.fates()["held"], live.fates()["counted"]) == (0, 302)
