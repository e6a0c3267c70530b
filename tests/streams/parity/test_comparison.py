"""What a comparison tells: metrics by their own definitions, with the causes of their parts; and what is kept of it."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from deltalake import DeltaTable

from infra.settings import Settings
from schemas.parity import Comparison, MetricParity, history_path, recent
from streams.parity import history
from streams.parity.history import remember, telling
from streams.parity.text import as_json, as_text, trend
from tests.batch.world import START, numbered
from tests.streams.parity.test_explain import VIEWING, event
from tests.streams.parity.world import World, places

END = START + timedelta(hours=1)
OVERTAKEN = event(20, "pause", 5, received_s=62)
"""Live learns of the pause when the minute in which it was is over: 41 s too much are playing."""


def metric(found: list[MetricParity], name: str) -> MetricParity:
    [one] = (one for one in found if one.metric.startswith(f"{name}("))
    return one


@pytest.fixture
def overtaken(settings: Settings) -> Comparison:
    return World(numbered([*VIEWING, OVERTAKEN]), settings).comparison(END, cutover=END)


def test_a_metric_is_compared_over_all_and_by_row_with_the_causes_of_its_parts(overtaken: Comparison) -> None:
    playing = metric(overtaken.metrics, "playing_time_ms")
    assert (playing.live, playing.batch, playing.causes) == (60_000, 19_000, ["order"])
    startup = metric(overtaken.metrics, "startup_quantile_ms")
    assert startup.live == startup.batch is not None
    assert (startup.causes, startup.title) == ([], "Startup time, quantile, q = 0.95")
    of_title = [row for row in overtaken.differing if row.rollup == "title"]
    assert {row.dimensions["content_id"] for row in of_title} == {"t1"}
    assert sum(metric(row.metrics, "playing_time_ms").difference or 0 for row in of_title) == 19_000 - 60_000
    assert all(one.live != one.batch and one.causes for row in overtaken.differing for one in row.metrics)


def test_metrics_are_of_minutes_that_both_sides_hold_whole(settings: Settings) -> None:
    sent = numbered([*VIEWING, event(200, "play", 0, session="s2")])
    [place] = places(sent)
    minute = START + timedelta(minutes=3)
    found = World(sent, settings, batch_cut={place: 4}).comparison(END, cutover=minute)
    assert (found.rows, found.rows_equal, found.whole_rows, found.whole_rows_equal) == (12, 8, 8, 8)
    assert all(one.live == one.batch for one in found.metrics)
    assert metric(found.metrics, "attempt_count").live == 1, "the second is still open"
    assert [row.metrics for row in found.differing] == [[]] * 4
    before = World(sent, settings, batch_cut={}).comparison(END)
    assert (before.whole_rows, {one.live for one in before.metrics}) == (0, {None})


def test_a_minute_behind_the_cut_over_has_parts_and_no_metrics(settings: Settings) -> None:
    minute = START + timedelta(minutes=1)
    found = World(numbered([*VIEWING, OVERTAKEN]), settings).comparison(END, cutover=minute)
    assert {(row.minute < minute, bool(row.metrics)) for row in found.differing} == {(True, True), (False, False)}
    assert all(row.parts for row in found.differing)


def test_a_wrong_number_is_named_in_its_metric(settings: Settings) -> None:
    world = World(numbered(VIEWING), settings)
    rows = world.batch_rows()
    key = next(key for key in rows if key.rollup == "total" and rows[key]["playing_ms"])
    rows[key]["playing_ms"] += 1
    found = world.comparison(END, cutover=END, batch_rows=rows)
    assert not found.holds
    assert metric(found.metrics, "playing_time_ms").causes == ["unexplained"]
    [row] = (row for row in found.differing if not row.is_explained)
    assert [part.batch_unexplained for part in row.parts] == [1]
    assert {one.part: one.batch_unexplained for one in found.parts if not one.is_explained} == {"playing_ms": 1}
    lost = [row for row in world.live_rows() if row.key != key]
    half = world.comparison(END, cutover=END, live_rows=lost)
    [playing] = (one for one in half.parts if one.part == "playing_ms")
    assert playing.live_unexplained == -world.batch_rows()[key]["playing_ms"] < 0
    assert "UNEXPLAINED: batch should be" in as_text(found)
    assert msgspec.json.decode(as_json(found))["holds"] is False


def test_what_tells_most_is_kept(overtaken: Comparison) -> None:
    wrong = msgspec.structs.replace(
        overtaken.differing[1], parts=[msgspec.structs.replace(overtaken.differing[1].parts[0], live_unexplained=1)]
    )
    kept = telling([*overtaken.differing, wrong], most=3)
    assert kept[0] is wrong
    assert [row.rollup for row in kept[1:]] == ["total", "total"]
    assert kept[1].minute > kept[2].minute
    over_all = [row for row in overtaken.differing if row.rollup == "total"] * 100
    assert {row.rollup for row in telling([*over_all, overtaken.differing[-1]], most=200)[60:61]} != {"total"}


def test_comparisons_are_remembered_as_they_were_and_not_for_ever(
    settings: Settings, overtaken: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recent(settings.lake_root, 5) == []
    monkeypatch.setattr(history, "MOST_FILES", 3)
    made = [msgspec.structs.replace(overtaken, made_at=END + timedelta(days=day)) for day in (0, 1, 2, 40)]
    for one in made[:3]:
        remember(settings, one)
    whole = msgspec.structs.replace(overtaken, differing=telling(overtaken.differing))
    assert recent(settings.lake_root, 1, whole=True) == [msgspec.structs.replace(whole, made_at=made[2].made_at)]
    assert [one.made_at for one in recent(settings.lake_root, 2)] == [one.made_at for one in made[1:3]]
    assert recent(settings.lake_root, 1)[0].differing == []
    remember(settings, made[3])
    table = DeltaTable(history_path(settings.lake_root))
    assert len(table.file_uris()) == 1
    assert [one.made_at for one in recent(settings.lake_root, 9)] == [made[3].made_at]
    assert "0 unexplained; events 5" in trend(recent(settings.lake_root, 9))
    assert trend([]) == "no comparison is remembered yet"
