"""The platform against the simulation's truth: exact without a fault, within stated bounds with one; loss measured."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from infra.errors import SettingsError
from infra.settings import ROOT
from schemas.metrics.registry import METRICS
from schemas.registry import PLAYBACK
from streams.intake.accuracy import report
from streams.intake.accuracy.bounds import SCENARIOS, Scenario
from streams.intake.accuracy.metrics import QUESTIONS, of_platform, of_truth
from streams.intake.accuracy.platform import measure
from streams.intake.simulate import arriving, run
from streams.intake.simulation.audience import Audience
from streams.intake.simulation.faults import Faults, Tally, spoil
from streams.intake.simulation.traces import TracedLine, read_traces
from streams.intake.simulation.truth import Truth, write
from streams.intake.targets import ToFile

FEW, MANY = 120, 1_350
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def by_fault() -> report.Report:
    return report.run(FEW, 5, scenarios=SCENARIOS[1:])


def test_every_metric_of_the_registry_is_exact_without_a_fault() -> None:
    found = report.run(MANY, 7, scenarios=SCENARIOS[:1])
    assert found.sessions > 2_000
    [judged] = found.judged
    asked = {question.metric.name for question in QUESTIONS}
    assert asked == {metric.name for metric in METRICS.values() if metric.level == "aggregate"}
    assert {name: error for name, error in judged.errors.items() if error != 0} == {}
    # Metrics of a session, session by session.
    assert judged.sessions_that_differ == 0
    assert {metric.name for metric in METRICS.values() if metric.level == "session"} <= set(report.OF_A_SESSION)
    # Nothing is right for having no value, or for being zero on both sides.
    assert {name for name, value in found.truth.items() if not value} == {"event_loss_rate"}


@pytest.mark.parametrize("place", range(len(SCENARIOS) - 1), ids=[one.name for one in SCENARIOS[1:]])
def test_every_metric_is_within_its_stated_bound_with_a_fault(by_fault: report.Report, place: int) -> None:
    judged = by_fault.judged[place]
    one = report.Report(by_fault.sessions, by_fault.events, by_fault.truth, [judged])
    # Of so few sessions a single lost event is more than of many; what is exact is exact of any number.
    assert report.beyond_bounds(one, slack=4) == []
    is_exact = judged.scenario.percent == 0
    assert (judged.sessions_that_differ == 0) == is_exact, "a fault that changes nothing was not injected"


def test_a_metric_that_is_off_is_named() -> None:
    """The report would see an error: of a platform that never heard of 1 % of the events, and states no bound."""
    strict = Scenario("loss", "", Faults(loss=0.01))
    found = report.run(60, 5, scenarios=[strict])
    assert any("event" in line or "startups" in line for line in report.beyond_bounds(found))


def test_lost_events_are_measured_by_device_and_app_version() -> None:
    """1 % lost is measured as 1 %, ± 0.1 points; of each group as it was lost there."""
    audience = Audience(11, 500, report.END_MS - report.WINDOW_MS, report.END_MS, scale=report.SCALE)
    sent = [event for event in audience.events(to_the_end=True) if event.topic == PLAYBACK.name]
    arrived = list(spoil(sent, 11, Faults(loss=0.01)))
    side = of_platform(measure(arrived), [])
    ((total,),) = side.con.execute("SELECT event_loss_rate(events_missing, events_expected) FROM views").fetchall()
    assert total == pytest.approx(0.01, abs=0.001)
    came = {record.value for record in arrived}
    of, lost = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for event in sent:
        told = msgspec.json.decode(event.value)
        if "seq" in told:
            group = told["deviceType"], told["appVersion"]
            of[group] += 1
            lost[group] += event.value not in came
    query = "SELECT device_type, app_version, event_loss_rate(events_missing, events_expected) FROM views GROUP BY ALL"
    measured = {(device, app): rate for device, app, rate in side.con.execute(query).fetchall() if app}
    assert measured.keys() == of.keys() and len(of) >= 12
    for group, rate in measured.items():
        # What is lost at the ends of sessions leaves no gap: in small groups chance makes that visible.
        assert rate == pytest.approx(lost[group] / of[group], abs=0.001 + 2 / of[group]), group


def test_the_estimate_of_lost_events_is_not_biased_in_short_sessions() -> None:
    """Sessions of five events of which each is lost with 10 %: ends that came by definition are not counted."""
    rng = random.Random(3)
    missing = expected = 0
    for _ in range(20_000):
        came = [number for number in range(1, 6) if rng.random() >= 0.1]
        if came:
            missing += came[-1] - came[0] + 1 - len(came)
            expected += max(0, came[-1] - came[0] - 1)
    assert missing / expected == pytest.approx(0.1, abs=0.01)


def test_the_truth_is_written_beside_the_events(tmp_path: Path) -> None:
    truths: list[Truth] = []
    tally = Tally()
    audience = Audience(3, 60, report.END_MS - 1_800_000, report.END_MS)
    faults = Faults(loss=0.05, lateness=0.02, skew=0.2, drift=0.2)
    records = arriving(audience, faults=faults, catalogue=False, truths=truths, tally=tally)
    done = run(records, ToFile(tmp_path / "events.ndjson"), tally=tally)
    count = write(truths, tmp_path / "truth.jsonl", audience.end_ms)
    rows: list[dict[str, Any]] = [msgspec.json.decode(line) for line in (tmp_path / "truth.jsonl").open("rb")]
    assert len(rows) == count > 40
    whole = [row for row in rows if row["is_whole"]]
    assert 0 < len(whole) < count, "some still watch when the window ends"
    assert all(row["end_reason"] != "open" and row["ended_ms"] < audience.end_ms for row in whole)
    assert all(sum(one["end_ms"] - one["begin_ms"] for one in row["watching"]) == row["watched_ms"] for row in rows)
    told = done.as_dict()["topics"][PLAYBACK.name]  # type: ignore[index]
    assert told["lost"] > 0 and told["delayed"] > 0 and told["changed"] > 0
    # Loss is counted where it happens: what was sent and what was lost is all there was.
    assert told["sent"] + told["lost"] == sum(e.topic == PLAYBACK.name for e in audience.events())


def test_a_fault_has_its_own_dice() -> None:
    """More of one changes nothing of another, so that scenarios compare."""
    sent = list(Audience(3, 60, report.END_MS - 1_800_000, report.END_MS).events())
    broken = {record.value for record in spoil(sent, 1, Faults(broken=0.05)) if record.kind == "broken"}
    both = {record.value for record in spoil(sent, 1, Faults(broken=0.05, disorder=0.3)) if record.kind == "broken"}
    assert broken == both


class Download(NamedTuple):
    at_ms: int
    kilobits: float
    took_ms: int


def test_a_traced_line_takes_as_long_as_the_trace_says(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("trace,t_sec,throughput\na,0,1\na,10,4\na,20,2\na,40,2\n")
    [trace] = read_traces(tmp_path).traces
    line = TracedLine(trace, offset_s=0, rtt_ms=50)
    downloads = (Download(0, 950, 1_000), Download(10_000, 4_000, 1_050), Download(9_000, 950 + 400, 1_100))
    for at_ms, kilobits, took_ms in downloads:
        assert line.download_ms(at_ms, kilobits) == took_ms
    # 60 s long: 1, 4, 2, 2 Mbit/s; what is left of the last second, then from the beginning again.
    assert line.download_ms(59_000, 2_000) == 50 + 950 + 100
    with pytest.raises(SettingsError, match="30 s"):
        read_traces(ROOT / "tests" / "streams" / "intake" / "test_accuracy.py")


def test_recorded_lines_may_drive_the_players() -> None:
    if not (DATA / "norway_hsdpa.csv.gz").exists():
        pytest.skip("no recorded bandwidth here")
    traces = read_traces(DATA / "norway_hsdpa.csv.gz")
    assert len(traces.traces) == 80
    truths: list[Truth] = []
    audience = Audience(2, 40, report.END_MS - report.WINDOW_MS, report.END_MS, scale=report.SCALE, traces=traces)
    measured = measure(spoil(audience.events(truths, to_the_end=True), 2, Faults()))
    slow, found = of_truth(truths, []).answers(), of_platform(measured, []).answers()
    assert slow == found | {"event_loss_rate": None}
    # Buses and trams of 2010: about 1 Mbit/s.
    assert 300 < (slow["average_bitrate_kbps"] or 0) < 2_000 and (slow["stall_count"] or 0) > 0


@pytest.mark.long
def test_the_table_of_the_page_is_what_the_report_gives() -> None:
    page = (ROOT / "docs" / "simulator.md").read_text()
    found = report.run(report.VIEWERS, report.SEED)
    assert report.beyond_bounds(found) == []
    assert report.text(found) in page
