"""The automatic rule on minutes that are made up: what it finds, whom it names, when it lets go."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.alert import AUTOMATIC, Alert, Change, question
from schemas.quality import PART
from streams.alerts.cohorts import cohorts, contains, make, overlap
from streams.alerts.evaluator import Evaluator, State, Tracked
from streams.alerts.minutes import MinuteRows
from streams.alerts.rule import Rule, read
from streams.alerts.thresholds import Thresholds
from tests.streams.alerts.service import Bad, service

BEGINS, ENDS = 40, 60


def during(minute: int) -> bool:
    return BEGINS <= minute < ENDS


def in_brazil(minute: int, who: dict[str, str]) -> float:
    return 12.0 if during(minute) and who["country"] == "BR" else 1.0


def judge(
    minutes: Iterable[MinuteRows], evaluator: Evaluator | None = None, state: State | None = None
) -> list[Change]:
    evaluator, state, told = evaluator or Evaluator(), state or State(), []
    for minute in minutes:
        state, changes = evaluator.advance(state, minute)
        told += changes
    return told


def opened(changes: Iterable[Change]) -> list[Alert]:
    return [change.alert for change in changes if change.kind == "opened"]


def minute_of(stamp_ms: int) -> int:
    return (stamp_ms // 1000 - 1_760_000_040) // 60


@pytest.mark.parametrize(
    ("bad", "cohort"),
    [
        (in_brazil, {"country": "BR"}),
        (lambda m, who: 12.0 if during(m) and (who["country"], who["cdn"]) == ("US", "east") else 1.0,
         {"country": "US", "cdn": "east"}),
        (lambda m, who: 8.0 if during(m) and who["app_version"] == "1.1" else 1.0, {"app_version": "1.1"}),
        (lambda m, who: 12.0 if during(m) and who["content_id"] == "match" else 1.0, {"content_id": "match"}),
        (lambda m, who: 8.0 if during(m) else 1.0, {}),
    ],
)  # fmt: skip
def test_names_the_broadest_cohort_that_carries_it(bad: Bad, cohort: dict[str, str]) -> None:
    told = judge(service(75, bad))
    stalls = [alert for alert in opened(told) if alert.metric == "stalled_share"]
    assert [alert.cohort for alert in stalls] == [cohort], "its cells are under it, not beside it"
    assert stalls[0].covers > 0
    assert minute_of(stalls[0].opened_at) <= BEGINS + 3
    assert {change.alert.metric for change in told} <= {"stalled_share", "start_failure_rate"}
    closed = [change.alert for change in told if change.kind == "closed"]
    assert {alert.close_reason for alert in closed} <= {"recovered", "merged"}
    assert len(closed) == len(opened(told)), "what opened has closed"
    recovered = [alert for alert in closed if alert.close_reason == "recovered"]
    assert all(ENDS - 5 <= minute_of(alert.closed_at or 0) <= ENDS + 15 for alert in recovered)


def test_two_incidents_at_once_are_two_alerts() -> None:
    def bad(minute: int, who: dict[str, str]) -> float:
        hit = who["country"] == "JP" or (who["country"], who["cdn"]) == ("US", "north")
        return 15.0 if during(minute) and hit else 1.0

    found = [alert.cohort for alert in opened(judge(service(60, bad))) if alert.metric == "stalled_share"]
    assert sorted(found, key=len) == [{"country": "JP"}, {"country": "US", "cdn": "north"}]


@pytest.mark.parametrize("seed", range(2))
def test_nothing_happens_in_a_quiet_time(seed: int) -> None:
    assert opened(judge(service(70, seed=seed))) == []


def test_a_day_has_its_rhythm() -> None:
    """Stalls three times as frequent in the evening as at noon, as it comes and goes within hours, are no incident."""
    assert opened(judge(service(200, lambda m, _: 2 + math.sin(m / 720 * math.pi * 2)))) == []


def test_it_judges_from_the_eleventh_minute_on() -> None:
    told = judge(service(30, lambda m, who: 15.0 if m >= 12 and who["country"] == "BR" else 1.0))
    assert [a.cohort for a in opened(told) if a.metric == "stalled_share"] == [{"country": "BR"}]
    early = judge(service(10, lambda m, _: 30.0 if m >= 7 else 1.0))
    assert early == []


def test_an_incident_of_hours_does_not_become_normal_by_lasting() -> None:
    told = judge(service(170, lambda m, who: 12.0 if m >= 30 and who["country"] == "BR" else 1.0))
    assert [(c.kind, c.alert.metric) for c in told if c.alert.metric == "stalled_share"] == [
        ("opened", "stalled_share")
    ]


def test_what_is_stored_of_the_state_goes_on_where_it_was() -> None:
    """A restart: minutes that were judged teach again, what is open comes from the store."""
    minutes = list(service(75, in_brazil))
    evaluator, state = Evaluator(), State()
    before = []
    for minute in minutes[:50]:
        state, changes = evaluator.advance(state, minute)
        before += changes
    stored = msgspec.json.encode(state.tracked)
    again = State()
    for minute in minutes[:50]:
        again, _ = evaluator.advance(again, minute)
    again = replace(again, tracked=msgspec.json.decode(stored, type=tuple[Tracked, ...]))
    after = judge(minutes[50:], evaluator, again)
    assert before + after == judge(minutes)
    assert len({change.key for change in before + after}) == len(before + after)


def test_the_same_state_and_minute_give_the_same() -> None:
    evaluator, minutes = Evaluator(), list(service(50, in_brazil))
    state = State()
    for minute in minutes[:-1]:
        state, _ = evaluator.advance(state, minute)
    one, other = (evaluator.advance(state, minutes[-1]) for _ in range(2))
    assert (one[1], one[0].tracked) == (other[1], other[0].tracked)


def rule(**changed: object) -> Rule:
    told: dict[str, object] = {
        "title": '"t"', "metric": '"start_failure_rate"', "by": '["country"]', "above": 0.09, "over_minutes": 3,
        "least_sample": 50, "close_at": 0.04, "close_after_minutes": 3,
    }  # fmt: skip
    told |= changed
    return read("fails", "\n".join(f"{name} = {value}" for name, value in told.items()))


def test_a_rule_opens_once_and_closes_further_back() -> None:
    told = judge(service(80, in_brazil), Evaluator(Thresholds([rule()])))
    mine = [change for change in told if change.alert.rule == "fails"]
    assert [(c.kind, c.alert.cohort) for c in mine] == [("opened", {"country": "BR"}), ("closed", {"country": "BR"})]
    assert BEGINS < minute_of(mine[0].alert.opened_at) <= BEGINS + 8
    assert mine[1].alert.value is not None
    assert mine[1].alert.value <= 0.04


def test_a_rule_s_value_is_the_metric_s() -> None:
    minutes = list(service(5, in_brazil, seed=3))
    [(_, readings)] = Thresholds([rule()]).read(minutes)
    for reading in readings:
        rows = [cohorts(minute)[reading.cohort] for minute in minutes[-3:]]
        failed, plays = (sum(cells[PART[part]] for cells in rows) for part in ("start_failures", "plays"))
        assert (reading.value, reading.sample) == (pytest.approx(failed / plays), plays)
    half = rule(metric='"startup_quantile_ms"', argument=0.5, above=1000, close_at=900, by="[]")
    [(_, [median])] = Thresholds([half]).read(minutes)
    assert median.value == pytest.approx(math.exp(7.2), rel=0.15)
    assert Thresholds([rule()]).read(minutes[:2]) == [(rule(), [])], "half a stretch is no value of the whole one"


def test_what_is_not_there_any_more_closes() -> None:
    minutes = list(service(50, in_brazil))
    empty = [MinuteRows(minutes[-1].minute_s + 60 * n, {}) for n in range(1, 10)]
    told = judge([*minutes, *empty], Evaluator(Thresholds([rule()])))
    assert [change.kind for change in told if change.alert.rule == "fails"] == ["opened", "closed"]


PAIRS = st.lists(st.tuples(st.sampled_from(["country", "cdn", "device_type"]), st.sampled_from("abc")), max_size=3)


@given(PAIRS, PAIRS)
@settings(max_examples=100, deadline=None)
def test_overlaps(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    first, second = make(dict(one).items()), make(dict(other).items())
    both = overlap(first, second)
    assert both == overlap(second, first)
    if both is not None:
        assert contains(first, both)
        assert contains(second, both)
    if contains(first, second):
        assert both == second


def test_the_question_of_an_alert() -> None:
    [alert, *_] = [a for a in opened(judge(service(60, in_brazil))) if a.metric == "stalled_share"]
    assert alert.rule == AUTOMATIC
    asked = question(alert)
    assert asked.startswith("metric=stalled_share&by=cdn&by=app_version&where=country%3ABR&from=")
