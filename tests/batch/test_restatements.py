"""The restatement ledger, over gold that delta-rs writes as Spark does: commits that replace days and carry records."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from batch.restate import ledger
from infra.settings import Settings
from schemas.progress import Progress
from schemas.quality import STARTUP_BUCKETS
from schemas.registry import PLAYBACK
from schemas.table import Table
from schemas.tables import BRONZE, SILVER_EVENTS
from schemas.tables.restatements import RESTATEMENTS
from schemas.tables.sessions import SESSIONS
from streams.bronze_rows import Decoder
from streams.message import Message
from tests.batch.world import START, expected_events, playback, read, write_bronze

TITLES = Table(
    layer="gold",
    name="title_daily",
    description="Plays of a title.",
    owner="tests",
    grain=("play_date", "content_id"),
    partition_by="play_date",
    sql="SELECT * FROM silver.sessions",
)
STATE = replace(TITLES, name="titles", grain=("content_id",), partition_by=None)
MINUTES = replace(TITLES, name="quality_minute", grain=("rollup", "play_date"), alternatives="rollup")
MONDAY, TUESDAY = date(2026, 1, 12), date(2026, 1, 13)
BRONZE_NAME = BRONZE[PLAYBACK.name].full_name
EVENTS = SILVER_EVENTS[PLAYBACK.name]
CHANGED = "changed_rows"

Row = dict[str, Any]


def put(
    lake: Settings,
    table: Table,
    rows: Sequence[Row],
    stage_id: str | None = None,
    day: date | None = None,
    **known: Any,
) -> int:
    """A commit as batch makes it: the rows in place of those of the day, or of all. Returns the version."""
    record = None if stage_id is None else {"userMetadata": Progress(stage_id=stage_id, **known).to_json()}
    write_deltalake(
        table.path(lake.lake_root),
        pa.Table.from_pylist(list(rows)),
        mode="overwrite",
        schema_mode="overwrite" if day is None else None,
        partition_by=[table.partition_by] if table.partition_by else None,
        predicate=None if day is None else f"play_date = '{day}'",
        commit_properties=CommitProperties(custom_metadata=record),
    )
    return DeltaTable(table.path(lake.lake_root)).version()


def title(day: date, content_id: str, plays: int, **more: Any) -> Row:
    return {"play_date": day, "content_id": content_id, "plays": plays, **more}


def told(rows: Sequence[Row]) -> dict[tuple[Any, str], tuple[int | None, int | None, int | None]]:
    """(day, metric) → old, new, change."""
    return {(row["play_date"], row["metric"]): (row["old_value"], row["new_value"], row["change"]) for row in rows}


def in_ledger(lake: Settings) -> list[Row]:
    return read(lake, RESTATEMENTS.full_name)


def test_what_is_published_first_restates_nothing_and_a_new_day_neither(settings: Settings) -> None:
    put(settings, TITLES, [title(MONDAY, "a", 1)], "p1")
    assert ledger.record(settings.lake_root, [TITLES]).rows == []
    put(settings, TITLES, [title(TUESDAY, "a", 5)], "p2", TUESDAY)
    assert ledger.record(settings.lake_root, [TITLES]).rows == []
    assert in_ledger(settings) == []


def test_a_changed_day_is_told_by_its_figures_and_an_equal_one_is_not(settings: Settings) -> None:
    before = [title(MONDAY, "a", 1, seeks=7), title(MONDAY, "b", 2, seeks=0), title(TUESDAY, "a", 9, seeks=0)]
    put(settings, TITLES, before, "p1", now=START)
    later = START + timedelta(hours=1)
    put(settings, TITLES, [title(MONDAY, "a", 4, seeks=7), title(MONDAY, "b", 2, seeks=0)], "p2", MONDAY, now=later)
    put(settings, TITLES, [title(TUESDAY, "a", 9, seeks=0)], "p3", TUESDAY, now=later)
    found = ledger.record(settings.lake_root, [TITLES])
    assert told(found.rows) == {(MONDAY, "plays"): (3, 6, 3), (MONDAY, CHANGED): (1, 1, 0)}
    for row in in_ledger(settings):
        assert (row["table_name"], row["publish_id"], row["version"]) == ("gold.title_daily", "p2", 1)
        assert (row["old_as_of"], row["new_as_of"]) == (START, later)


def test_a_change_that_no_sum_shows_is_a_change(settings: Settings) -> None:
    """Viewing that moves from one title to another."""
    put(settings, TITLES, [title(MONDAY, "a", 3), title(MONDAY, "b", 0)], "p1")
    put(settings, TITLES, [title(MONDAY, "a", 0), title(MONDAY, "b", 3)], "p2", MONDAY)
    assert told(ledger.record(settings.lake_root, [TITLES]).rows) == {(MONDAY, CHANGED): (2, 2, 0)}


def test_what_adds_up_to_nothing_is_told_by_its_macro(settings: Settings) -> None:
    def startups(*buckets: int) -> list[int]:
        return [buckets.count(bucket) for bucket in range(STARTUP_BUCKETS)]

    put(settings, TITLES, [title(MONDAY, "a", 2, startup_histogram=startups(40, 40))], "p1")
    put(settings, TITLES, [title(MONDAY, "a", 2, startup_histogram=startups(40, 48))], "p2", MONDAY)
    found = told(ledger.record(settings.lake_root, [TITLES]).rows)
    assert found.keys() == {(MONDAY, CHANGED), (MONDAY, "startup_p50_ms"), (MONDAY, "startup_p95_ms")}
    old, new, _ = found[MONDAY, "startup_p95_ms"]
    assert old is not None and new is not None
    assert 2**10 <= old < 2**10.25
    assert 2**12 <= new < 2**12.25


def test_rows_that_say_the_same_again_are_never_added_up(settings: Settings) -> None:
    def rows(plays: int) -> list[Row]:
        return [{"play_date": MONDAY, "rollup": rollup, "plays": plays} for rollup in ("total", "title")]

    put(settings, MINUTES, rows(3), "p1")
    put(settings, MINUTES, rows(4), "p2", MONDAY)
    found = ledger.record(settings.lake_root, [MINUTES]).rows
    plays = {(row["alternative"], row["old_value"], row["new_value"]) for row in found if row["metric"] == "plays"}
    assert plays == {("total", 3, 4), ("title", 3, 4)}


def test_a_table_that_tells_a_state_has_only_its_rows_compared(settings: Settings) -> None:
    put(settings, STATE, [{"content_id": "a", "release_year": 1999}, {"content_id": "b", "release_year": 2001}], "p1")
    put(settings, STATE, [{"content_id": "a", "release_year": 1999}, {"content_id": "b", "release_year": 2002}], "p2")
    assert told(ledger.record(settings.lake_root, [STATE]).rows) == {(None, CHANGED): (1, 1, 0)}


def test_a_day_whose_rows_all_went_and_columns_that_came_and_went(settings: Settings) -> None:
    put(settings, TITLES, [title(MONDAY, "a", 3, seeks=1), title(TUESDAY, "a", 3, seeks=1)], "p1")
    put(settings, TITLES, [title(TUESDAY, "a", 3, pauses=5)], "p2")  # a rebuild by another definition
    assert told(ledger.record(settings.lake_root, [TITLES]).rows) == {
        (MONDAY, "plays"): (3, 0, -3),
        (MONDAY, "seeks"): (1, None, None),
        (MONDAY, CHANGED): (1, 0, -1),
        (TUESDAY, "seeks"): (1, None, None),
        (TUESDAY, "pauses"): (None, 5, None),
    }


def publishes(lake: Settings, at: Sequence[int], seed: int = 1) -> None:
    """The same five publishes each time; the ledger is brought up to them after those of `at` only."""
    rnd = random.Random(seed)
    for number in range(5):
        day = rnd.choice((MONDAY, TUESDAY))
        rows = [title(day, name, rnd.randrange(4)) for name in rnd.sample("abc", rnd.randrange(1, 3))]
        put(lake, TITLES, rows, f"p{number}", day if number else None)
        if number in at:
            ledger.record(lake.lake_root, [TITLES])
            ledger.record(lake.lake_root, [TITLES])  # a publish that runs again


def test_a_publish_that_ends_before_its_ledger_loses_nothing(settings: Settings, tmp_path: Path) -> None:
    """Whether the ledger follows each publish, some, or none until the end, it has the same rows."""
    found = []
    for at in (range(5), (2,), ()):
        lake = replace(settings, lake=str(tmp_path / str(len(found))))
        publishes(lake, at)
        ledger.record(lake.lake_root, [TITLES])
        found.append([_without_stamp(row) for row in in_ledger(lake)])
    assert found[0] == found[1] == found[2]
    assert len({row["version"] for row in found[0]}) > 2


def _without_stamp(row: Mapping[str, Any]) -> Row:
    return {name: value for name, value in row.items() if name != "restated_at"}


@pytest.mark.parametrize("seed", [2, 3])
def test_changes_add_up_to_what_is_there(settings: Settings, seed: int) -> None:
    """From a day's first publication on, whatever came between."""
    publishes(settings, (), seed)
    ledger.record(settings.lake_root, [TITLES])
    seen = [read(settings, TITLES.full_name, version) for version in range(5)]
    for day in (MONDAY, TUESDAY):
        sums = [sum(row["plays"] for row in rows if row["play_date"] == day) for rows in seen if _has(rows, day)]
        mine = [row for row in in_ledger(settings) if (row["play_date"], row["metric"]) == (day, "plays")]
        assert sums[0] + sum(row["change"] for row in mine) == sums[-1]
        assert mine


