"""The traps of real players, each as the smallest sequence of reports that has it, and what must come of it."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.cmcd.order import HOLD_MS, MAX_HELD, LiveStream, translate
from schemas.cmcd.report import EVENT_MODE, REQUEST_MODE, Report
from schemas.cmcd.translate import CAP_MS
from schemas.session_state import ABSENT, ENDED, Fact, SessionState
from schemas.sessionize import end_reason, fold, open_session, sessionize

START = 1_768_509_000_000
TIMEOUT_MS = 1_800_000


def told(script: str, target: str = "") -> list[Report]:
    """`0 t; 10 s; 400 p; 5000 e:e` → reports: ms since the start, then `sta`, or `event` and `event:sta`."""
    reports = []
    state: str | None = None
    for seq, line in enumerate(script.split(";")):
        at, what = line.split()
        event, _, new = what.partition(":")
        if event in ("t", "b", "bc", "rr", "as", "ae", "pr") or new:
            state = new or state
        else:
            event, state = "ps", event
        reports.append(report(int(at), seq, event, None if state == "-" else state, target))
    return reports


def report(
    at_ms: int, seq: int | None, event: str | None, state: str | None, target: str = "", **more: object
) -> Report:
    name = f"sid/{target}/{seq}"
    at = START + at_ms
    return Report(at, at + 5, name, "sid", target, EVENT_MODE, seq, event, state, "title", **more)  # type: ignore[arg-type]


def known(reports: list[Report]) -> SessionState:
    """In hindsight."""
    facts = translate(reports).facts
    [(state, _)] = sessionize(facts, TIMEOUT_MS)
    return state


def live(reports: list[Report]) -> SessionState:
    """Report by report, as they come; nobody says that it is over."""
    stream, facts = LiveStream.begin(reports[0]), list[Fact]()
    for one in reports:
        taken = stream.release(one.received_ms)
        if stream.fate(one) == "new":
            taken += stream.take(one, one.received_ms)
        for _, released in taken:
            facts += released
    state = open_session(facts[0])
    for fact in facts:
        fold(state, fact, TIMEOUT_MS)
    return state


both = pytest.mark.parametrize("fold_all", [known, live])


@both
def test_startup_is_from_the_first_report_to_the_first_p(fold_all) -> None:  # type: ignore[no-untyped-def]
    for script in ("0 t:-; 13 s; 340 p; 9000 e", "0 t:-; 2 d; 150 s; 340 p; 9000 e", "0 r; 340 p; 9000 e"):
        state = fold_all(told(script))
        assert (state.startup_ms, state.stall_count, state.playing_ms) == (340, 0, 8_660), script


@both
def test_a_preload_is_no_startup(fold_all) -> None:  # type: ignore[no-untyped-def]
    assert fold_all(told("0 t:-; 5 d; 60000 s; 60200 p; 70000 e")).startup_ms == 200


@both
def test_buffering_before_the_start_and_after_a_seek_is_no_stall(fold_all) -> None:  # type: ignore[no-untyped-def]
    for script in ("0 s; 50 r; 400 p; 5000 k; 5003 w; 5060 p; 9060 e", "0 r; 400 p; 5000 k; 5001 r; 5060 p; 9060 e"):
        state = fold_all(told(script))
        assert (state.stall_count, state.seek_count, state.seeking_ms, state.playing_ms) == (0, 1, 60, 8_600), script


@both
def test_a_seek_before_the_start_is_where_it_starts_from(fold_all) -> None:  # type: ignore[no-untyped-def]
    state = fold_all(told("0 s; 100 k; 110 r; 400 p; 9000 e"))
    assert (state.startup_ms, state.seek_count, state.seeking_ms, state.playing_ms) == (400, 0, 0, 8_600)


@both
def test_a_stall_lasts_from_r_to_p(fold_all) -> None:  # type: ignore[no-untyped-def]
    state = fold_all(told("0 s; 400 p; 5000 r; 8000 t:r; 8479 p; 9479 e"))
    assert (state.stall_count, state.stall_ms, state.playing_ms) == (1, 3_479, 5_600)


@both
@pytest.mark.parametrize("end", ["60000 e", "59995 a; 60000 e", "60000 e; 60003 a; 60004 e"])
def test_the_first_e_ends_and_its_own_pause_is_none(fold_all, end: str) -> None:  # type: ignore[no-untyped-def]
    state = fold_all(told(f"0 s; 400 p; {end}; 70000 t:e"))
    assert (state.end_reason, state.pause_count, state.phase) == ("stop", 0, ENDED)
    assert abs(state.playing_ms - 59_600) <= 5


@both
def test_a_pause_is_one_when_it_lasts(fold_all) -> None:  # type: ignore[no-untyped-def]
    state = fold_all(told("0 s; 400 p; 5000 a; 8000 p; 9000 a; 15000 t:a; 15001 e"))
    assert (state.pause_count, state.paused_ms, state.playing_ms) == (2, 9_001, 5_600)


@both
def test_an_error_after_which_it_plays_is_not_fatal(fold_all) -> None:  # type: ignore[no-untyped-def]
    for script in (
        "0 s; 400 p; 3000 e:p; 9900 r; 10900 p; 20000 e",  # the buffer plays out, then it recovers
        "0 s; 400 p; 3000 e:p; 4000 e:p; 20000 t; 20001 e",
        "0 s; 400 p; 3000 f; 3001 e:f; 8000 p; 20000 e",  # Shaka says f at the first error that it retries
    ):
        state = fold_all(told(script))
        stalled = 1_000 if "r;" in script else 0
        assert (state.end_reason, state.error_code, state.stall_ms) == ("stop", None, stalled), script
        assert state.playing_ms >= 18_600, script


def test_an_error_after_which_nothing_plays_is_fatal() -> None:
    for script, playing_ms in (
        ("0 s; 400 p; 3000 e:p; 5000 t:p; 9900 r; 15000 t:r; 25000 t:r", 9_500),  # dash.js
        ("0 s; 400 p; 3000 f; 3001 e:f; 3500 e:f; 8000 r; 9000 e:r", 7_600),  # Shaka
        ("0 s; 400 p; 3000 f; 3001 e:f; 13000 t:f", 2_600),
        ("0 s; 400 p; 3000 e:p", 2_600),  # then silence
        ("0 s; 400 p; 3000 r; 3900 e:r; 15000 t:r", 2_600),  # the error comes after the buffer is empty
        ("0 s; 400 p; 3000 e:p; 4000 k; 4001 r; 14000 t:r", 3_600),
    ):
        state = known(told(script))
        assert (state.end_reason, state.playing_ms) == ("error", playing_ms), script
        assert state.stall_count == (script.startswith("0 s; 400 p; 3000 r")), script
    assert known(told("0 s; 50 r; 3000 e:r; 6000 e:r")).end_reason == "start_failure"
    assert known(told("0 t:-; 3000 e:-")).end_reason == "start_failure"


def test_in_hindsight_a_long_wait_after_an_error_was_a_stall() -> None:
    waiting = "; ".join(f"{at} t:r" for at in range(10_000, 90_000, 10_000))
    state = known(told(f"0 s; 400 p; 3000 e:p; 9900 r; {waiting}; 95000 p; 96000 e"))
    assert (state.end_reason, state.stall_count, state.stall_ms, state.playing_ms) == ("stop", 1, 85_100, 10_500)


def test_live_waits_for_a_p_and_then_says_failed() -> None:
    script = "0 s; 400 p; 3000 e:p; 9900 r; 30000 t:r; 60000 t:r"
    state = live(told(script))
    assert (state.end_reason, state.stall_count, state.playing_ms) == (None, 0, 9_500)
    state = live(told(f"{script}; 70000 t:r; 80000 t:r"))
    assert (state.end_reason, state.stall_count, state.playing_ms) == ("error", 0, 9_500)
    state = live(told(f"{script}; 70000 t:r; 80000 p; 81000 e"))
    assert (state.end_reason, state.playing_ms) == ("stop", 10_500), "it has played again after all"


@both
def test_an_r_without_an_end_is_a_stall_up_to_the_cap(fold_all) -> None:  # type: ignore[no-untyped-def]
    """hls.js: a segment that is gone, and the end of a stream, both without an error and without an e."""
    script = "0 s; 400 p; 9900 r; " + "; ".join(f"{at} t:r" for at in range(15_000, 300_000, 10_000))
    state = fold_all(told(script))
    assert (state.stall_count, state.stall_ms, state.playing_ms) == (1, CAP_MS, 9_500)
    assert end_reason(state, state.last_received_ms + TIMEOUT_MS, TIMEOUT_MS) == "timeout"
    state = fold_all(told(f"{script}; 300000 p; 301000 e"))
    assert (state.stall_count, state.stall_ms, state.playing_ms) == (1, 290_100, 10_500), "it did end"


@both
def test_without_states_it_plays_from_the_first_report_to_the_last(fold_all) -> None:  # type: ignore[no-untyped-def]
    """Shaka's release build."""
    state = fold_all(told("0 t:-; 30 bc:-; 10000 t:-; 20000 t:-; 21000 b:-"))
    assert (state.play_ms, state.startup_ms, state.is_started) == (START, ABSENT, True)
    assert (state.playing_ms, state.stall_count, state.end_reason) == (21_000, 0, None)


