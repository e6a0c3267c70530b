"""Live sessions out of players' reports: held, released and counted the same through every crash."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.cmcd.order import HOLD_MS
from schemas.cmcd.report import report_of
from schemas.cmcd.wire import read_report
from schemas.events.cmcd import CmcdEvent
from schemas.quality import PARTS
from schemas.registry import CMCD
from streams.live.partition import LivePartition
from streams.parity import replay
from streams.sources import CMCD_SOURCE
from tests.streams.live.world import (
    RULES,
    START_MS,
    FakeRecord,
    after_crashes,
    feed,
    rows,
    sessions,
    snapshot,
    store,
    taken,
    totals,
)


def partition(stored: dict[bytes, bytes]) -> LivePartition:
    return LivePartition(0, stored, "topic-1", 4, RULES, source=CMCD_SOURCE)


def wire(sid: str, seq: int, at_ms: int, event: str, state: str | None, *, target: str = "a") -> bytes:
    sta = f"sta={state}," if state else ""
    line = f'cid="t1",e={event},sid="{sid}",sn={seq},{sta}ts={at_ms},v=2'
    return msgspec.json.encode(read_report(line.encode(), CmcdEvent, target, datetime.now(UTC)))


def records(*told: tuple[int, int, str, str | None]) -> list[FakeRecord]:
    """(running number, ms since the start, event, state) in the order of arrival, each 5 ms on its way."""
    return [
        FakeRecord(offset, START_MS + at + 5, wire("s", seq, START_MS + at, event, state), b"s")
        for offset, (seq, at, event, state) in enumerate(told)
    ]


def only(live: LivePartition) -> Any:
    [row] = live.sessions.live()
    return live.sessions.table.rows[row]


def test_a_session_is_live_while_it_plays() -> None:
    live = partition({})
    told = records(
        (0, 0, "t", None), (1, 5, "ps", "s"), (2, 340, "ps", "p"), (3, 5_000, "ps", "r"), (4, 7_000, "ps", "p")
    )
    feed(live, None, 5, told)
    state = only(live)
    assert (state["startup_ms"], state["stall_ms"], state["playing_ms"]) == (340, 2_000, 4_660)
    assert live.names.text(state["names"][0]) == "t1"
    assert live.concurrent(START_MS + 8_000) == 1
    assert json.loads(live.say(START_MS, 1)[1])["topic"] == "player.cmcd.reports"
    assert {key.split(b"/")[1] for key, _ in rows(live)} == {b"player.cmcd.reports"}


def test_what_is_held_is_counted_as_held_and_released_by_the_clock_of_others() -> None:
    live = partition({})
    told = records((0, 0, "ps", "s"), (2, 5_000, "ps", "r"), (0, 0, "ps", "s"))
    feed(live, None, 3, told)
    counts = live.fates()
    assert (counts["applied"], counts["counted"], counts["held"], counts["duplicates"]) == (3, 1, 1, 1)
    stored: dict[bytes, bytes] = {}
    store(stored, taken(live).records())
    again = partition(stored)  # what is held is not forgotten, nor how long it has been
    later = START_MS + 5_005 + HOLD_MS
    feed(again, 3, 4, [FakeRecord(3, later, wire("other", 0, later, "ps", "s"), b"other")])
    counts = again.fates()
    assert (counts["applied"], counts["counted"], counts["held"]) == (4, 3, 0)
    feed(again, 4, 5, [FakeRecord(4, later + 1, wire("s", 1, START_MS + 300, "ps", "p"), b"s")])
    assert again.fates()["late"] == 1, "its place was given up"


def test_another_target_and_broken_records_are_counted_and_change_nothing() -> None:
    live = partition({})
    feed(live, None, 2, records((0, 0, "ps", "s"), (1, 400, "ps", "p")))
    before = int(only(live)["playing_ms"])
    stamp = START_MS + 9_000
    feed(
        live,
        2,
        4,
        [FakeRecord(2, stamp, wire("s", 0, stamp, "ps", "a", target="b"), b"s"), FakeRecord(3, stamp, b"{", b"s")],
    )
    counts = live.fates()
    assert (counts["counted"], counts["rejected"], only(live)["playing_ms"]) == (3, 1, before)


def test_a_silent_session_and_its_stream_are_swept() -> None:
    live = partition({})
    feed(live, None, 1, records((0, 0, "ps", "s")))
    late = START_MS + RULES.timeout_ms + 60_000
    feed(live, 1, 2, [FakeRecord(1, late, wire("x", 0, late, "ps", "s"), b"x")])
    for _ in range(64):
        snapshot(live)
    assert [name for streams in live._streams for name in streams] == ["x"]
    assert len(live.sessions) == 1


@st.composite
def topics(draw: st.DrawFn) -> list[FakeRecord]:
    """Reports of a few players: swapped, repeated, late, lost, broken. Stamps may go back: another leader's clock."""
    found, stamp_ms, ends = [], START_MS, dict.fromkeys("pqr", 0)
    for offset in range(draw(st.integers(1, 50))):
        stamp_ms += draw(st.sampled_from([0, 10, 900, 6_000, 61_000, -3_000, -20_000, -61_000]))
        sid = draw(st.sampled_from("pqr"))
        seq = ends[sid] = max(0, ends[sid] + draw(st.sampled_from([1, 1, 1, 1, 2, -1, -3])))
        state = draw(st.sampled_from(["s", "p", "p", "r", "k", "a", "e", "f", None]))
        event = draw(st.sampled_from(["ps", "ps", "t", "rr", "e"]))
        at_ms = stamp_ms - draw(st.sampled_from([0, 500, 30_000, 400_000]))
        raw = wire(sid, seq, at_ms, event, state, target=draw(st.sampled_from("aaab")))
        found.append(FakeRecord(offset, stamp_ms, b"{" if draw(st.integers(0, 9)) == 0 else raw, sid.encode()))
    return found


