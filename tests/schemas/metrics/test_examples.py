"""Every worked example: its events, through the fold and the macro, give the number that was worked by hand."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from schemas.metrics.example import facts
from schemas.metrics.metric import SOURCES, Example, Metric
from schemas.metrics.page import tables_of
from schemas.metrics.parts import VIEW_PARTS
from schemas.metrics.registry import METRICS, SESSION_METRICS, SUBJECTS
from schemas.quality import PARTS
from tests.schemas.metrics.relations import RELATIONS, connection

EXAMPLES = [(metric, example) for metric in METRICS.values() for example in metric.examples]
IDS = [f"{metric.name}-{metric.examples.index(example)}" for metric, example in EXAMPLES]


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with connection([example for _, example in EXAMPLES]) as opened:
        yield opened


def tables_with(con: duckdb.DuckDBPyConnection, metric: Metric) -> list[str]:
    """The relations that have all parts of a metric."""
    if metric.level == "session":
        return ["views"]
    found = con.execute("SELECT table_name, list(column_name) FROM duckdb_columns() GROUP BY 1").fetchall()
    return [name for name, columns in found if name in RELATIONS and set(columns) >= set(metric.parts)]


@pytest.mark.parametrize("place", range(len(EXAMPLES)), ids=IDS)
def test_worked_example(con: duckdb.DuckDBPyConnection, place: int) -> None:
    metric, example = EXAMPLES[place]
    tables = tables_with(con, metric)
    assert tables, f"no table has {', '.join(metric.parts)}"
    for table in tables:
        query = f"SELECT {metric.call(example.call)} FROM {table} WHERE example = {place}"
        ((value,),) = con.execute(query).fetchall()
        assert value == (pytest.approx(example.value) if isinstance(example.value, float) else example.value), table


@pytest.mark.parametrize("metric", SESSION_METRICS, ids=lambda metric: metric.name)
def test_a_column_of_a_session_is_what_its_macro_gives(con: duckdb.DuckDBPyConnection, metric: Metric) -> None:
    """`session_quality` and gold take the expression with its defaults, users the macro: both are one."""
    assert con.execute(f"FROM views WHERE {metric.name} IS DISTINCT FROM {metric.call()}").fetchall() == []


def test_minutes_and_whole_sessions_agree_on_the_parts_that_both_have(con: duckdb.DuckDBPyConnection) -> None:
    """In every example. No minute knows that an attempt that fell silent was an exit."""
    shared = sorted(VIEW_PARTS.keys() & PARTS.keys())
    known = {"exits_before_start": " FILTER (end_reason <> 'timeout')"}
    of_minutes = ", ".join(f"sum({part}) AS {part}" for part in shared)
    of_views = ", ".join(f"coalesce(sum({part}){known.get(part, '')}, 0) AS {part}" for part in shared)
    queries = (
        f"SELECT example, {of_minutes} FROM minutes GROUP BY example",
        f"SELECT example, {of_views} FROM views GROUP BY example",
    )
    minutes, views = (con.execute(f"{query} ORDER BY example").fetchall() for query in queries)
    assert len(minutes) > 50 and minutes == views


def test_every_definition_is_whole() -> None:
    titles = [*SUBJECTS, *(metric.title for metric in METRICS.values())]
    assert len(set(titles)) == len(titles), "a title is an anchor of the page"
    assert sum(map(len, SUBJECTS.values())) == len(METRICS), "two metrics of one name"
    for metric in METRICS.values():
        assert metric.examples and metric.unit and metric.counted and metric.left_out, metric.name
        assert set(metric.sources) <= SOURCES.keys(), metric.name
        assert tables_of(metric), metric.name
        assert all(example.working for example in metric.examples), metric.name
    assert {source for metric in METRICS.values() for source in metric.sources} == SOURCES.keys()


def test_the_examples_that_others_get_wrong_are_there() -> None:
    """60 s of video + 10 s of stall + 30 s of pause; 60 s of media at half speed; a failed ad."""
    assert [example.value for example in METRICS["watched_time_ms"].examples] == [70_000, 120_000]
    failed_ad = METRICS["stall_time_ms"].examples[-1]
    assert "ad_error" in failed_ad.sessions["a"] and failed_ad.value == 1000


def test_a_field_that_no_event_has_is_refused() -> None:
    with pytest.raises(ValueError, match="bitrate_kps"):
        facts(Example(sessions={"a": "0 play bitrate_kps=1"}, value=0, working=""))
