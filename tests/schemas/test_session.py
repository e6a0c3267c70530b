"""The fold: worked examples by hand, and what must hold for any sequence of events."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.quality import MINUTE_MS, PARTS
from schemas.registry import PLAYBACK
from schemas.session_row import session_row
from schemas.session_state import ABSENT, ATTEMPTED, Fact, SessionState
from schemas.sessionize import sessionize
from schemas.tables.sessions import SESSIONS

TIMEOUT_MS = 1_800_000
START_MS = 1_768_509_000_000


def fact(at_s: float, kind: str, **fields: Any) -> Fact:
    """An event of session `s1` at this many seconds."""
    at_ms = START_MS + round(at_s * 1000)
    fields = {"session_id": "s1", "content_id": "t1", "received_ms": at_ms + 100, **fields}
    return Fact(at_ms=at_ms, kind=kind, event_id=f"{kind}@{at_s}", rank=PLAYBACK.rank[kind], **fields)


def only(*facts: Fact) -> SessionState:
    """The one session that the events make."""
    ((state, _),) = list(sessionize(facts, TIMEOUT_MS))
    return state


def test_video_stall_and_pause_are_told_apart() -> None:
    """60 s of video, 10 s of stall and 30 s of pause are 70 s watched."""
    state = only(
        fact(0, "play"), fact(1, "first_frame"), fact(31, "stall_start"), fact(41, "stall_end"),
        fact(51, "pause"), fact(81, "resume"), fact(101, "stop"),
    )  # fmt: skip
    assert (state.playing_ms, state.stall_ms, state.paused_ms, state.watched_ms) == (60_000, 10_000, 30_000, 70_000)
    assert (state.startup_ms, state.stall_count, state.end_reason) == (1000, 1, "stop")


def test_half_speed_takes_twice_the_time() -> None:
    """60 s of media at half speed are 120 s watched."""
    state = only(fact(0, "play"), fact(0, "first_frame", playback_rate=0.5), fact(120, "stop"))
    assert (state.watched_ms, state.media_ms) == (120_000, 60_000)


def test_failed_ad_leaves_content_alone() -> None:
    state = only(
        fact(0, "play"), fact(1, "first_frame"), fact(11, "ad_start"), fact(12, "stall_start"), fact(17, "ad_error"),
        fact(27, "stop"),
    )  # fmt: skip
    assert (state.stall_count, state.stall_ms, state.ad_ms, state.ad_stall_ms) == (0, 0, 6000, 5000)
    assert state.playing_ms == 20_000


def test_preroll_is_not_startup() -> None:
    state = only(fact(0, "play"), fact(1, "ad_start"), fact(16, "ad_end"), fact(17, "first_frame"), fact(20, "stop"))
    assert (state.startup_ms, state.ad_ms, state.playing_ms) == (2000, 15_000, 3000)


def test_buffering_at_start_and_after_a_seek_is_no_stall() -> None:
    state = only(
        fact(0, "play"), fact(0.5, "stall_start"), fact(1, "first_frame"), fact(10, "seek"), fact(10.2, "stall_start"),
        fact(12, "stall_end"), fact(20, "stop"),
    )  # fmt: skip
    assert (state.stall_count, state.stall_ms, state.seek_count, state.seeking_ms) == (0, 0, 1, 1800)


def test_ends() -> None:
    assert only(fact(0, "play"), fact(3, "stop")).end_reason == "exit_before_start"
    assert only(fact(0, "play"), fact(3, "error", fatal=True, error_code="E1")).end_reason == "start_failure"
    failed = only(fact(0, "play"), fact(1, "first_frame"), fact(3, "error", fatal=True, error_code="E1"))
    assert (failed.end_reason, failed.error_code) == ("error", "E1")
    assert only(fact(0, "play"), fact(1, "first_frame"), fact(3, "error"), fact(5, "stop")).end_reason == "stop"


def test_play_pause_stop_alone_count_wall_clock() -> None:
    """Back ends that know neither sessions nor first frames: play → pause | stop is watched, play also resumes."""
    seed: dict[str, Any] = {"session_id": None, "user_id": "u", "device_type": "web"}
    state = only(
        fact(0, "play", **seed), fact(60, "pause", **seed), fact(90, "play", **seed), fact(120, "stop", **seed)
    )
    assert state.is_derived_id and (state.watched_ms, state.paused_ms, state.end_reason) == (90_000, 30_000, "stop")


def test_derived_sessions_split_at_the_timeout() -> None:
    seed: dict[str, Any] = {"session_id": None, "user_id": "u"}
    states = [s for s, _ in sessionize([fact(0, "play", **seed), fact(1801, "play", **seed)], TIMEOUT_MS)]
    assert len({state.session_id for state in states}) == 2
    joined = [fact(0, "play", **seed), fact(1801, "play", **seed), fact(900, "pause", **seed)]
    assert len(list(sessionize(joined, TIMEOUT_MS))) == 1


def test_open_becomes_timeout_by_received_time_only() -> None:
    state = only(fact(0, "play"), fact(1, "first_frame"))
    row = session_row(state, [], state.last_received_ms + TIMEOUT_MS - 1, TIMEOUT_MS)
    assert row["end_reason"] == "open"
    assert session_row(state, [], state.last_received_ms + TIMEOUT_MS, TIMEOUT_MS)["end_reason"] == "timeout"


def test_row_has_the_columns_of_the_table() -> None:
    state = only(fact(0, "play"), fact(1, "first_frame"), fact(5, "stop"))
    assert session_row(state, [], 0, TIMEOUT_MS).keys() == {column.name for column in SESSIONS.columns}


KINDS = sorted(PLAYBACK.rank)
facts = st.builds(
    lambda at, kind, seq, rate, kbps, fatal, number: Fact(
        at_ms=START_MS + at, received_ms=START_MS + at + 50, kind=kind, event_id=f"e{number}", rank=PLAYBACK.rank[kind],
        seq=seq, session_id="s1", playback_rate=rate, bitrate_kbps=kbps, fatal=fatal,
    ),
    st.integers(0, 8).map(lambda n: n * 700_000) | st.integers(0, 3 * TIMEOUT_MS),
    st.sampled_from(KINDS), st.none() | st.integers(-5, 50),
    st.none() | st.sampled_from([0.0, 0.5, 1.0, 1.25, 2.0]), st.none() | st.integers(-1, 20_000),
    st.none() | st.booleans(), st.integers(0, 10**9),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(facts, min_size=1, max_size=40, unique_by=lambda f: f.event_id), st.randoms(use_true_random=False))
def test_arrival_order_and_repeats_change_nothing_but_the_tally(events: list[Fact], order: random.Random) -> None:
    """The truth is independent of how events arrive; a repeat is counted and otherwise ignored."""
    ((expected, minutes),) = list(sessionize(events, TIMEOUT_MS))
    arrived = events + order.sample(events, len(events) // 3)
    order.shuffle(arrived)
    ((state, again),) = list(sessionize(arrived, TIMEOUT_MS))
    assert state.duplicate_event_count == len(events) // 3
    assert msgspec.structs.replace(state, duplicate_event_count=0) == expected
    assert again == minutes


@settings(max_examples=300, deadline=None)
@given(st.lists(facts, min_size=1, max_size=40, unique_by=lambda f: f.event_id))
def test_time_is_accounted_for_and_minutes_add_up(events: list[Fact]) -> None:
    """Every ms lies in one phase (silences beyond the time-out and time outside playback aside), and the minutes'
    parts are the session's totals."""
    ((state, minutes),) = list(sessionize(events, TIMEOUT_MS))
    phases = ("starting_ms", "playing_ms", "stall_ms", "seeking_ms", "paused_ms", "ad_ms")
    spent = [getattr(state, name) for name in phases]
    assert min(spent) >= 0 and sum(spent) <= state.last_ms - state.first_ms
    assert state.ad_stall_ms <= state.ad_ms and state.preroll_ms <= state.ad_ms
    sums = dict.fromkeys(PARTS, 0)
    for piece in minutes:
        assert piece.minute_ms % MINUTE_MS == 0
        assert piece.parts.get("events", 0) + piece.parts.get("watched_ms", 0) > 0, (
            "a row of gold that has neither is none"
        )
        for part, amount in piece.parts.items():
            assert amount >= 0
            sums[part] += amount
    for part in ("stall_ms", "playing_ms", "watched_ms", "media_ms", "bits_played"):
        assert sums[part] == getattr(state, part), part
    assert sums["events"] == state.event_count == len(events)
    assert sums["stalls"] == state.stall_count
    assert sums["startup_ms"] == max(0, state.startup_ms)
    assert sums["plays"] == (state.counted & ATTEMPTED != 0)
    assert sums["first_frames"] <= 1


