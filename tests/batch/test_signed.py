"""DuckDB over changed rows comes to what Spark comes to over all of them: the same SELECT, the same numbers."""

from __future__ import annotations

import random
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from batch.gold.duckdb_sql import in_duckdb
from batch.gold.signed import CAME, GONE, SIGN, TooMuch, changed_rows, held, signed
from batch.gold.stage import SOURCE, _without_comments, gold_tables
from batch.spark import spark_session
from batch.stage import Job
from infra.data_files import columns_as
from infra.errors import SettingsError
from infra.settings import Settings
from schemas.derive import MINUTE, arrow_schema, spark_ddl
from schemas.quality import STARTUP_BUCKETS
from schemas.session_state import END_REASONS
from schemas.table import Table
from schemas.tables.sessions import SESSIONS

ADDITIVE = [table for table in gold_tables().values() if table.additive]
SCHEMA = pa.schema([pa.field(field.name, field.type) for field in arrow_schema(SESSIONS.columns)])
FEED = SCHEMA.append(pa.field("_change_type", pa.string()))
MIDNIGHT = datetime(2026, 1, 15, tzinfo=UTC)
every_additive = pytest.mark.parametrize("table", ADDITIVE, ids=[table.name for table in ADDITIVE])


def sessions(count: int) -> pa.Table:
    """Changed rows with any value in any column beside any other: more than events could bring about."""
    rnd = random.Random(2066)
    return pa.Table.from_pylist([_session(rnd) for _ in range(count)], FEED)


def _session(rnd: random.Random) -> dict[str, Any]:
    row = {column.name: _value(rnd, column.type, column.name, column.nullable) for column in SESSIONS.columns}
    minutes = [
        {name: _value(rnd, kind, name, name != "minute") for name, kind in MINUTE.items()}
        for _ in range(rnd.choice((0, 1, 1, 2, 5)))
    ]
    told = {"start_date": row["started_at"].date(), "end_reason": rnd.choice(END_REASONS), "minutes": minutes}
    return row | told | {"_change_type": rnd.choice(("insert", "delete", "update_preimage", "update_postimage"))}


def _value(rnd: random.Random, kind: str, name: str, is_nullable: bool) -> Any:
    if kind in ("date", "minutes") or (is_nullable and rnd.random() < 0.15):
        return None
    match kind:
        case "string":
            return rnd.choice(("a", "b", "ü'\\", f"one in {rnd.randrange(4000)}"))  # groups of a row or two, too
        case "boolean":
            return rnd.random() < 0.5
        case "timestamp":
            at = MIDNIGHT + timedelta(microseconds=rnd.choice((0, -1, 1, rnd.randrange(-(10**11), 10**11))))
            return at.replace(second=0, microsecond=0) if name == "minute" else at
        case "int":
            return rnd.randrange(STARTUP_BUCKETS)
    least = -5000 if name.endswith("position_ms") else 0
    return max(least, rnd.choice((0, 1, 500, 12_500, 60_000, -5000, int(2 ** rnd.uniform(0, 40)))))


def select(table: Table) -> str:
    return _without_comments(table.sql)


def by_duckdb(table: Table, rows: pa.Table) -> pa.Table:
    with ExitStack() as kept:
        changed = held(rows.to_reader(), kept)
        return signed(changed, lambda source: SOURCE.sub(source, in_duckdb(select(table))))


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_duckdb_comes_to_what_spark_comes_to(lake: Settings, tmp_path: Path) -> None:
    rows = sessions(3000)
    pq.write_table(rows, tmp_path / "rows.parquet")
    with spark_session(lake, is_own=True) as spark:
        ddl = f"{spark_ddl(SESSIONS.columns)}, _change_type STRING"
        spark.read.schema(ddl).parquet(str(tmp_path)).createOrReplaceTempView("changed")
        for table in ADDITIVE:
            halves = []
            for kinds, sign in ((GONE, -1), (CAME, 1)):
                changed = SOURCE.sub(f"(SELECT * FROM changed WHERE _change_type IN ({kinds}))", select(table))
                halves.append(spark.sql(f"SELECT *, {sign} AS {SIGN} FROM ({changed})").toArrow())
            expected = pa.concat_tables(halves)
            found = by_duckdb(table, rows)
            assert found.schema.names == expected.schema.names, table.name
            found = pa.Table.from_arrays(columns_as(found, expected.schema), schema=expected.schema)
            assert in_order(found) == in_order(expected), table.name
            assert len(expected) > 100, table.name


