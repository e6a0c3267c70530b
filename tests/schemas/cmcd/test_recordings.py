"""dash.js as it really is: every metric of a session against its video element's own events."""

from __future__ import annotations

import random

import pytest

from schemas.cmcd.order import LiveStream, translate
from schemas.cmcd.report import Report
from schemas.session_state import ABSENT, Fact, SessionState
from schemas.sessionize import end_reason, fold, open_session, sessionize
from tests.schemas.cmcd.recordings import SCENARIOS, Truth, needed, reports

pytestmark = needed
TIMEOUT_MS = 1_800_000
INTERVAL_MS = 10_000
"""Of the recorded target: what a closed page may cost at most."""


def in_hindsight(found: list[Report]) -> SessionState:
    facts = translate(found).facts
    [(state, _)] = sessionize(facts, TIMEOUT_MS)
    return state


def live(found: list[Report]) -> SessionState:
    """As the stream does it: report by report, as they came."""
    stream = LiveStream.begin(found[0])
    facts: list[Fact] = []
    for report in found:
        if stream.tells(report) and stream.fate(report) == "new":
            facts += [fact for _, released in stream.take(report, report.received_ms) for fact in released]
    facts += [fact for _, released in stream.release(found[-1].received_ms + 60_000) for fact in released]
    state = open_session(facts[0])
    for fact in facts:
        fold(state, fact, TIMEOUT_MS)
    return state


@pytest.mark.parametrize("scenario", ["a", "b", "c"])
@pytest.mark.parametrize("fold_all", [in_hindsight, live])
def test_a_session_that_ends_well_is_told_to_the_millisecond(scenario: str, fold_all) -> None:  # type: ignore[no-untyped-def]
    state, truth = fold_all(reports(scenario)), Truth(scenario)
    stalls, playing_ms = truth.spans
    assert state.startup_ms != ABSENT and truth.startup_ms is not None
    assert abs(state.startup_ms - truth.startup_ms) <= 70
    assert state.stall_count == len(stalls) == (2 if scenario == "c" else 0)
    assert abs(state.stall_ms - sum(stalls)) <= 5
    assert abs(state.playing_ms - playing_ms) <= 5
    assert state.pause_count == (1 if scenario == "b" else 0), "the pause at the end is none"
    assert state.seek_count == (0 if scenario == "a" else 1)
    assert state.end_reason == "stop"
    assert (state.content_id, state.is_live) == ("lab-dashjs", False)


@pytest.mark.parametrize("scenario", ["d", "d_destroy"])
def test_a_closed_page_costs_less_than_an_interval(scenario: str) -> None:
    state, truth = in_hindsight(reports(scenario)), Truth(scenario)
    _, playing_ms = truth.spans
    assert 0 <= playing_ms - state.playing_ms < INTERVAL_MS
    assert (state.end_reason, state.stall_count) == (None, 0)
    assert end_reason(state, state.last_received_ms + TIMEOUT_MS, TIMEOUT_MS) == "timeout"


def test_an_error_while_the_buffer_plays_out_ends_nothing_yet() -> None:
    state = in_hindsight(reports("e"))
    assert state.end_reason is None, "when the page was closed it still played"
    assert state.playing_ms == 9_615


def test_a_halt_after_the_error_is_the_failure_and_no_stall() -> None:
    found = reports("e", "a")
    dead = found[-1]
    later = [("ps", "r", 900), ("t", "r", 3_567), ("t", "r", 13_567)]
    found += [report_after(dead, n, event, state, after_ms) for n, (event, state, after_ms) in enumerate(later, 1)]
    state = in_hindsight(found)
    assert (state.end_reason, state.error_code, state.stall_count) == ("error", "27", 0)
    assert state.playing_ms == 9_615 + 900


def report_after(report: Report, n: int, event: str, state: str, after_ms: int) -> Report:
    return Report(
        report.at_ms + after_ms,
        report.received_ms + after_ms,
        f"{report.event_id}+{n}",
        report.session_id,
        report.target,
        report.event_type,
        (report.seq or 0) + n,
        event,
        state,
        error_code=report.error_code,
    )


def test_segments_that_never_come_are_a_failed_start() -> None:
    state = in_hindsight(reports("e2"))
    assert (state.end_reason, state.error_code, state.startup_ms) == ("start_failure", "27", ABSENT)
    assert (state.playing_ms, state.stall_count) == (0, 0)


def test_leaving_before_the_start_is_an_attempt_without_a_start() -> None:
    state = in_hindsight(reports("f"))
    assert (state.startup_ms, state.is_started, state.play_ms != ABSENT) == (ABSENT, False, True)


def test_a_storm_of_resends_counts_each_report_once_and_loses_none() -> None:
    found = reports("g_503", "a")
    assert len(found) > 100
    state, truth = in_hindsight(found), Truth("g_503")
    assert state.startup_ms != ABSENT and truth.startup_ms is not None
    assert abs(state.startup_ms - truth.startup_ms) <= 70
    assert state.stall_count == 0
    assert state.seq_max is not None and state.seq_max + 1 == state.seq_count, "a report is missing"
    assert live(found).playing_ms == state.playing_ms


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_targets_tell_one_session_whatever_order_they_come_in(scenario: str) -> None:
    found = reports(scenario)
    one = in_hindsight(found)
    assert one == in_hindsight(reports(scenario, "a")), "the other target changes nothing"
    for seed in range(5):
        shuffled = found + random.Random(seed).sample(found, len(found) // 3)
        random.Random(seed).shuffle(shuffled)
        assert in_hindsight(shuffled) == one
