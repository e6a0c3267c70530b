from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from infra.errors import LakeDamaged, SetupError
from schemas.derive import arrow_schema
from schemas.publication import read_published
from schemas.tables.restatements import RESTATEMENTS
from tests.warehouse.lake import NOON, QUALITY_SCHEMA, SESSIONS_SCHEMA, Lake, quality_row, session_row
from warehouse import attach, build, publication, retire


def rows(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    """As any DuckDB client is told, which runs the script."""
    with duckdb.connect() as connection:
        connection.execute((lake.settings.warehouse / publication.SCRIPT).read_text())
        return connection.execute(sql).fetchall()


def current_files(lake: Lake) -> list[Path]:
    record = publication.current(lake.settings.warehouse)
    assert record is not None
    return record.paths(lake.settings.warehouse)


def test_the_file_holds_the_requested_versions_and_not_newer_ones(published: Lake) -> None:
    version = read_published(published.settings.warehouse).versions["gold.quality_minute"]  # type: ignore[union-attr]
    published.write("gold.quality_minute", [quality_row(NOON, plays=999)], QUALITY_SCHEMA)  # committed, not published
    published.request("p2", {"gold.quality_minute": version})
    build.build(published.settings)
    assert current_files(published)[0].name == "gold-p2.duckdb"
    assert rows(published, "SELECT sum(plays), count(*) FROM gold.quality_minute WHERE rollup = 'total'") == [(600, 60)]
    assert rows(published, "SELECT publish_id, cutover_minute, versions['gold.quality_minute'] FROM main.meta") == [
        ("p2", NOON, version)
    ]


def test_silver_keeps_recent_days_and_no_nested_parts(published: Lake) -> None:
    assert rows(published, "SELECT session_id FROM silver.sessions ORDER BY 1") == [("s2",), ("s3",)]
    assert "minutes" not in [row[0] for row in rows(published, "DESCRIBE silver.sessions")]


def test_columns_carry_their_definition(published: Lake) -> None:
    sql = "SELECT comment FROM duckdb_columns() WHERE table_name = 'sessions' AND column_name = 'startup_ms'"
    assert "first frame" in str(rows(published, sql))


def test_each_row_of_gold_says_as_of_when_it_is_and_how_complete(published: Lake) -> None:
    before = read_published(published.settings.warehouse)
    assert before is not None
    as_of = NOON - timedelta(minutes=1, seconds=15)
    published.request("p2", before.versions, as_of={"gold.quality_minute": as_of})
    build.build(published.settings)
    told = "SELECT DISTINCT minute, as_of, completeness, is_final FROM gold.quality_minute ORDER BY minute DESC LIMIT 3"
    assert rows(published, told) == [
        (NOON - timedelta(minutes=1), as_of, 0.0, False),
        (NOON - timedelta(minutes=2), as_of, 0.75, False),
        (NOON - timedelta(minutes=3), as_of, 1.0, False),
    ]
    comments = "SELECT comment FROM duckdb_columns() WHERE column_name = 'is_final' AND table_name = 'quality_minute'"
    assert "no event of the row's time" in str(rows(published, comments))
    # From a publish that did not say: not known.
    published.request("p3", before.versions)
    build.build(published.settings)
    assert rows(published, "SELECT DISTINCT as_of, completeness, is_final FROM gold.quality_minute") == [
        (None, None, None)
    ]


def test_the_ledger_of_restatements_can_be_asked(published: Lake) -> None:
    before = read_published(published.settings.warehouse)
    assert before is not None
    row = dict.fromkeys(column.name for column in RESTATEMENTS.columns) | {
        "table_name": "gold.title_daily", "play_date": NOON.date(), "metric": "plays", "old_value": 1, "new_value": 3,
        "change": 2,
        "version": 4, "restated_at": NOON,
    }  # fmt: skip
    version = published.write(RESTATEMENTS.full_name, [row], arrow_schema(RESTATEMENTS.columns))
    published.request("p2", before.versions | {RESTATEMENTS.full_name: version})
    build.build(published.settings)
    assert rows(published, "SELECT table_name, change FROM gold.restatements") == [("gold.title_daily", 2)]
    comments = "SELECT comment FROM duckdb_columns() WHERE table_name = 'restatements' AND column_name = 'records'"
    assert "bronze gained" in str(rows(published, comments))


def test_titles_have_names_beside_their_numbers(published: Lake) -> None:
    fields = [("content_id", pa.string()), ("title", pa.string()), ("genres", pa.list_(pa.string()))]
    titles = [{"content_id": "title-a", "title": "The Last Island", "genres": ["drama", "comedy"]}]
    before = read_published(published.settings.warehouse)
    assert before is not None
    version = published.write("gold.titles", titles, pa.schema(fields))
    published.request("p2", before.versions | {"gold.titles": version})
    build.build(published.settings)
    sql = """SELECT t.title, t.genres[1], sum(q.plays)::BIGINT FROM gold.quality_minute q
        JOIN gold.titles t USING (content_id) WHERE q.rollup = 'title' GROUP BY ALL"""
    assert rows(published, sql) == [("The Last Island", "drama", 600)]
    comment = rows(published, "SELECT comment FROM duckdb_tables() WHERE table_name = 'titles'")
    assert "The catalogue as it is" in str(comment)


def test_any_client_can_open_the_files_and_use_the_macros(published: Lake) -> None:
    sql = "SELECT startup_quantile_ms(startup_histogram, 0.5) FROM gold.quality_minute WHERE rollup = 'total'"
    assert 400 < float(str(rows(published, sql)[0][0])) < 600


def test_a_file_from_before_a_part_was_there_can_still_be_asked(lake: Lake) -> None:
    """After an update the file in force has the columns of the version before it, until the next publish."""
    row = quality_row(NOON, plays=3, watched_ms=60_000)
    del row["starts"]
    names = [name for name in QUALITY_SCHEMA.names if name != "starts"]
    version = lake.write("gold.quality_minute", [row], pa.schema([QUALITY_SCHEMA.field(name) for name in names]))
    sessions = lake.write("silver.sessions", [session_row(1, NOON.date())], SESSIONS_SCHEMA)
    lake.request("p1", {"gold.quality_minute": version, "silver.sessions": sessions}, NOON + timedelta(hours=1))
    build.build(lake.settings)
    connection = attach.connect(100_000_000)
    attach.attach_published(connection, current_files(lake))
    attach.attach_live(connection, None)
    attach.define_views(connection)
    asked = "SELECT attempt_count(plays), play_count(starts) FROM metrics.quality_minute"
    assert connection.execute(asked).fetchall() == [(3, None)]
    asked = "SELECT session_id, startup_score, experience_score, sessions, good_streams FROM session_quality"
    assert connection.execute(asked).fetchall() == [("s1", 100, None, 1, 0)]


def test_without_a_publish_the_views_are_there_and_empty() -> None:
    connection = attach.connect(100_000_000)
    attach.attach_published(connection, [])
    attach.attach_live(connection, None)
    attach.define_views(connection)
    for view in ("quality_minute", "session_quality"):
        assert connection.execute(f"SELECT count(*) FROM metrics.{view}").fetchone() == (0,)


def test_building_the_same_publish_again_changes_nothing(published: Lake) -> None:
    before = [path.stat() for path in current_files(published)]
    build.build(published.settings)
    assert [path.stat() for path in current_files(published)] == before


def test_a_version_that_is_not_there_leaves_the_previous_publish_in_force(published: Lake) -> None:
    published.request("broken", {"gold.quality_minute": 77})
    with pytest.raises(LakeDamaged, match=r"version 77 of gold\.quality_minute"):
        build.build(published.settings)
    assert current_files(published)[0].name == "gold-p1.duckdb"
    assert not [path for path in published.settings.warehouse.iterdir() if "broken" in path.name]


def test_nothing_published_says_so(lake: Lake) -> None:
    with pytest.raises(SetupError, match="nothing has been published"):
        build.build(lake.settings)


def test_a_replaced_file_stays_while_a_reader_has_it_open(published: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retire, "GRACE_S", 0.0)
    folder, old = published.settings.warehouse, current_files(published)
    code = (
        "import duckdb, sys; c = duckdb.connect(); c.execute(open(sys.argv[1]).read()); print('open', flush=True);"
        "sys.stdin.read(); print(c.execute('SELECT count(*) FROM gold.quality_minute').fetchone()[0])"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / publication.SCRIPT)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    published.publish("p2")
    published.publish("p3", plays=11)
    assert all(path.exists() for path in old)
    out, _ = reader.communicate("")
    assert out == "120\n"
    monkeypatch.setattr(retire, "GRACE_S", 3600.0)
    assert retire.remove_unused(folder) == []
    monkeypatch.setattr(retire, "GRACE_S", 0.0)
    gone = retire.remove_unused(folder)
    assert {path.name for path in old} <= set(gone)
    assert sorted(folder.glob("*.duckdb")) == sorted(current_files(published))


WHOLE = """
SELECT (SELECT publish_id FROM main.meta), sum(plays), count(*) FROM gold.quality_minute WHERE rollup = 'total'
"""


def _read_until_told(folder: Path, results: multiprocessing.Queue[tuple[int, list[str]]]) -> None:
    """Open what is in force again and again; every answer must be one publish, whole."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    results.put((0, []))  # from here on it can be told to stop
    seen, wrong = 0, []
    while not stop:
        try:
            record = publication.current(folder)
            assert record is not None
            with duckdb.connect() as connection:
                for statement in publication.attach_statements(record.paths(folder)):
                    connection.execute(statement)
                connection.execute("USE warehouse")
                answer = connection.execute(WHOLE).fetchone()
            expected = (record.publish_id, 60 * int(record.publish_id[1:]), 60)
            if answer != expected:
                wrong.append(f"{answer} instead of {expected}")
        except Exception as error:  # noqa: BLE001 - any error is one too many
            wrong.append(repr(error))
        seen += 1
    results.put((seen, wrong[:5]))


@pytest.mark.parametrize("seconds", [4, pytest.param(20, marks=pytest.mark.long)])
def test_readers_see_whole_publishes_while_files_are_swapped(lake: Lake, seconds: float) -> None:
    lake.publish("p1", plays=1)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    readers = [context.Process(target=_read_until_told, args=(lake.settings.warehouse, results)) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in readers:
        results.get(timeout=60)
    end = time.monotonic() + seconds
    number = 1
    while time.monotonic() < end or number < 4:
        number += 1
        lake.publish(f"p{number}", plays=number, cutover=NOON + timedelta(minutes=number))
    for reader in readers:
        assert reader.pid is not None
        os.kill(reader.pid, signal.SIGTERM)
    answers = [results.get(timeout=30) for _ in readers]
    for reader in readers:
        reader.join(10)
    assert [wrong for _, wrong in answers] == [[], []]
    assert min(seen for seen, _ in answers) >= 3
    assert not list(lake.settings.warehouse.glob("*.wal"))
