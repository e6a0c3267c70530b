"""Which files a publish is made of, and which of them the next one leaves alone."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import settings as drawn
from hypothesis import strategies as st

from infra.settings import ROOT
from schemas.publication import read_published
from schemas.table import Table, read_sql_table
from schemas.tables.sessions import SESSIONS
from tests.warehouse.lake import QUALITY_SCHEMA, SESSIONS_SCHEMA, Lake, quality_row, session_row
from tests.warehouse.test_commands import playlake
from warehouse import build, parts, publication
from warehouse.parts import CURRENT_DAYS, Source

QUALITY = read_sql_table(ROOT / "batch" / "gold" / "quality_minute.sql")
NEWEST = date(2026, 3, 12)
CUTOVER = datetime(2026, 3, 12, 18, tzinfo=UTC)

Files = dict[date | None, tuple[str, ...]]
days = st.dates(date(2025, 10, 1), date(2026, 3, 31))
tables = st.dictionaries(st.none() | days, st.lists(st.text("abc", min_size=1), min_size=1).map(tuple), max_size=40)


def source(table: Table, files: Files) -> Source:
    return Source(table.full_name, "/lake", 1, table, files)


@drawn(deadline=None)
@given(tables, tables)
def test_every_day_is_in_exactly_one_part(quality: Files, sessions: Files) -> None:
    sources = [source(QUALITY, quality), source(SESSIONS, sessions)]
    held = parts.plan(sources, recent_days=10_000)
    newest = max((day for files in (quality, sessions) for day in files if day), default=None)
    for one in sources:
        for day in one.files if newest and one.newest else ():
            holding = [part for part in held if one in part.sources and part.holds(day)]
            assert len(holding) == 1
            is_current = day is None or day > newest - timedelta(days=CURRENT_DAYS)
            assert holding[0].alias == ("current" if is_current else f"month_{day:%Y_%m}")
    assert len({part.alias for part in held}) == len(held)


@drawn(deadline=None)
@given(tables, days, st.sampled_from(["restated", "gone", "untouched"]))
def test_only_the_part_of_a_day_that_changed_has_another_name(files: Files, day: date, change: str) -> None:
    newest = date(2026, 4, 1)
    before = files | {newest: ("x",), day: ("a",)}
    after = {k: v for k, v in before.items() if k != day} if change == "gone" else dict(before)
    if change == "restated":
        after[day] = ("b",)
    names = [{p.alias: p.file_name for p in parts.plan([source(QUALITY, f)], 14)} for f in (before, after)]
    [of_day] = [p.alias for p in parts.plan([source(QUALITY, before)], 14) if p.holds(day)]
    changed = {alias for alias in names[0] if names[0][alias] != names[1].get(alias)}
    assert changed == (set() if change == "untouched" else {of_day})


def test_sessions_are_in_the_months_that_readers_see_them_of() -> None:
    files: Files = {NEWEST - timedelta(days=back): ("a",) for back in range(120)}
    held = parts.plan([source(QUALITY, files), source(SESSIONS, files)], recent_days=14)
    assert {part.alias: [one.name for one in part.sources] for part in held} == {
        "current": ["gold.quality_minute", "silver.sessions"],
        "month_2026_03": ["gold.quality_minute", "silver.sessions"],
        "month_2026_02": ["gold.quality_minute", "silver.sessions"],
        "month_2026_01": ["gold.quality_minute"],
        "month_2025_12": ["gold.quality_minute"],
        "month_2025_11": ["gold.quality_minute"],
    }
    assert parts.shown_from(source(SESSIONS, files), 14) == date(2026, 2, 27)


class Months:
    """A lake of several months, in which days are restated."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.plays = {NEWEST - timedelta(days=back): 10 for back in range(0, 75, 5)}
        self.number = 0

    def publish(self, *, is_built: bool = True, **restated: int) -> None:
        """`march_12=11`: so many plays on that day from now on."""
        self.number += 1
        for name, plays in restated.items():
            day = datetime.strptime(f"2026_{name}", "%Y_%B_%d").replace(tzinfo=UTC).date()
            self.plays[day] = plays
        versions = {}
        days = [day for day in self.plays if self.number == 1 or f"{day:%B_%d}".lower() in restated]
        for table, schema, rows in (
            ("gold.quality_minute", QUALITY_SCHEMA, [self.quality(day) for day in days]),
            ("silver.sessions", SESSIONS_SCHEMA, [session_row(day.toordinal(), day) for day in days]),
        ):
            path = f"{self.lake.settings.lake_root}/{table.replace('.', '/')}"
            column = "play_date" if "play_date" in schema.names else "start_date"
            for some in [rows] if self.number == 1 else [[row] for row in rows]:
                replaced = None if self.number == 1 else f"{column} = '{some[0][column]}'"
                data = pa.Table.from_pylist(some, schema=schema)
                write_deltalake(path, data, mode="overwrite", partition_by=[column], predicate=replaced)
            versions[table] = DeltaTable(path).version()
        self.lake.request(f"p{self.number}", versions, CUTOVER, {"gold.quality_minute": CUTOVER})
        if is_built:
            build.build(self.lake.settings)

    def quality(self, day: date) -> dict[str, Any]:
        minute = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        return quality_row(minute, plays=self.plays[day], watched_ms=60_000, playing_ms=60_000)

    @property
    def files(self) -> dict[str, tuple[str, int]]:
        """Alias → name and inode of each file in force."""
        record = publication.current(self.lake.settings.warehouse)
        assert record is not None
        paths = record.paths(self.lake.settings.warehouse)
        return {publication.alias_of(path): (path.name, path.stat().st_ino) for path in paths}

    def seen(self) -> dict[date, int]:
        """Day → plays, as a reader of the files is told; of one publish."""
        sql = "SELECT play_date, sum(plays)::BIGINT FROM gold.quality_minute GROUP BY ALL"
        return dict(self.ask(sql))

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        record = publication.current(self.lake.settings.warehouse)
        assert record is not None
        with duckdb.connect() as connection:
            for statement in publication.attach_statements(record.paths(self.lake.settings.warehouse)):
                connection.execute(statement)
            connection.execute("USE warehouse")
            return connection.execute(sql).fetchall()