def parts_of(*events: Fact) -> dict[str, int]:
    """The parts of the one session that the events make, over all its minutes."""
    ((_, minutes),) = list(sessionize(events, TIMEOUT_MS))
    sums = dict.fromkeys(PARTS, 0)
    for piece in minutes:
        for part, amount in piece.parts.items():
            sums[part] += amount
    return sums


def test_a_viewer_who_tries_again_is_one_attempt_and_one_failure() -> None:
    sums = parts_of(
        fact(0, "play"), fact(1, "error", fatal=True), fact(2, "play"), fact(3, "error", fatal=True), fact(4, "play"),
        fact(5, "stop"), fact(6, "play"), fact(7, "stop"),
    )  # fmt: skip
    assert (sums["plays"], sums["start_failures"], sums["exits_before_start"]) == (1, 1, 1)


def test_what_follows_a_play_that_was_lost_is_an_attempt() -> None:
    joined = parts_of(fact(0, "heartbeat"), fact(10, "play"), fact(20, "stop"))
    assert (joined["plays"], joined["starts"], joined["first_frames"]) == (1, 1, 0)
    failed = parts_of(fact(0, "error", fatal=True), fact(1, "play"), fact(2, "stop"))
    assert (failed["plays"], failed["start_failures"]) == (1, 1)
    assert parts_of(fact(0, "pause"), fact(1, "stop"))["plays"] == 0


