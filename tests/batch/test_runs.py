"""Runs of the batch jobs: two at once, twice, on older tables, on a server that is not there."""

from __future__ import annotations

import random
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, cast

import pytest
from deltalake import DeltaTable

from batch import run
from batch.gold.stage import gold_tables
from batch.history import columns_of, version
from batch.restate import ledger
from batch.silver.copies import first_copies, like, suspects
from batch.spark import ensure_table, spark_session
from batch.stage import Job
from infra.errors import ProcessError, StageRefused
from infra.settings import Settings
from schemas.derive import arrow_schema, spark_ddl
from schemas.stage import StagedLayer
from schemas.tables import SILVER
from schemas.tables.sessions import SESSIONS
from tests.batch.world import (
    approve,
    expected_events,
    expected_sessions,
    pass_through,
    playback,
    read,
    write_bronze,
)  # fmt: skip

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

LAYERS: tuple[StagedLayer, ...] = ("silver", "gold")


def test_a_table_from_before_gains_columns_and_parts_at_their_places(lake: Settings) -> None:
    path = SESSIONS.path(lake.lake_root)
    before = re.sub(r"`is_started` .*?, (?=`)|\b(starts|ad_errors): BIGINT, ", "", spark_ddl(SESSIONS.columns))
    with spark_session(lake) as spark:
        spark.sql(f"CREATE TABLE delta.`{path}` ({before}) USING delta")
        assert columns_of(path) == known_columns() - {
            "is_started",
            *(f"minutes.element.{x}" for x in ("starts", "ad_errors")),
        }
        ensure_table(lambda: spark, path, SESSIONS)
    assert columns_of(path) == known_columns()
    (minutes,) = [field for field in DeltaTable(path).schema().fields if field.name == "minutes"]
    found = [field.name for field in minutes.type.element_type.fields]  # type: ignore[union-attr]
    assert found == [field.name for field in arrow_schema(SESSIONS.columns).field("minutes").type.value_type]


def test_a_stage_without_rows_is_there_each_time(lake: Settings) -> None:
    """Nothing but copies has come, twice; or no title tells positions."""
    with spark_session(lake) as spark:
        rows = spark.sql("SELECT DATE'2026-01-15' AS start_date, 'a' AS session_id WHERE false")
        staged = [Job(lambda: spark, lake, f"s{n}").stage(SESSIONS, rows) for n in range(3)]
    assert staged == [(1, 0), (2, 0), (3, 0)], "version 0 made the table"


def known_columns() -> set[str]:
    """Of silver.sessions, by its contract."""
    schema = arrow_schema(SESSIONS.columns)
    return set(schema.names) | {f"minutes.element.{field.name}" for field in schema.field("minutes").type.value_type}


@pytest.mark.parametrize(
    ("few", "is_known"), [pytest.param(1000, True, marks=pytest.mark.long), (120, True), (20, False)]
)
def test_copies_are_found_among_few_records_and_among_many(
    lake: Settings, monkeypatch: pytest.MonkeyPatch, few: int, is_known: bool
) -> None:
    monkeypatch.setattr("batch.silver.copies.FEW", few)
    monkeypatch.setattr("batch.silver.copies.FEW_MOVED", 0)
    rnd = random.Random(3)
    ids = [f"e{n}" for n in range(150)] + [f"e{rnd.randrange(30)}" for _ in range(50)]
    records = [(name, rnd.randrange(4), n % 2, n) for n, name in enumerate(ids)]
    assert 20 < sum(n for n in Counter(ids).values() if n > 1) <= 120
    with spark_session(lake) as spark:
        rows = spark.createDataFrame(records, "event_id STRING, received_at INT, partition INT, offset BIGINT")
        with ExitStack() as kept:
            first = first_copies(rows, len(records), lambda: suspects(rows, kept))
            found = sorted(tuple(row) for row in first.select(*rows.columns).collect())
            assert found == sorted(min(one for one in records if one[0] == name) for name in set(ids))
            those = suspects(rows, kept)
            assert (those is not None) == is_known
            if those is not None:
                shared = Counter(ids)
                assert sorted(row["event_id"] for row in those.collect()) == sorted(n for n in ids if shared[n] > 1)
        found = like(rows, rows.where("event_id = 'e1'"), few).select("event_id").distinct().collect()
        assert len(found) == 1
        assert like(rows, rows, few + 1).count() == len(records)


@pytest.mark.long
def test_two_runs_at_once_equal_one_and_so_does_a_rebuild(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = playback(seed=3, viewers=6)
    write_bronze(lake, sent)

    def attempt(_: int) -> str:
        try:
            manifest = run.stage(lake, "silver")
            assert manifest is not None
            approve(lake, manifest)
            run.commit(lake, "silver")
        except StageRefused as error:
            return str(error)
        return "committed"

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(attempt, range(2)))
    assert "committed" in outcomes
    assert read(lake, "silver.sessions") == expected_sessions(lake, sent)
    assert len(read(lake, "silver.playback_events")) == len(expected_events(sent))

    monkeypatch.setattr(run, "gold_tables", lambda: {"title_daily": gold_tables()["title_daily"]})
    pass_through(lake, "gold")
    tables = ("silver.sessions", "silver.playback_events", "gold.title_daily")
    before = {table: read(lake, table) for table in tables}
    for layer in LAYERS:
        manifest = run.stage(lake, layer, is_whole=True)
        assert manifest is not None
        approve(lake, manifest)
        run.commit(lake, layer)
    assert {table: read(lake, table) for table in tables} == before
    assert ledger.record(lake.lake_root, run.gold_tables().values()).rows == []
    assert run.stage(lake, "silver") is None
    assert run.stage(lake, "gold") is None


@pytest.mark.long
def test_one_stage_committed_twice_and_by_two_at_once_is_there_once(lake: Settings) -> None:
    sent = playback(seed=4, viewers=6)
    half = len(sent) // 2
    write_bronze(lake, sent[:half])
    pass_through(lake, "silver")
    write_bronze(lake, sent[half:])
    manifest = run.stage(lake, "silver")
    assert manifest is not None
    approve(lake, manifest)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: run.commit(lake, "silver"), range(2))
    assert first == second == run.commit(lake, "silver")
    commits = version(SILVER["sessions"].path(lake.lake_root)) - manifest.tables["sessions"].base
    assert commits in {1, 2}, "one exchange; before it files may be written again, which changes no data"
    assert read(lake, "silver.sessions") == expected_sessions(lake, sent)


def test_without_a_server_the_error_says_where_it_was_looked_for(settings: Settings) -> None:
    write_bronze(settings, playback(seed=4, viewers=1))
    with pytest.raises(ProcessError, match=rf"no Spark Connect server answers at {settings.spark_url}"):
        run.stage(settings, "silver")


def test_runs_of_one_code_share_a_session_and_get_another_when_it_has_ended(lake: Settings) -> None:
    def name(spark: Any) -> str:
        return str(spark.session_id)

    with spark_session(lake) as one:
        first = name(one)
    with spark_session(lake) as two:
        assert name(two) == first
        assert two.range(3).count() == 3, "the first has left it open"
        cast("Any", two).client.release_session()  # as the server does with one that was idle for an hour
    with spark_session(lake) as three, spark_session(lake, is_own=True) as own:
        assert len({first, name(three), name(own)}) == 3
        assert three.range(3).count() == own.range(3).count() == 3
