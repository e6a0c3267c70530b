"""Live + causes = batch, for whatever happens on the way; and what happens on no way is unexplained."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from infra.settings import Settings
from schemas.cmcd.wire import read_report
from schemas.events.cmcd import CmcdEvent
from schemas.fact import from_ms, to_ms
from schemas.parity import CAUSES
from schemas.quality import PARTS
from schemas.registry import CMCD
from streams.message import Message
from streams.parity.explain import Compared
from tests.batch.world import START, cmcd, numbered, playback, wire
from tests.streams.parity.world import World, one_partition, places

FREELY = hypothesis(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def event(
    at_s: float, kind: str, seq: int, *, received_s: float | None = None, session: str = "s1", **more: object
) -> tuple[int, int, bytes]:
    at, received = (
        to_ms(START) + round(1000 * second) for second in (at_s, at_s if received_s is None else received_s)
    )
    fields = {"sessionId": session, "contentId": "t1", "userId": "u", "eventId": f"{session}-{seq}", "seq": seq, **more}
    return received, 0, msgspec.json.encode(wire(START + timedelta(milliseconds=at - to_ms(START)), kind, **fields))


VIEWING = [event(0, "play", 0), event(1, "first_frame", 1), event(61, "heartbeat", 2), event(70, "stop", 3)]


def causes(compared: Compared, part: str) -> Counter[str]:
    """What the causes come to in the rows over all."""
    found: Counter[str] = Counter()
    for one in compared.differences:
        if one.key.rollup == "total" and one.part == part:
            found.update(one.causes)
    return found


def sound(compared: Compared) -> None:
    """Every difference is explained, to the last unit."""
    assert not compared.unexplained
    for one in compared.differences:
        assert one.live + sum(one.causes.values()) == one.batch


def test_sides_that_hold_the_same_in_order_are_equal(settings: Settings) -> None:
    compared = World(numbered(VIEWING), settings).compare()
    assert compared.differences == []
    assert len(compared.keys) == len(compared.equal) == 2 * 4
    assert compared.live == compared.batch
    assert sum(row["playing_ms"] for key, row in compared.live.items() if key.rollup == "total") == 69_000


def test_a_late_event_is_counted_in_its_minute(settings: Settings) -> None:
    freeze_s = settings.live_freeze_after_s
    late = event(50, "heartbeat", 1, session="s2", received_s=200 + freeze_s)
    clock = event(190 + freeze_s, "play", 0, session="s3")
    compared = World(numbered([*VIEWING, clock, late]), settings).compare()
    sound(compared)
    assert causes(compared, "events") == {"late": 1}


def test_a_copy_behind_the_memory_of_ids_is_a_duplicate(settings: Settings) -> None:
    beats = [event(70 + n, "heartbeat", 3 + n) for n in range(30)]
    again = event(1, "first_frame", 1, received_s=101)
    compared = World(numbered([*VIEWING[:3], *beats, again]), settings).compare()
    sound(compared)
    assert causes(compared, "events") == {"duplicate": -1}


def overtaken(received_s: float) -> list[tuple[int, int, bytes]]:
    """The pause, which the player tells before the heartbeat, is received then."""
    paused = event(20, "pause", 2, received_s=received_s)
    return [*VIEWING[:2], paused, event(61, "heartbeat", 3), event(70, "stop", 4)]


def test_events_that_overtake_each_other_are_put_in_order(settings: Settings) -> None:
    assert World(numbered(overtaken(62)), settings).compare().differences == []


def test_events_that_are_overtaken_by_more_than_live_waits_are_of_the_order(settings: Settings) -> None:
    compared = World(numbered(overtaken(65)), settings).compare()
    sound(compared)
    assert causes(compared, "playing_ms")["order"] == 20_000 - 61_000


@pytest.mark.parametrize(("live", "batch", "cause", "sign"), [(4, 2, "still open", -1), (2, 4, "not live yet", 1)])
def test_a_side_that_has_not_come_so_far_is_named(
    settings: Settings, live: int, batch: int, cause: str, sign: int
) -> None:
    sent = numbered(VIEWING)
    [place] = places(sent)
    compared = World(sent, settings, live_cut={place: live}, batch_cut={place: batch}).compare()
    sound(compared)
    assert causes(compared, "events") == {cause: 2 * sign}


def test_before_the_first_publish_everything_is_still_open(settings: Settings) -> None:
    compared = World(numbered(VIEWING), settings, batch_cut={}).compare()
    sound(compared)
    assert {cause for one in compared.differences for cause in one.causes} == {"still open"}
    assert compared.batch == {}


def test_rows_that_are_ahead_of_what_the_worker_said_are_taken_back(settings: Settings) -> None:
    sent = numbered(VIEWING)
    [place] = places(sent)
    world = World(sent, settings, live_cut={place: 2}, published_cut={place: 4}, batch_cut={place: 2})
    compared = world.compare()
    sound(compared)
    assert compared.differences == []


def report(
    at_s: float, seq: int, state: str, user: str | None = None, *, received_s: float | None = None
) -> tuple[int, int, bytes]:
    at, received = (to_ms(START) + round(1000 * second) for second in (at_s, received_s or at_s))
    line = f'cid="t1",e=ps,sid="p1",sn={seq},sta={state},ts={at},v=2'
    told = read_report(line.encode(), CmcdEvent, "a", from_ms(at))
    return received, 0, msgspec.json.encode(msgspec.structs.replace(told, user_id=user))


def test_reports_of_a_session_are_one_stream_whoever_they_say_is_watching(settings: Settings) -> None:
    overtaken = report(1, 1, "p", received_s=3)
    told = [report(0, 0, "s"), report(2, 2, "r", "u1"), overtaken, report(20, 3, "p", "u2"), report(30, 4, "e")]
    compared = World([*numbered(VIEWING), *numbered(told, CMCD.name)], settings).compare()
    sound(compared)
    assert causes(compared, "playing_ms") == {}, "live waits for what was overtaken"


def test_a_player_that_reports_again_after_the_time_out_begins_anew(settings: Settings) -> None:
    """Its numbers begin at 0 again: of the session before they would be repeated ones."""
    silence = settings.session_timeout_s + 1
    told = [report(0, 0, "s"), report(1, 1, "p"), report(10, 2, "a")]
    again = [report(10 + silence, 0, "s"), report(12 + silence, 1, "p"), report(30 + silence, 2, "e")]
    compared = World([*numbered(VIEWING), *numbered([*told, *again], CMCD.name)], settings).compare()
    sound(compared)
    live = sum(row["events"] for key, row in compared.live.items() if key.rollup == "total")
    assert live > sum(row["events"] for key, row in compared.batch.items() if key.rollup == "total")
    assert "reopened" in causes(compared, "events")


def damaged(row: Counter[str], part: str = "events") -> Counter[str]:
    return Counter({**row, part: row[part] + 1})


def test_a_value_that_its_records_do_not_give_is_unexplained(settings: Settings) -> None:
    world = World(numbered(VIEWING), settings)
    key = next(iter(world.batch_rows()))
    wrong_batch = world.compare(batch_rows={k: damaged(v) if k == key else v for k, v in world.batch_rows().items()})
    [one] = wrong_batch.unexplained
    assert (one.key, one.part, one.batch_unexplained, one.live_unexplained) == (key, "events", 1, 0)
    rows = world.live_rows()
    wrong_live = world.compare(
        live_rows=[msgspec.structs.replace(rows[0], amounts=damaged(rows[0].amounts)), *rows[1:]]
    )
    [one] = wrong_live.unexplained
    assert (one.key, one.live_unexplained, one.batch_unexplained) == (rows[0].key, 1, 0)
    lost = world.compare(live_rows=rows[1:])
    assert {one.key for one in lost.unexplained} == {rows[0].key}


def test_both_sides_wrong_alike_are_unexplained_though_they_are_equal(settings: Settings) -> None:
    world = World(numbered(VIEWING), settings)
    live = [msgspec.structs.replace(row, amounts=damaged(row.amounts)) for row in world.live_rows()]
    compared = world.compare(live_rows=live, batch_rows={k: damaged(v) for k, v in world.batch_rows().items()})
    assert len(compared.unexplained) == len(compared.keys) == len(compared.equal)


def test_a_record_that_bronze_lost_is_unexplained_on_both_sides(settings: Settings) -> None:
    world = World(numbered(VIEWING), settings)
    compared = world.compare(records=world.records()[:-1])
    assert compared.unexplained
    assert {(one.live_unexplained, one.batch_unexplained) for one in compared.unexplained if one.part == "events"} == {
        (1, 1)
    }


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Message], bool]:
    """Viewers with every trouble, of both topics, over two partitions or one."""
    seed = draw(st.integers(0, 10_000))
    sent = [*playback(seed, draw(st.integers(1, 12))), *cmcd(seed, draw(st.integers(0, 5)))]
    return (one_partition(sent) if draw(st.booleans()) else sent), draw(st.booleans())


@FREELY
@given(worlds(), st.data())
def test_every_difference_is_explained_exactly(
    settings: Settings, found: tuple[list[Message], bool], data: st.DataObject
) -> None:
    sent, is_under_way = found
    world = World(sent, settings)
    if is_under_way:
        some = {place: data.draw(st.integers(0, end)) for place, end in world.ends.items()}
        world = World(
            sent,
            settings,
            live_cut=some,
            published_cut={place: data.draw(st.integers(cut, world.ends[place])) for place, cut in some.items()},
            batch_cut={place: data.draw(st.integers(0, end)) for place, end in world.ends.items()},
        )
    sound(world.compare())


def test_the_worlds_above_hold_every_cause(settings: Settings) -> None:
    met: set[str] = set()
    for sent in (playback(1, 12), one_partition([*playback(2, 12), *cmcd(2, 5)])):
        world = World(sent, settings)
        half = {place: end // 2 for place, end in world.ends.items()}
        for one in (world, World(sent, settings, live_cut=half), World(sent, settings, batch_cut=half)):
            compared = one.compare()
            sound(compared)
            met |= {cause for difference in compared.differences for cause in difference.causes}
    assert met == {*CAUSES}


@FREELY
@given(st.integers(0, 10_000), st.data())
def test_no_wrong_number_passes(settings: Settings, seed: int, data: st.DataObject) -> None:
    world = World(playback(seed, 4), settings)
    rows = world.batch_rows()
    key = data.draw(st.sampled_from(sorted(rows, key=repr)))
    part = data.draw(st.sampled_from(sorted(PARTS)))
    wrong = {**rows, key: damaged(rows[key], part)}
    assert [(one.key, one.part) for one in world.compare(batch_rows=wrong).unexplained] == [(key, part)]
