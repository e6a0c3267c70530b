"""A metric by cohort against plain arithmetic over the sessions and minutes that the warehouse was made of."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest

from infra.errors import QueryError
from schemas.metrics.registry import METRICS
from schemas.quality import DIMENSIONS as QUALITY_DIMENSIONS
from schemas.quality import PARTS, ROLLUPS
from tests.browser.views import SICK, Views, shared
from tests.warehouse.lake import NOON, QUALITY_SCHEMA, Lake, quality_row
from warehouse import attach, build
from warehouse.dashboard import cohort_sql, stretch
from warehouse.dashboard.cohorts import Explorer, Question, catalog, measure_of
from warehouse.dashboard.measures import DIMENSIONS, MEASURES, plan

DAY_S = 86_400


@pytest.fixture(scope="module")
def views() -> Views:
    return shared()


@pytest.fixture(scope="module")
def explorer(views: Views) -> Iterator[Explorer]:
    opened = Explorer(views.settings.warehouse)
    yield opened
    opened.close()


def asked(metric: str, **values: Any) -> Question:
    return Question(measure=measure_of(metric), **{"span_s": DAY_S, **values})


def total(rows: list[dict[str, Any]], part: str) -> int:
    return sum(row[part] or 0 for row in rows)


def test_minutes_answer_over_history_and_live(views: Views, explorer: Explorer) -> None:
    found = explorer.cohorts(asked("stalled_share", by=("country", "device_type"), least=1))
    assert (found.basis.source, found.basis.why) == ("minutes", "")
    everything = views.minutes("total")
    assert {row["minute"] < views.cutover for row in everything} == {True, False}, "both sides of the cut-over"
    assert found.whole is not None
    assert found.whole.value == pytest.approx(total(everything, "stall_ms") / total(everything, "watched_ms"))
    assert found.whole.sample == pytest.approx(total(everything, "watched_ms") / 60_000)
    for cell in found.cells:
        country, device = cell.values
        rows = views.minutes("country_device", country=country, device_type=device)
        watched = total(rows, "watched_ms")
        assert cell.value == (pytest.approx(total(rows, "stall_ms") / watched) if watched else None)
    assert tuple(found.cells[0].values) == SICK
    assert found.totals[0].values == [SICK[0]]


def test_worst_first_and_small_samples_last(explorer: Explorer) -> None:
    found = explorer.cohorts(asked("stalled_share", by=("country",), least=20))
    ranked, small = found.cells[: found.small_from], found.cells[found.small_from :]
    assert ranked
    assert small, "a world without a small cohort tells nothing"
    assert [c.value for c in ranked] == sorted((c.value for c in ranked), key=lambda value: -(value or 0))
    assert min(c.sample or 0 for c in ranked) >= 20 > max(c.sample or 0 for c in small)
    bitrates = explorer.cohorts(asked("average_bitrate_kbps", by=("country",))).cells
    known = [c.value for c in bitrates if c.value is not None]
    assert known == sorted(known), "of a bitrate the lowest is the worst"


def test_sessions_answer_what_no_rollup_keeps(views: Views, explorer: Explorer) -> None:
    where = (("country", SICK[0]), ("device_type", SICK[1]))
    found = explorer.cohorts(asked("stalled_share", by=("cdn", "app_version"), where=where))
    assert found.basis.source == "sessions"
    assert found.basis.why == "No rollup of minutes keeps country, device, CDN and app version together."
    assert found.basis.stop_at == round(views.cutover.timestamp() * 1000), "live has no sessions"
    sick = views.cohort(country=SICK[0], device_type=SICK[1])
    assert found.whole is not None
    assert found.whole.value == pytest.approx(total(sick, "stall_ms") / total(sick, "watched_ms"))
    for cell in found.cells:
        rows = views.cohort(country=SICK[0], device_type=SICK[1], cdn=cell.values[0], app_version=cell.values[1])
        assert cell.sample == pytest.approx(total(rows, "watched_ms") / 60_000)


def test_startup_quantile_of_sessions_lies_in_its_bucket(views: Views, explorer: Explorer) -> None:
    found = explorer.cohorts(asked("startup_p95_ms", by=("content_id", "country")))
    startups = sorted(row["startup_ms"] for row in views.cohort() if row["startup_ms"] is not None)
    true = startups[round(0.95 * len(startups)) - 1]
    assert found.whole is not None
    assert found.whole.sample == len(startups)
    assert true / 1.2 <= (found.whole.value or 0) <= true * 1.2


def test_distinct_viewers_are_no_sum(views: Views, explorer: Explorer) -> None:
    found = explorer.cohorts(asked("unique_viewers_exact", by=("country",)))
    assert found.whole is not None
    assert found.whole.value == len({row["user_id"] or row["session_id"] for row in views.cohort()})
    for cell in found.cells:
        rows = views.cohort(country=cell.values[0])
        assert cell.value == len({row["user_id"] or row["session_id"] for row in rows})


def test_the_trend_adds_up_and_stands_beside_everything(views: Views, explorer: Explorer) -> None:
    found = explorer.trend(asked("attempt_count", where=(("country", SICK[0]),), span_s=7_200))
    running = views.at.replace(second=0, microsecond=0)
    rows = [row for row in views.minutes("country_device", country=SICK[0]) if row["minute"] < running]
    assert sum(value or 0 for value in found.cohort.value) == total(rows, "plays")
    assert sum(value or 0 for value in found.everything.value) > total(rows, "plays")
    assert found.step_s == 60
    assert all(at % 60_000 == 0 for at in found.cohort.at)


def test_a_sum_over_time_is_made_of_whole_steps(
    views: Views, explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretch, "POINTS", 12)
    plays: Counter[int] = Counter()
    for row in views.minutes("country_device"):
        plays[int(row["minute"].timestamp()) // 300 * 300_000] += row["plays"]
    for minutes in range(50, 55):  # most of them begin within a step
        found = explorer.trend(asked("attempt_count", span_s=60 * minutes))
        line = found.everything
        assert found.step_s == 300
        assert line.value == [plays[at] for at in line.at]
        assert len(line.at) >= 9


def test_sessions_of_a_cohort_worst_first(views: Views, explorer: Explorer) -> None:
    where = (("country", SICK[0]), ("device_type", SICK[1]))
    found = explorer.sessions(asked("stalled_share", where=where))
    sick = views.cohort(country=SICK[0], device_type=SICK[1])
    assert found.total == len(found.sessions) == len(sick)
    assert [s.stall_ms for s in found.sessions] == sorted((row["stall_ms"] for row in sick), reverse=True)
    first = found.sessions[0]
    [row] = [row for row in sick if row["session_id"] == first.session_id]
    assert first.value == pytest.approx(row["stall_ms"] / row["watched_ms"])
    assert first.started_at == round(row["started_at"].timestamp() * 1000)


def test_an_unknown_value_is_a_cohort_like_any_other(views: Views, explorer: Explorer) -> None:
    found = explorer.cohorts(asked("session_count", by=("country",)))
    nameless = next((cell for cell in found.cells if cell.values == [None]), None)
    inside = explorer.cohorts(asked("session_count", by=("device_type",), where=(("country", None),)))
    expected = len(views.cohort(country=None))
    assert (nameless.value if nameless else 0) == expected
    assert (inside.whole.value if inside.whole else 0) == expected


@pytest.mark.parametrize("name", [name for name, measure in MEASURES.items() if not measure.why_not])
def test_every_measure_is_answered_from_both_sources(explorer: Explorer, name: str) -> None:
    for by in (("country",), ("country", "region")):
        question = asked(name, by=by)
        assert explorer.cohorts(question).whole is not None
        assert explorer.trend(question).everything.at
    assert explorer.sessions(asked(name)).sessions


def test_the_same_question_is_asked_once_a_second(views: Views, explorer: Explorer) -> None:
    """Behind the answer to whoever asks first. Of days more seldom: an answer says itself up to when it is whole."""
    of_an_hour = asked("startup_p50_ms", by=("country",), span_s=3_600)
    of_a_day = asked("startup_p50_ms", by=("country",))
    before, before_of_day = explorer.cohorts(of_an_hour), explorer.cohorts(of_a_day)
    assert explorer.cohorts(of_an_hour) is before
    views.at += timedelta(seconds=1)
    views.write_live()
    assert explorer.cohorts(of_an_hour) is before
    explorer.catch_up()
    assert explorer.cohorts(of_an_hour) is not before
    assert explorer.cohorts(of_a_day) is before_of_day
    views.at += timedelta(seconds=DAY_S / 3_600)
    views.write_live()
    explorer.cohorts(of_a_day)
    explorer.catch_up()
    assert explorer.cohorts(of_a_day) is not before_of_day


def test_hours_give_what_their_minutes_give(lake: Lake) -> None:
    """Every metric of minutes, over a stretch that begins and ends within an hour and goes on beyond the cut-over."""
    drawn = random.Random(4)
    rows = []
    for minute in range(5 * 60):
        at = NOON - timedelta(minutes=minute + 1)
        for country, cdn in (("DE", "a"), ("DE", None), ("FR", "a")):
            values = {part: drawn.randrange(1_000) for part in PARTS}
            told = {"country": country, "device_type": "web", "app_version": "1", "cdn": cdn}
            rows.append(quality_row(at, "each", [drawn.randrange(100, 9_000)], **values, **told))
    each = pa.Table.from_pylist(rows, schema=QUALITY_SCHEMA)
    kept = f"{', '.join(f'sum({part})::BIGINT AS {part}' for part in PARTS)}, startup_histogram_sum(startup_histogram)"
    with attach.connect(400_000_000, 2) as connection:
        connection.register("each_minute", each)
        ask = "SELECT play_date, '{}' AS rollup, minute, {}, {} AS startup_histogram FROM each_minute GROUP BY ALL"
        minutes = [
            connection.execute(
                ask.format(
                    rollup, ", ".join(d if d in dims else f"NULL::VARCHAR AS {d}" for d in QUALITY_DIMENSIONS), kept
                )
            ).to_arrow_table()
            for rollup, dims in ROLLUPS.items()
        ]
        by = "country, device_type, cdn, app_version"
        hourly = connection.execute(
            f"SELECT play_date, date_trunc('hour', minute) AS hour, {by}, {kept} AS startup_histogram "
            "FROM each_minute GROUP BY ALL"
        ).to_arrow_table()
    written = pa.concat_tables(minutes).to_pylist()
    versions = {"gold.quality_minute": lake.write("gold.quality_minute", written, QUALITY_SCHEMA)}
    answers = []
    for publish_id in ("minutes", "hours"):
        lake.request(publish_id, versions, NOON)
        build.build(lake.settings)
        explorer = Explorer(lake.settings.warehouse)
        start, stop = (int((NOON - timedelta(minutes=back)).timestamp()) for back in (250, 13))
        questions = [
            Question(measure=measure, by=("country", "cdn"), start=start, stop=stop)
            for measure in MEASURES.values()
            if plan(measure, frozenset({"country", "cdn"})).source == "minutes"
        ]
        answers.append([replace_publish(explorer.cohorts(question)) for question in questions])
        long = [replace(question, by=(), where=(("country", "DE"),), start=stop - 31 * DAY_S) for question in questions]
        answers[-1] += [replace_publish(explorer.trend(question)) for question in long]
        assert bool(explorer._columns("quality_hourly")) == (publish_id == "hours")
        explorer.close()
        versions["gold.quality_hourly"] = lake.write("gold.quality_hourly", hourly.to_pylist(), hourly.schema)
    assert len(answers[0]) > 30
    assert answers[0] == answers[1]


def replace_publish(answer: Any) -> dict[str, Any]:
    """The answer, but for the publish that it comes from."""
    told: dict[str, Any] = msgspec.to_builtins(answer)
    del told["basis"]["publish"]
    return told


def test_what_cannot_be_answered_says_why(explorer: Explorer) -> None:
    found = explorer.cohorts(asked("ad_fill_rate", by=("country",)))
    assert (found.basis.source, found.cells, found.whole) == (None, [], None)
    assert "gold.ads_daily" in found.basis.why


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"by": ("country", "country")}, "one or two different ones"),
        ({"by": ("1; DROP TABLE x",)}, "got 1; DROP TABLE x"),
        ({"where": (("password", "x"),)}, "got password"),
        ({"span_s": 0, "start": 10, "stop": 5}, "got -5 s"),
        ({"span_s": 10**9}, "expected a stretch of 60 to"),
    ],
)
def test_what_is_no_question_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        asked("stalled_share", **values)
    with pytest.raises(QueryError, match="expected a metric out of"):
        measure_of("stalled_share(stall_ms, watched_ms)")


def test_the_catalogue_is_the_metrics(views: Views) -> None:
    told = {option.name: option for option in catalog().measures}
    of_metrics = {measure.metric.name for measure in MEASURES.values()}
    assert of_metrics == {name for name, metric in METRICS.items() if metric.level == "aggregate"}
    assert {name: option.worse for name, option in told.items()} == {n: m.metric.worse for n, m in MEASURES.items()}
    assert {dimension for kept in ROLLUPS.values() for dimension in kept} <= set(DIMENSIONS)
    assert plan(MEASURES["stalled_share"], frozenset({"cdn", "country"})).rollup == "cdn_app_country"
    assert plan(MEASURES["stalled_share"], frozenset()).rollup == "total"


def test_a_question_under_way_does_not_hold_up_the_end(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = "SELECT count(*) FROM range(100000000000) AS a(i) WHERE hash(i) = 1"
    monkeypatch.setattr(cohort_sql, "cohorts", lambda *_, **__: endless)
    timer = threading.Timer(0.3, explorer.interrupt)
    timer.start()
    with pytest.raises(duckdb.InterruptException):
        explorer.cohorts(asked("stall_count", by=("cdn",)))