@both
def test_request_mode_carries_a_session_as_far_as_it_can(fold_all) -> None:  # type: ignore[no-untyped-def]
    at = [0, 2_000, 4_000, 9_000]
    reports = [
        Report(
            START + ms,
            START + ms,
            f"hash-{ms}",
            "sid",
            "request",
            REQUEST_MODE,
            bitrate_kbps=800,
            is_starved=ms == 9_000,
        )
        for ms in at
    ]
    state = fold_all(reports)
    assert (state.playing_ms, state.stall_count, state.stall_ms, state.startup_ms) == (9_000, 1, 0, ABSENT)
    assert (state.bitrate_kbps, state.seq_max) == (800, (state.seq_count or 0) - 1)


@both
def test_responses_count_for_continuity_only(fold_all) -> None:  # type: ignore[no-untyped-def]
    state = fold_all(told("0 s; 10 rr:s; 400 p; 300 rr:r; 5000 rr:p; 9000 e"))
    assert (state.startup_ms, state.playing_ms, state.stall_count) == (400, 8_600, 0)
    assert state.seq_max is not None and state.seq_max + 1 == state.seq_count


def test_a_lost_report_is_a_missing_event() -> None:
    reports = told("0 s; 10 rr; 400 p; 3000 t; 6000 t; 9000 e")
    for gone in (1, 3, 4):
        state = known([one for one in reports if one.seq != gone])
        assert state.seq_max is not None and state.seq_max + 1 - state.seq_count == 1
        assert state.playing_ms == 8_600


