"""What holds for every metric, over sessions of arbitrary events: absurd values, lost beginnings, no end."""

from __future__ import annotations

import random
from collections.abc import Iterator

import duckdb
import pytest

from schemas.metrics.metric import Example, Metric
from schemas.metrics.parts import VIEW_PARTS
from schemas.metrics.registry import METRICS, SESSION_METRICS
from schemas.quality import PARTS
from schemas.registry import PLAYBACK
from tests.schemas.metrics.relations import connection

SESSIONS = 200
ARGUMENTS = {"startup_quantile_ms": "0.9", "average_viewers": "1", "attempts_per_second": "60"}
_WILD = {
    "position_ms": (-5, 0, 1000, 40_000, 95_000, 1_768_509_000_000),
    "duration_ms": (0, 60_000, 100_000),
    "bitrate_kbps": (-1, 0, 300, 3000, 2_000_000),
    "dropped_frames": (-3, 0, 7, 90),
    "live_latency_ms": (-1, 2500, 9000),
    "playback_rate": (-1, 0, 0.5, 1, 2, 40),
    "fatal": ("true", "false"),
    "error_category": ("business", "technical"),
    "user_id": ("ann", "bob", "eve"),
}


def _table_of(metric: Metric) -> str | None:
    """Where the events of sessions give it values."""
    for table, parts in (("minutes", {*PARTS, "startup_histogram"}), ("views", {*VIEW_PARTS})):
        if metric.level == "aggregate" and parts.issuperset(metric.parts):
            return table
    return None


AGGREGATES = [(metric, table) for metric in METRICS.values() if (table := _table_of(metric)) is not None]
every_aggregate = pytest.mark.parametrize(
    ("metric", "table"), AGGREGATES, ids=[metric.name for metric, _ in AGGREGATES]
)


def wild(rng: random.Random) -> str:
    """The notes of a session of arbitrary events."""
    lines, at = [], 0.0
    likely = ["play", "first_frame", "heartbeat", "heartbeat", "stall_start", "stall_end", "error", "stop"]
    for place in range(rng.choice((1, 2, 3, 8, 20))):
        at += rng.choice((0, 0.05, 1, 4, 10, 70, 300))
        kind = "play" if place == 0 and rng.random() < 0.6 else rng.choice(likely)
        kind = kind if rng.random() < 0.6 else rng.choice(sorted(PLAYBACK.rank))
        fields = rng.sample(sorted(_WILD), rng.randrange(4))
        values = {field: rng.choice(_WILD[field]) for field in fields} | ({"fatal": "true"} if kind == "error" else {})
        lines.append(" ".join((f"{at:g}", kind, *(f"{field}={value}" for field, value in values.items()))))
    return "\n".join(lines)


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    rng = random.Random(2066)
    one = Example(sessions={f"s{n}": wild(rng) for n in range(SESSIONS)}, value=0, working="")
    with connection([one]) as opened:
        yield opened


def ask(con: duckdb.DuckDBPyConnection, metric: Metric, table: str, by: str = "()") -> list[float]:
    """Its values over the groups of a table."""
    query = f"SELECT {metric.call(ARGUMENTS.get(metric.name, ''))} AS value FROM {table} GROUP BY {by}"
    return [value for (value,) in con.execute(query).fetchall() if value is not None]


def test_the_sessions_have_all_kinds_of_ends(con: duckdb.DuckDBPyConnection) -> None:
    """Else what follows would say little."""
    ends = con.execute("SELECT end_reason, count(*) FROM views GROUP BY 1").fetchall()
    assert {reason for reason, _ in ends} == {"stop", "error", "exit_before_start", "start_failure", "timeout"}
    assert min(count for _, count in ends) >= 5
    for metric in SESSION_METRICS:
        (values,) = con.execute(f"SELECT count(DISTINCT {metric.name}) FROM views").fetchone() or (0,)
        assert values >= 2, metric.name


@every_aggregate
def test_no_metric_is_negative_and_shares_are_shares(
    con: duckdb.DuckDBPyConnection, metric: Metric, table: str
) -> None:
    """In total and of every single row."""
    by_row = "session_id" if table == "views" else "rowid"
    values = ask(con, metric, table) + (ask(con, metric, table, by_row) if metric.name != "startup_quantile_ms" else [])
    assert values and min(values) >= 0
    # Of a single minute a failure may lie apart from its attempt, and a stall apart from its time.
    if metric.unit == "share, 0..1":
        assert max(values if table == "views" else ask(con, metric, table)) <= 1
    if metric.unit == "points, 0..100":
        assert max(values) <= 100


@pytest.mark.parametrize("metric", SESSION_METRICS, ids=lambda metric: metric.name)
def test_scores_lie_between_0_and_100(con: duckdb.DuckDBPyConnection, metric: Metric) -> None:
    values = [value for (value,) in con.execute(f"SELECT {metric.name} FROM views").fetchall() if value is not None]
    if metric.unit == "true or false":
        assert set(values) == {True, False}
    else:
        assert min(values) >= 0 and max(values) <= 100 and all(isinstance(value, int) for value in values)


def test_parts_are_whole_numbers_and_none_is_negative(con: duckdb.DuckDBPyConnection) -> None:
    for table, parts in (("minutes", PARTS), ("views", VIEW_PARTS)):
        for part in parts:
            (least, kind) = con.execute(f"SELECT min({part}), any_value(typeof({part})) FROM {table}").fetchone() or ()
            assert kind == "BIGINT" and (least is None or least >= 0), (table, part)


@every_aggregate
def test_a_metric_is_the_same_over_rows_and_over_sums_of_rows(
    con: duckdb.DuckDBPyConnection, metric: Metric, table: str
) -> None:
    """At any grain: minutes added up to hours, and days to weeks, lose nothing."""
    added = (f"sum({part})::BIGINT AS {part}" for part in metric.parts if part != "startup_histogram")
    histogram = ["startup_histogram_sum(startup_histogram) AS startup_histogram"]
    columns = [*added, *(histogram if "startup_histogram" in metric.parts else [])]
    coarse = f"(SELECT {', '.join(columns)} FROM {table} GROUP BY rowid % 7)"
    assert ask(con, metric, coarse) == pytest.approx(ask(con, metric, table))
