"""The last hour by second: whatever workers say and however often, seconds add up to what came."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.quality import PARTS
from schemas.standing import Standing
from warehouse.live_seconds import CARRIED_S, KEPT_S, SILENT_S, LastHour

START_S = 1_768_478_400
START_MS = START_S * 1000


def said(
    at: float, position: int, plays: int, *, clock: float | None = None, since: float | None = None, **values: Any
) -> Standing:
    """Times in seconds after START_S."""
    clock = at if clock is None else clock
    stamps = {"at": ms(at), "clock": ms(clock), "since": 0 if since is None else ms(since)}
    told = {"partition": 0, "position": position, "applied": position, "parts": {"plays": plays}}
    return Standing(**({"topic": "t"} | stamps | told | values))


def ms(second: float) -> int:
    return START_MS + round(second * 1000)


def told(*standings: Standing) -> LastHour:
    seconds = LastHour()
    for one in standings:
        seconds.take((one.topic, one.partition), one)
    return seconds


def column(seconds: LastHour, name: str) -> dict[int, Any]:
    """Second after START_S → value."""
    rows = seconds.table().select(["second", name]).to_pylist()
    return {round(row["second"].timestamp()) - START_S: row[name] for row in rows}


def test_a_second_holds_what_came_in_it() -> None:
    seconds = told(said(0, 0, 0), said(0.9, 3, 3), said(1.1, 4, 4), said(1.95, 9, 9), said(3, 9, 9, clock=1.95))
    assert column(seconds, "plays") == {0: 3, 1: 6, 2: 0}


def test_the_running_second_waits_for_every_partition() -> None:
    seconds = told(said(0, 0, 0), said(0, 0, 0, partition=1), said(9, 0, 0), said(4.2, 5, 5, partition=1))
    assert list(column(seconds, "plays")) == [0, 1, 2, 3]


def test_what_comes_after_silence_is_not_spread_over_it() -> None:
    idle = (said(second, 1, 1, clock=0.5) for second in range(1, 60))
    burst = (said(60.4, 81, 81, since=60.1), said(60.5, 85, 85, since=60.45), said(61, 85, 85, clock=60.5))
    seconds = told(said(0, 0, 0), said(0.5, 1, 1), *idle, *burst)
    assert {second: count for second, count in column(seconds, "plays").items() if count} == {0: 1, 60: 84}


@pytest.mark.parametrize("steps", [1, 3])
def test_an_outage_is_filled_by_when_the_broker_had_it(steps: int) -> None:
    """The worker was away for 30 s, says that it is there, and takes what waited."""
    back = (said(at, 10, 10, clock=10) for at in (39, 39.5, 40))
    done = [(10 + 300 * (i + 1) // steps, 10 + 30 * (i + 1) / steps) for i in range(steps)]
    taken = (said(40.1 + clock / 100, n, n, clock=clock, since=clock - 30 / steps) for n, clock in done)
    seconds = told(said(0, 0, 0), said(10, 10, 10), *back, *taken, said(41, 310, 310, clock=40))
    plays = column(seconds, "plays")
    assert [plays[second] for second in range(10, 40)] == [10] * 30
    assert sum(plays.values()) == 310


def test_a_restarted_worker_says_nothing_new_until_it_is_where_it_was() -> None:
    seconds = told(
        said(0, 0, 0), said(5, 50, 50), said(6, 20, 20, clock=2), said(6.1, 40, 40, clock=4), said(6.2, 60, 60, clock=6)
    )
    seconds.take(("t", 0), said(8, 60, 60, clock=6))
    assert sum(column(seconds, "plays").values()) == 60


ANEW = (said(0, 0, 0), said(5, 50, 50), said(7.5, 3, 3), said(8.5, 4, 4), said(10, 4, 4, clock=8.5))


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_topic_made_anew_goes_on_from_nothing_however_often_it_is_read(times: int) -> None:
    plays = column(told(*ANEW * times), "plays")
    assert (sum(plays.values()), plays[8]) == (54, 1)


def test_state_that_was_deleted_and_is_made_anew_takes_nothing_away() -> None:
    """The events that Kafka still has are fewer than those that had been counted."""
    rebuilt = (said(30, 0, 0, clock=-90_000), said(31, 500, 100, clock=-40), said(32, 1200, 300), said(33, 1210, 310))
    plays = column(told(said(0, 1000, 1000), said(10, 1100, 1100), *rebuilt, said(40, 1210, 310, clock=33)), "plays")
    assert min(plays.values()) == 0
    assert (sum(plays[second] for second in range(1, 10)), sum(plays[second] for second in range(10, 40))) == (90, 10)


def test_seconds_are_whole_when_their_worker_has_taken_them() -> None:
    seconds = told(said(0, 0, 0), said(10, 10, 10, since=0), said(43, 25, 25, clock=25.5, since=10))
    assert max(column(seconds, "plays")) == 24
    seconds.take(("t", 0), said(44, 25, 25, clock=25.5))
    assert max(column(seconds, "plays")) == 43


def test_a_partition_that_has_nothing_yet_or_is_gone_holds_nobody_up() -> None:
    seconds = told(said(0, 9, 9), said(0, 9, 9, partition=1), said(5, 0, 0, clock=-START_S, partition=1))
    for second in range(1, 2 * SILENT_S):
        seconds.take(("t", 0), said(second, 9 + second, 9 + second))
        if second < SILENT_S:
            seconds.take(("t", 1), said(second, 0, 0, clock=-START_S, partition=1))
        if second == SILENT_S - 1:
            assert max(column(seconds, "plays")) == second - 1
    seconds.take(("t", 0), said(2 * SILENT_S, 9, 9))
    assert max(column(seconds, "plays")) == 2 * SILENT_S - 1


def test_viewers_are_those_of_all_partitions_or_unknown() -> None:
    seconds = told(
        said(0, 0, 0, concurrent=3), said(0, 0, 0, partition=1, concurrent=4), said(1, 0, 0, concurrent=5),
        said(3, 0, 0, partition=1, concurrent=6), said(2, 0, 0, concurrent=5), said(3, 0, 0, concurrent=5),
        said(4 + CARRIED_S, 0, 0, concurrent=7), said(4 + CARRIED_S, 0, 0, partition=1, concurrent=7),
    )  # fmt: skip
    silent = dict.fromkeys(range(4, 4 + CARRIED_S))
    assert column(seconds, "concurrent") == {0: 7, 1: 9, 2: 9, 3: 11} | silent


def test_a_server_that_comes_later_begins_where_it_knows_everything() -> None:
    seconds = told(said(0.5, 100, 100), said(3.2, 900, 900, partition=1), said(5.5, 105, 105))
    seconds.take(("t", 1), said(6, 901, 901, partition=1))
    assert list(column(seconds, "plays")) == [4]


def test_an_hour_is_kept() -> None:
    seconds = told(said(0, 0, 0))
    for second in range(1, KEPT_S + 500):
        seconds.take(("t", 0), said(second + 0.5, second, second))
    plays = column(seconds, "plays")
    assert (len(plays), set(plays.values())) == (KEPT_S, {1})
    assert max(plays) == KEPT_S + 498


STEPS = st.tuples(
    st.floats(0.01, 40),
    st.integers(0, 50),
    st.floats(0, 3),
    st.sampled_from(["on", "on", "again", "back"]),
    st.booleans(),
)


@given(st.lists(STEPS, max_size=25), st.lists(STEPS, max_size=25), st.integers(1, 3), st.randoms(use_true_random=False))
def test_seconds_add_up_to_what_came(first: Any, second: Any, times: int, dice: random.Random) -> None:
    """Two partitions; workers lag, fall silent, repeat themselves, begin again; the server reads it all again."""
    told_by, expected, end = [history(steps, n, dice) for n, steps in enumerate((first, second))], 0, 0.0
    for standings in told_by:
        expected += standings[-1].parts["plays"]
        end = max(end, (standings[-1].at - START_MS) / 1000)
    seconds = LastHour()
    for _ in range(times):
        for one in sorted((one for standings in told_by for one in standings), key=lambda one: one.at):
            seconds.take(("t", one.partition), one)
    for standings in told_by:
        last = standings[-1]
        over = msgspec.structs.replace(last, at=ms(end + 5), since=0)
        seconds.take(("t", last.partition), over)
    rows = seconds.table().to_pylist()
    assert sum(row["plays"] for row in rows) == expected
    assert min((row["plays"] for row in rows), default=0) >= 0
    assert datetime.fromtimestamp(START_S, UTC) == rows[0]["second"]


def history(steps: Any, partition: int, dice: random.Random) -> list[Standing]:
    """What a partition's workers say, from its first word on."""
    at, done = 0.0, [said(0, 0, 0, partition=partition)]
    standings = list(done)
    for after, came, lag, kind, is_exact in steps:
        at += after
        last = done[-1]
        before = (last.clock - START_MS) / 1000
        clock = max(before, at - lag)
        since = dice.uniform(before, clock) if is_exact and came else None
        if kind == "back":  # where the worker's state was durable, said now
            standings.append(msgspec.structs.replace(dice.choice(done), at=ms(at), since=dice.choice((0, last.clock))))
        counts = (last.position + came, last.parts["plays"] + came)
        done.append(said(at, *counts, clock=clock, since=since, partition=partition))
        standings += [done[-1]] * (2 if kind == "again" else 1)
    return standings


def test_every_part_is_there() -> None:
    assert told().table().column_names == ["second", "concurrent", *PARTS]