@both
def test_bitrate_ads_rate_and_visibility(fold_all) -> None:  # type: ignore[no-untyped-def]
    script = "0 s; 100 as; 110 p; 5100 ae; 9000 bc; 10000 pr; 11000 b; 12000 e"
    reports = told(script)
    reports[4] = report(9_000, 4, "bc", "p", bitrate_kbps=3_000)
    reports[1] = report(100, 1, "as", "s", bitrate_kbps=1_000)
    reports[5] = report(10_000, 5, "pr", "p", playback_rate=2.0)
    state = fold_all(reports)
    assert (state.ad_ms, state.startup_ms, state.playing_ms) == (5_000, 100, 6_900), "startup is without the pre-roll"
    assert (state.bitrate_switch_count, state.bits_played) == (1, 3_900_000 + 3_000_000 + 2 * 3_000 * 2_000)
    assert state.media_ms == 8_900


def test_a_report_says_the_bitrate_only_when_it_changes() -> None:
    reports = [
        report(at, seq, "t", "p", bitrate_kbps=kbps) for seq, (at, kbps) in enumerate([(0, 800), (9, 800), (20, 500)])
    ]
    kinds = [fact.kind for fact in translate(reports).facts]
    assert kinds == ["play", "first_frame", "quality_change", "heartbeat", "quality_change"]


def test_of_two_reports_with_one_number_the_first_received_counts() -> None:
    reports = told("0 s; 400 p; 9000 e")
    other = Report(START + 700, START + 99_000, "another", "sid", "", EVENT_MODE, 1, "ps", "p", "title")
    assert known([other, *reports]).startup_ms == 400