@pytest.fixture
def months(lake: Lake) -> Months:
    made = Months(Lake(replace(lake.settings, recent_days=40)))
    made.publish()
    return made


def changed(before: dict[str, tuple[str, int]], after: dict[str, tuple[str, int]]) -> set[str]:
    return {alias for alias in before.keys() | after.keys() if before.get(alias) != after.get(alias)}


def test_a_publish_writes_only_what_has_changed(months: Months) -> None:
    first = months.files
    assert set(first) == {"warehouse", "current", "month_2026_03", "month_2026_02", "month_2026_01"}
    assert months.seen() == months.plays

    months.publish(march_12=11)  # a new hour
    assert changed(first, months.files) == {"warehouse", "current"}
    assert months.seen() == months.plays

    before = months.files
    months.publish(january_26=12)  # a late event of an old month
    assert changed(before, months.files) == {"warehouse", "month_2026_01"}
    assert months.seen() == months.plays

    before = months.files
    months.publish(march_15=13)  # days go by: one more leaves the current file for its month's
    assert changed(before, months.files) == {"warehouse", "current", "month_2026_03"}
    assert months.seen() == months.plays


def test_files_that_are_merged_change_nothing(months: Months) -> None:
    path = f"{months.lake.settings.lake_root}/gold/quality_minute"
    again = DeltaTable(path).to_pyarrow_table(filters=[("play_date", "=", date(2026, 1, 26))])
    write_deltalake(path, again, mode="append")
    months.publish(march_12=11)
    before, seen = months.files, months.seen()
    assert seen[date(2026, 1, 26)] == 20
    assert DeltaTable(path).optimize.compact()["numFilesRemoved"] == 2
    months.publish(march_12=12)
    assert changed(before, months.files) == {"warehouse", "current"}
    months.publish()  # from a file that is not called after the files it would now be made of
    assert changed(before, months.files) == {"warehouse", "current"}
    months.publish(january_26=13)
    assert changed(before, months.files) == {"warehouse", "current", "month_2026_01"}
    assert months.seen() == months.plays


def test_rows_of_an_old_file_become_final_in_time(months: Months) -> None:
    told = "SELECT as_of, is_final FROM gold.quality_minute WHERE play_date = '2026-03-02'"
    assert months.ask(told) == [(CUTOVER, True)]
    before = months.files
    record = read_published(months.lake.settings.warehouse)
    assert record is not None
    months.lake.request("later", record.versions, CUTOVER, {"gold.quality_minute": CUTOVER - timedelta(days=5)})
    build.build(months.lake.settings)
    assert months.ask(told) == [(CUTOVER - timedelta(days=5), False)]
    assert changed(before, months.files) == {"warehouse"}


def test_sessions_before_the_recent_days_are_not_shown(months: Months) -> None:
    expected = [(day,) for day in sorted(months.plays) if day > NEWEST - timedelta(days=40)]
    assert months.ask("SELECT start_date FROM silver.sessions ORDER BY 1") == expected


@pytest.mark.parametrize(
    "at",
    [
        "month_2026_02: built",
        "in force",
        pytest.param("current: built", marks=pytest.mark.long),
        pytest.param("union: built", marks=pytest.mark.long),
    ],
)
def test_killed_anywhere_nobody_sees_a_mixture_and_the_next_build_repairs(months: Months, at: str) -> None:
    before, plays = months.files, dict(months.plays)
    months.publish(is_built=False, march_12=20, february_25=21, january_26=22)
    folder = months.lake.settings.warehouse
    (folder / ".month_2026_02-0123.duckdb.77").write_text("half a file")
    done = playlake(replace(months.lake.settings, failpoints=f"{at}=kill"), "warehouse-build")
    assert done.returncode == -signal.SIGKILL
    assert months.seen() == (months.plays if at == "in force" else plays)
    assert (months.files == before) == (at != "in force")

    finished = {path.name: path.stat().st_ino for path in folder.glob("month_*.duckdb")}
    build.build(months.lake.settings)
    assert months.seen() == months.plays
    assert {name: (folder / name).stat().st_ino for name in finished} == finished
    assert not list(folder.glob(".*.duckdb.*"))
    with duckdb.connect() as connection:
        connection.execute((folder / publication.SCRIPT).read_text())
        assert connection.execute("SELECT publish_id FROM main.meta").fetchall() == [("p2",)]