def in_order(rows: pa.Table) -> list[dict[str, Any]]:
    return sorted(rows.to_pylist(), key=repr)


@every_additive
def test_every_name_of_a_select_is_known_to_duckdb(table: Table) -> None:
    found = by_duckdb(table, FEED.empty_table())
    assert len(found) == 0
    assert {*table.grain, *table.additive, table.partition_by, SIGN} <= set(found.schema.names)
    others = [field.type for field in found.schema if field.name not in (*table.grain, table.partition_by, SIGN)]
    assert all(kind in (pa.int64(), pa.list_(pa.int64())) for kind in others)


def test_what_takes_more_memory_than_there_is_is_told_so() -> None:
    table = gold_tables()["quality_minute"]
    with ExitStack() as kept:
        changed = held(sessions(1000).to_reader(), kept)
        changed.execute("SET memory_limit = '2MB'")
        with pytest.raises(TooMuch, match="what changed takes more than 1GB"):
            signed(changed, lambda source: SOURCE.sub(source, in_duckdb(select(table))))


def test_a_select_that_duckdb_has_no_words_for_is_an_error() -> None:
    with pytest.raises(SettingsError, match="can be said in DuckDB's SQL as well as in Spark's"):
        in_duckdb("SELECT a FROM silver.sessions GROUP BY a, b GROUPING SETS (a)")


def test_what_is_counted_is_a_number_where_nothing_is_known() -> None:
    sql = in_duckdb("SELECT count_if(a) AS b FROM silver.sessions")
    assert duckdb.sql(SOURCE.sub("(SELECT NULL::BOOLEAN AS a)", sql)).fetchall() == [(0,)]


def test_what_cannot_be_cast_is_an_error_and_no_null() -> None:
    assert in_duckdb("SELECT CAST(coalesce(CAST(a AS INT), 0) AS BIGINT) AS b") == (
        "SELECT CAST(COALESCE(CAST(a AS INT), 0) AS BIGINT) AS b"
    )


def test_changed_rows_are_those_that_came_and_those_that_went(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = sessions(9).drop_columns("_change_type").set_column(0, "session_id", pa.array([f"s{n}" for n in range(9)]))
    job = Job(cast("Any", None), settings, "s1")
    path = job.path(SESSIONS)
    for part in (rows[:6], rows[6:]):
        feed = {"delta.enableChangeDataFeed": "true"}
        write_deltalake(path, part, mode="append", partition_by=["start_date"], configuration=feed)
    DeltaTable(path).delete("session_id IN ('s1', 's7')")

    def told(after: int) -> list[Any] | None:
        changed = changed_rows(job, SESSIONS, after, 2)
        return changed and changed.sql("SELECT _change_type, session_id FROM changed ORDER BY ALL").fetchall()

    with job.memory.kept:
        assert told(1) == [("delete", "s1"), ("delete", "s7")]
        assert told(0) == [("delete", "s1"), ("delete", "s7"), *(("insert", f"s{n}") for n in (6, 7, 8))]
        assert changed_rows(job, SESSIONS, 0, 2) is changed_rows(job, SESSIONS, 0, 2), "once a run"
        monkeypatch.setattr("batch.gold.signed.FEW", 2)
        assert told(-1) is None
    (Path(path) / "_delta_log" / f"{1:020}.json").unlink()
    assert changed_rows(Job(cast("Any", None), settings, "s2"), SESSIONS, 0, 2) is None, "the log no longer tells"