@both
def test_swapped_and_resent_reports_change_nothing(fold_all) -> None:  # type: ignore[no-untyped-def]
    reports = told("0 t:-; 5 s; 10 r; 400 p; 1000 a; 2000 p; 3000 t; 4000 r; 4500 p; 9000 e")
    straight = fold_all(reports)
    storm = [reports[n] for n in (3, 4, 7, 6, 0, 2, 0, 5, 1, 8, 3, 9)]
    again = fold_all(storm)
    for name in ("startup_ms", "stall_count", "stall_ms", "playing_ms", "pause_count", "end_reason", "seq_max"):
        assert getattr(again, name) == getattr(straight, name), name


def test_live_waits_for_a_swapped_report_but_not_for_ever() -> None:
    reports = told("0 s; 400 p; 1000 r; 1500 p; 2000 t; 9000 t")
    stream = LiveStream.begin(reports[0])
    now = reports[2].received_ms + 60_000  # the clock has come further by other sessions: it waits from now on
    stream.take(reports[0], now)
    assert stream.take(reports[2], now) == [] and stream.deadline_ms == now + HOLD_MS
    assert stream.release(now + HOLD_MS - 1) == [] and not stream.is_over(now + TIMEOUT_MS * 2, TIMEOUT_MS)
    released = [one.seq for one, _ in stream.release(now + HOLD_MS)]
    assert stream.deadline_ms is None and stream.is_over(now + TIMEOUT_MS * 2, TIMEOUT_MS)
    assert (released, stream.lost) == ([2], [1])
    assert [stream.fate(reports[n]) for n in (1, 1, 0)] == ["late", "repeated", "repeated"]
    full = LiveStream.begin(reports[0])
    for seq in range(1, MAX_HELD + 2):
        done = full.take(report(seq, seq, "t", "p"), START)
    assert [one.seq for one, _ in done] == list(range(1, MAX_HELD + 2)) and not full.held


def test_a_live_stream_joined_in_its_middle_does_not_wait_for_its_beginning() -> None:
    stream = LiveStream.begin(report(0, 500, "t", "p"))
    assert [one.seq for one, _ in stream.take(report(0, 500, "t", "p"), START)] == [500]


def test_one_target_tells_the_session() -> None:
    best = told("0 t:-; 5 s; 400 p; 5000 r; 6000 p; 9000 e", "b")
    poor = told("0 t:-; 10000 t:-", "a")
    facts, target, _ = translate(poor + best)
    assert target == "b" and {fact.event_id.split("/")[1] for fact in facts} == {"b"}
    stream = LiveStream.begin(poor[0])
    assert stream.tells(poor[1]) and not stream.tells(best[0])


STATES = st.sampled_from(["s", "d", "p", "r", "k", "w", "a", "e", "f", "q", None])
EVENTS = st.sampled_from(["ps", "ps", "ps", "t", "e", "rr", "as", "ae", "b", "pr", None])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 90_000), EVENTS, STATES), min_size=1, max_size=14), st.randoms())
def test_any_reports_in_any_order_make_the_same_session(script: list[tuple[int, str, str]], rnd: random.Random) -> None:
    at, reports = 0, []
    for seq, (after_ms, event, state) in enumerate(script):
        at += after_ms
        reports.append(report(at, seq, event, state, target=rnd.choice(["", "", "b"])))
    facts = translate(reports).facts
    mixed = [*reports, *rnd.sample(reports, len(reports) // 2)]
    rnd.shuffle(mixed)
    assert translate(mixed).facts == facts
    assert all(count == 1 for count in Counter(fact.event_id for fact in facts).values()), "one id, two facts"
    assert [fact.seq for fact in facts] == sorted({fact.seq for fact in facts}, key=lambda seq: seq or 0)
    for state, _ in sessionize(facts, TIMEOUT_MS):
        span = state.last_ms - state.first_ms
        assert 0 <= state.playing_ms + state.stall_ms + state.paused_ms + state.seeking_ms + state.ad_ms <= span
        assert state.event_count == len(facts)