def test_media_without_a_bitrate_does_not_pull_the_average_down() -> None:
    state = only(
        fact(0, "play"), fact(0, "first_frame"), fact(60, "quality_change", bitrate_kbps=3000), fact(90, "stop")
    )
    assert (state.bits_played, state.bitrate_media_ms, state.media_ms) == (90_000_000, 30_000, 90_000)
    assert session_row(state, [], 0, TIMEOUT_MS)["average_bitrate_kbps"] == 3000


def test_a_seek_alone_does_not_reach_its_target() -> None:
    events = [fact(0, "play"), fact(1, "first_frame"), fact(10, "heartbeat", position_ms=9000)]
    jumped = only(*events, fact(11, "seek", position_ms=90_000), fact(12, "stop"))
    # A second was played between the last position that was told and the jump.
    assert (jumped.max_position_ms, jumped.end_position_ms) == (10_000, 90_000)
    watched = only(*events, fact(11, "seek", position_ms=90_000), fact(21, "stop", position_ms=99_000))
    assert (watched.max_position_ms, watched.end_position_ms) == (99_000, 99_000)


def test_a_position_that_was_only_asked_for_was_not_played() -> None:
    given_up = only(fact(0, "play", position_ms=50_000), fact(4, "stop", position_ms=50_000))
    assert given_up.max_position_ms == ABSENT
    waited = only(
        fact(0, "play", position_ms=0), fact(1, "first_frame", position_ms=0), fact(10, "seek", position_ms=90_000),
        fact(10, "stall_start", position_ms=90_000), fact(20, "stop", position_ms=90_000),
    )  # fmt: skip
    assert (waited.max_position_ms, waited.seeking_ms) == (9000, 10_000)