def _has(rows: Sequence[Row], day: date) -> bool:
    return any(row["play_date"] == day for row in rows)


def test_two_at_once_write_each_row_once(settings: Settings) -> None:
    publishes(settings, ())
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda _: ledger.record(settings.lake_root, [TITLES]).rows, range(4)))
    assert sum(map(bool, written)) == 1
    assert in_ledger(settings) == sorted(max(written, key=len), key=repr)


def test_versions_that_cannot_be_read_any_more_are_passed_over_and_the_next_ones_told(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(TITLES.path(settings.lake_root))
    put(settings, TITLES, [title(MONDAY, "a", 1)], "p1")
    for file in path.rglob("*.parquet"):
        file.unlink()
    put(settings, TITLES, [title(MONDAY, "a", 2)], "p2", MONDAY)
    assert ledger.record(settings.lake_root, [TITLES]).rows == []
    assert "files of an old version are gone" in caplog.text
    put(settings, TITLES, [title(MONDAY, "a", 3)], "p3", MONDAY)
    assert told(ledger.record(settings.lake_root, [TITLES]).rows)[MONDAY, "plays"] == (2, 3, 1)


def silver(lake: Settings, sent: Sequence[Message], stage_id: str, bronze: int) -> int:
    """What the silver job leaves of these records; the version of its sessions."""
    rows = [{**row, "event_date": row["occurred_at"].date()} for row in expected_events(list(sent)).values()]
    put(lake, EVENTS, [{name: row[name] for name in ("event_id", "event_date")} for row in rows], stage_id,
        complete={BRONZE_NAME: bronze})  # fmt: skip
    return put(lake, SESSIONS, [{"start_date": MONDAY, "session_id": "s"}], stage_id, complete={BRONZE_NAME: bronze})


def test_records_and_events_responsible_are_those_of_the_day_that_came_in_between(settings: Settings) -> None:
    sent = sorted(playback(seed=3, viewers=6), key=lambda one: one.received_ms)
    half = len(sent) // 2
    write_bronze(settings, sent[:half])
    first = silver(settings, sent[:half], "s1", 0)
    day = START.date()
    put(settings, TITLES, [title(day, "a", 1)], "p1", complete={SESSIONS.full_name: first})
    parts = (sent[half::2], sent[half + 1 :: 2])
    for part in parts:  # two commits of the sink
        write_bronze(settings, part)
    second = silver(settings, sent, "s2", 2)
    put(settings, TITLES, [title(day, "a", 2)], "p2", day, complete={SESSIONS.full_name: second})

    def of_the_day(rows: Sequence[datetime]) -> int:
        return sum(moment.date() == day for moment in rows)

    late = Decoder(PLAYBACK).decode(sent[half:]).rows["occurred_at"].to_pylist()
    known = [row["occurred_at"] for row in expected_events(sent).values()]
    had = [row["occurred_at"] for row in expected_events(sent[:half]).values()]
    expected = (of_the_day(late), of_the_day(known) - of_the_day(had))
    assert 0 < expected[1] < expected[0]  # some came twice
    rows = ledger.record(settings.lake_root, [TITLES]).rows
    assert {(row["records"], row["events"], row["silver_stage_id"]) for row in rows} == {(*expected, "s2")}

    # The same silver, by another definition: no event is responsible.
    put(settings, TITLES, [title(day, "a", 3)], "p3", day, complete={SESSIONS.full_name: second})
    rows = ledger.record(settings.lake_root, [TITLES]).rows
    assert {(row["records"], row["events"]) for row in rows} == {(0, 0)}

    # Bronze's log is gone: unknown, not none.
    third = silver(settings, sent, "s3", 3)
    put(settings, TITLES, [title(day, "a", 4)], "p4", day, complete={SESSIONS.full_name: third})
    assert {row["records"] for row in ledger.record(settings.lake_root, [TITLES]).rows} == {None}


def test_a_change_that_is_not_ours_is_told_as_that(settings: Settings) -> None:
    put(settings, TITLES, [title(MONDAY, "a", 1)], "p1")
    put(settings, TITLES, [title(MONDAY, "a", 2)])
    rows = ledger.record(settings.lake_root, [TITLES]).rows
    assert {(row["publish_id"], row["records"]) for row in rows} == {(None, None)}
    assert told(rows)[MONDAY, "plays"] == (1, 2, 1)