@settings(max_examples=60, deadline=None)
@given(topics(), st.data())
def test_crash_and_replay_equal_no_crash(found: list[FakeRecord], data: st.DataObject) -> None:
    whole = partition({})
    feed(whole, None, len(found), found)
    last, _ = after_crashes(partition, found, data)
    assert totals(last) == totals(whole)
    assert sessions(last) == sessions(whole)
    counts = last.fates()
    assert counts["applied"] == len(found)
    assert (
        counts["applied"]
        == counts["counted"] + counts["late"] + counts["duplicates"] + counts["rejected"] + counts["held"]
    )
    streams = [stream for of_bucket in last._streams for stream in of_bucket.values()]
    assert counts["held"] == sum(len(stream.held) for stream in streams)
    assert all(sorted(stream.held_ms) == [one.seq for one in stream.held] for stream in streams)


@settings(max_examples=100, deadline=None)
@given(topics(), st.data())
def test_the_worker_folds_what_the_parity_report_folds_however_records_come_in_batches(
    found: list[FakeRecord], data: st.DataObject
) -> None:
    live = partition({})
    while (at := live.next or 0) < len(found):
        to = data.draw(st.integers(at + 1, len(found)))
        feed(live, live.next, to, found[at:to])
    whole = partition({})
    feed(whole, None, len(found), found)
    assert (totals(live), sessions(live)) == (totals(whole), sessions(whole))
    clock = replay.Clock(np.arange(len(found)), np.maximum.accumulate([one.stamp_ms for one in found]))
    groups: dict[str, list[replay.Record]] = {}
    for one in found:
        if one.raw != b"{":
            report = report_of(one.raw, CMCD.decode(one.raw), one.stamp_ms)
            record = replay.Record(replay.Place(CMCD.name, 0), one.at, report.session_id, report)
            groups.setdefault(report.session_id, []).append(record)
    parts: Counter[str] = Counter()
    for of_group in groups.values():
        for piece in replay.LiveGroup(clock, RULES).pieces(of_group):
            if not piece.is_late:
                parts.update(piece.parts.parts)
    assert {name: parts[name] for name in PARTS} == dict(zip(PARTS, live.sums.tolist(), strict=True))


@pytest.mark.parametrize("with_position", [True, False])
@pytest.mark.parametrize("crash", [2, 3, 4])
def test_a_report_with_an_old_stamp_is_waited_for_as_long_and_not_lost_by_a_crash(
    crash: int, with_position: bool
) -> None:
    """Another leader's clock is behind: by its stamp the report would have waited long enough before it came."""
    other = START_MS + 60_000
    told = [
        FakeRecord(0, START_MS, wire("s", 0, START_MS, "ps", "s"), b"s"),
        FakeRecord(1, other, wire("other", 0, other, "ps", "s"), b"other"),
        FakeRecord(2, START_MS + 400, wire("s", 2, START_MS + 5_000, "ps", "r"), b"s"),
        FakeRecord(3, START_MS + 9_000, wire("other", 1, other + 10, "ps", "p"), b"other"),
        FakeRecord(4, other + 20, wire("s", 1, START_MS + 400, "ps", "p"), b"s"),
    ]
    live = partition({})
    feed(live, None, crash, told[:crash])
    stored: dict[bytes, bytes] = {}
    minutes_and_totals, buckets, position = taken(live).steps
    store(stored, [*minutes_and_totals, *buckets, *(position if with_position else ())])
    for one in (live, again := partition(stored)):
        feed(one, one.next, 4, told[one.next or 0 : 4])
        assert one.fates()["held"] == 1
        feed(one, 4, 5, told[4:])
        assert (one.fates()["counted"], one.fates()["held"], one.fates()["late"]) == (5, 0, 0)
    assert sessions(again) == sessions(live)


def test_a_record_that_comes_while_a_flush_is_made_releases_the_same_in_a_replay() -> None:
    """Several events come of it, and the first moves the clock: the position has the clock before all of them."""
    told = [
        FakeRecord(0, START_MS, wire("s", 1, START_MS, "ps", "s"), b"s"),
        FakeRecord(1, START_MS + 10, wire("t", 0, START_MS, "ps", "s"), b"t"),
        FakeRecord(2, START_MS + 60_000, b"{", b"s"),
    ]
    live, stored = partition({}), dict[bytes, bytes]()
    feed(live, None, 2, told[:2])

    def between() -> None:
        if live.next == 2:
            feed(live, 2, 3, told[2:])

    made = snapshot(live, between)
    assert made and (made.offset, made.clock_ms) == (2, START_MS + 10)
    store(stored, made.records())
    again = partition(stored)
    feed(again, 2, 3, told[2:])
    assert sessions(again) == sessions(live) and len(sessions(live)) == 2
