"""Lag and speed of the page Pipeline, and what the lake's logs tell it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.errors import ProcessError
from infra.kafka_positions import Place, Positions
from infra.settings import Settings
from schemas.registry import PLAYBACK
from tests.browser.machinery import Machinery
from warehouse.dashboard.pipeline import Pipeline
from warehouse.dashboard.pipeline_flow import AWAY_S, FlowWatch
from warehouse.dashboard.pipeline_lake import LakeWatch

PLACE = (PLAYBACK.name, 0)


class Told(Positions):
    """A broker as a test has it."""

    def __init__(self) -> None:
        self.end = 0
        self.sink: int | None = None
        self.is_away = False
        self.asked = 0

    def ends(self, topics: Sequence[str]) -> dict[Place, int]:
        self.asked += 1
        if self.is_away:
            msg = "no broker"
            raise ProcessError(msg)
        return {PLACE: self.end}

    def committed(self, group: str, places: Sequence[Place]) -> dict[Place, int]:
        return {} if self.sink is None else {PLACE: self.sink}

    def close(self) -> None:
        """Nothing is held."""


def test_lag_and_speed_over_the_last_readings() -> None:
    told, now = Told(), 0.0
    watch = FlowWatch(Settings(), told, lambda: now)
    [silent] = watch.read({}, 0).partitions
    assert (silent.sink_lag, silent.worker_lag, silent.in_per_s) == (0, None, None), "an empty partition"
    told.end, told.sink, now = 1_000, 900, 10.0
    [first] = watch.read({PLACE: 940}, 10_000).partitions
    assert (first.sink_lag, first.worker_lag, first.in_per_s, first.sink_per_s) == (100, 60, 100.0, None)
    for now in (15.0, 20.0, 25.0, 30.0, 35.0, 40.0):
        told.end += 50
        told.sink += 100
        flow = watch.read({PLACE: 940}, round(now * 1000))
    [last] = flow.partitions
    assert (last.in_per_s, last.sink_per_s, last.worker_per_s) == (10.0, 20.0, 0.0), "the first readings are forgotten"
    told.end, told.sink, now = 3, 3, 41.0
    assert watch.read({}, 0).partitions[0].in_per_s is None, "the topic was made anew"


def test_a_broker_that_is_away_is_asked_seldom_and_its_last_word_stays() -> None:
    told, now = Told(), 0.0
    watch = FlowWatch(Settings(), told, lambda: now)
    told.end = told.sink = 7
    watch.read({}, 1)
    told.is_away, now = True, 5.0
    flow = watch.read({}, 5_000)
    assert (flow.problem, flow.read_at, flow.partitions[0].end) == ("no broker", 1, 7)
    now = 5.0 + AWAY_S / 2
    assert watch.read({}, 0).problem == "no broker"
    assert told.asked == 2
    told.is_away, now = False, 6.0 + AWAY_S
    assert watch.read({}, 9_000) == watch.read({}, 9_000)
    assert watch.read({}, 9_000).problem == ""


@pytest.fixture
def machinery(settings: Settings) -> Machinery:
    return Machinery(settings)


def test_what_was_published_and_checked(machinery: Machinery, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier, current = machinery.publish(40, restated=0), machinery.publish(9, restated=3)
    machinery.processes()
    pipeline = Pipeline(machinery.settings, clock=lambda: 0.0)
    monkeypatch.setattr(pipeline, "_flow", FlowWatch(machinery.settings, Told()))
    view = pipeline.view()
    assert [(one.publish_id, one.rows, one.is_current) for one in view.publishes] == [
        (current, 63, True),
        (earlier, 60, False),
    ]
    assert [one.layer for one in view.audits] == ["gold", "silver", "gold", "silver"]
    assert [(one.passed, one.warnings, one.failed) for one in view.audits[:2]] == [(2, 0, 0), (2, 1, 0)]
    assert view.restated_total == len(view.restated) == 3
    tables = {one.table: one for one in view.tables}
    gold = tables["gold.quality_minute"]
    assert (gold.version, gold.published_version, gold.rows, gold.as_of) == (1, 1, 60, view.publishes[0].as_of)
    assert (tables["DuckDB files"].rows, view.supervisor) == (60 + 3 + 3, "up")
    assert [one.name for one in view.processes if not one.is_well] == ["airflow-triggerer"]
    assert pipeline.view() is view, "kept for a moment"
    pipeline.close()


def test_a_damaged_table_is_named_and_the_others_are_told(machinery: Machinery) -> None:
    machinery.publish(9, restated=0)
    log = f"{machinery.settings.lake_root}/gold/quality_minute/_delta_log/{0:020}.json"
    with open(log, "w") as file:  # noqa: PTH123 - as something broke it
        file.write("{")
    watch = LakeWatch(machinery.settings)
    from warehouse import publication

    tables, problem = watch.tables(publication.current(machinery.settings.warehouse))
    assert problem.startswith("gold.quality_minute: ")
    assert {one.table for one in tables} == {"silver.sessions", "gold.restatements"}


def test_no_letters_are_no_fault(settings: Settings) -> None:
    letters: Any = LakeWatch(settings).letters(datetime(2026, 1, 15, 5, 30, tzinfo=UTC))
    assert (letters.counts, letters.newest, letters.problem) == ([], [], "")
    assert letters.first_hour_at == datetime(2026, 1, 14, tzinfo=UTC).timestamp() * 1000