@pytest.mark.parametrize(
    ("lost", "begin", "seconds", "column"),
    [
        ("first_frame", "", 0, "starting_ms"),
        ("stall_end", "stall_start", 5, "stall_ms"),
        ("resume", "pause", 20, "paused_ms"),
    ],
)
def test_a_playhead_that_moves_on_tells_what_was_lost(lost: str, begin: str, seconds: int, column: str) -> None:
    """A minute with a wait in it whose end never comes: the heartbeat after it says where the playhead is."""
    events = [fact(0, "play", position_ms=0), fact(1, "first_frame", position_ms=0)]
    if begin:
        events += [fact(11, begin, position_ms=10_000), fact(11 + seconds, lost, position_ms=10_000)]
    beats = [second for second in range(20, 60, 10) if second > 11 + seconds]
    events += [fact(second, "heartbeat", position_ms=(second - 1 - seconds) * 1000) for second in beats]
    events.append(fact(60, "stop", position_ms=(59 - seconds) * 1000))
    known, found = only(*events), only(*(event for event in events if event.kind != lost))
    assert found.playing_ms == known.playing_ms == (59 - seconds) * 1000
    assert getattr(found, column) == getattr(known, column) == (seconds or 1) * 1000
    assert (found.end_reason, found.is_started) == ("stop", True)


def test_a_playhead_that_moves_with_an_ad_does_not_end_it() -> None:
    """An ad in the stream, or in the element of the content."""
    state = only(
        fact(0, "play", position_ms=0), fact(1, "first_frame", position_ms=0), fact(11, "ad_start", position_ms=10_000),
        fact(21, "heartbeat", position_ms=20_000), fact(41, "ad_end", position_ms=40_000), fact(46, "stop"),
    )  # fmt: skip
    assert (state.ad_ms, state.playing_ms) == (30_000, 15_000)


@pytest.mark.parametrize(("ad_ms", "after_ms"), [(40_000, 45_000), (30_000, 15_000), (10_000, 15_000)])
def test_a_stall_after_an_ad_is_a_stall_wherever_the_ad_moved_the_playhead(ad_ms: int, after_ms: int) -> None:
    """An ad in the stream, one in the content's element that tells its own position, one beside the content."""
    state = only(
        fact(0, "play", position_ms=0), fact(1, "first_frame", position_ms=0), fact(11, "ad_start", position_ms=10_000),
        fact(41, "ad_end", position_ms=ad_ms), fact(46, "stall_start", position_ms=after_ms),
        fact(48, "stall_end", position_ms=after_ms), fact(50, "stop", position_ms=after_ms + 2_000),
    )  # fmt: skip
    assert (state.stall_count, state.stall_ms, state.ad_ms, state.playing_ms) == (1, 2_000, 30_000, 17_000)


def test_a_player_that_jumps_to_its_beginning_has_not_begun() -> None:
    state = only(
        fact(0, "play", position_ms=0), fact(10, "heartbeat", position_ms=2_400_000),
        fact(12, "first_frame", position_ms=2_400_000), fact(22, "stop", position_ms=2_410_000),
    )  # fmt: skip
    assert (state.starting_ms, state.startup_ms, state.playing_ms) == (12_000, 12_000, 10_000)


def test_a_playhead_that_creeps_in_a_stall_does_not_end_it() -> None:
    state = only(
        fact(0, "play", position_ms=0), fact(1, "first_frame", position_ms=0),
        fact(11, "stall_start", position_ms=10_000), fact(21, "heartbeat", position_ms=10_900),
        fact(31, "stall_end", position_ms=10_900), fact(32, "stop"),
    )  # fmt: skip
    assert (state.stall_ms, state.playing_ms) == (20_000, 11_000)


@pytest.mark.parametrize(("position_ms", "is_stall"), [(90_000, False), (9_500, True)])
def test_a_wait_somewhere_else_belongs_to_a_seek_that_was_lost(position_ms: int, is_stall: bool) -> None:
    state = only(
        fact(0, "play", position_ms=0), fact(1, "first_frame", position_ms=0),
        fact(11, "stall_start", position_ms=position_ms), fact(14, "stall_end", position_ms=position_ms),
        fact(15, "stop"),
    )  # fmt: skip
    assert (state.stall_count, state.stall_ms, state.seeking_ms) == ((1, 3_000, 0) if is_stall else (0, 0, 3_000))
