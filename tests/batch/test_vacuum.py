"""What vacuum takes: nothing that a reader can ask for, and nothing that would disturb a stage."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from batch.gold.changed import changed_days
from batch.history import days_there, is_feed_whole
from batch.vacuum import vacuum
from infra.settings import Settings
from schemas.publication import PUBLISHED, Publish, write_record
from schemas.table import KEEP_DAYS
from schemas.tables.sessions import SESSIONS

DAY_S = 86_400
DAYS = (date(2026, 1, 10), date(2026, 1, 11))


def put(path: str, day: date, names: list[str]) -> None:
    rows = pa.table(
        {
            "session_id": names,
            "ended_at": pa.array([datetime(day.year, day.month, day.day, 12, tzinfo=UTC)] * len(names)),
            "start_date": pa.array([day] * len(names), pa.date32()),
        }
    )
    configuration = {
        "delta.enableChangeDataFeed": "true",
        "delta.deletedFileRetentionDuration": "interval 30 days",
    }
    write_deltalake(path, rows, mode="append", partition_by=["start_date"], configuration=configuration)


def files(path: str) -> set[str]:
    return {
        file.relative_to(path).as_posix() for file in Path(path).rglob("*.parquet") if "_delta_log" not in file.parts
    }


def age(path: str, days: float) -> None:
    """As if all that was done to the table had been done `days` earlier."""
    earlier = int(days * DAY_S * 1000)
    for file in Path(path).rglob("*"):
        if file.suffix == ".json":
            text = file.read_text()
            for name in ("deletionTimestamp", "modificationTime", "timestamp"):
                text = _moved(text, name, earlier)
            written = file.stat().st_mtime
            file.write_text(text)
            os.utime(file, (written,) * 2)
        if file.is_file():
            os.utime(file, (file.stat().st_mtime - days * DAY_S,) * 2)


def _moved(text: str, name: str, earlier_ms: int) -> str:
    return re.sub(rf'("{name}":)(\d+)', lambda found: f"{found[1]}{int(found[2]) - earlier_ms}", text)


def told(settings: Settings) -> dict[str, int]:
    return {done.table: done.files for done in vacuum(settings)}


@pytest.fixture
def lake(settings: Settings) -> str:
    """Sessions of two days: one of the first day's was taken out, the second day's were made anew; and an orphan."""
    path = SESSIONS.path(settings.lake_root)
    put(path, DAYS[0], ["a", "b"])
    put(path, DAYS[1], ["c"])
    DeltaTable(path).delete("session_id = 'a'")
    Path(path, f"start_date={DAYS[0]}", "never-committed.parquet").write_bytes(b"-")
    return path


def test_what_was_replaced_goes_when_its_time_is_over(settings: Settings, lake: str) -> None:
    before, now = files(lake), set(DeltaTable(lake).file_uris())
    assert told(settings) == {SESSIONS.full_name: 0}
    age(lake, KEEP_DAYS - 0.1)
    assert told(settings) == {SESSIONS.full_name: 0}
    assert is_feed_whole(lake, 0, 2)
    age(lake, 0.2)
    assert told(settings) == {SESSIONS.full_name: 3}, "the file that was rewritten, the feed's, the orphan"
    assert files(lake) == before & {Path(file).relative_to(lake).as_posix() for file in now}
    assert DeltaTable(lake).version() == 2, "no commit: a stage that waits is not disturbed"
    assert told(settings) == {SESSIONS.full_name: 0}
    assert DeltaTable(lake).to_pyarrow_table()["session_id"].to_pylist() in (["b", "c"], ["c", "b"])


def test_the_published_version_keeps_its_files(settings: Settings, lake: str) -> None:
    moment = datetime(2026, 1, 12, tzinfo=UTC)
    record = Publish(publish_id="p", published_at=moment, cutover_minute=moment, versions={SESSIONS.full_name: 1})
    settings.warehouse.mkdir(parents=True)
    write_record(settings.warehouse / PUBLISHED, record)
    age(lake, KEEP_DAYS + 1)
    assert told(settings) == {SESSIONS.full_name: 2}, "the feed's file, the orphan"
    assert sorted(DeltaTable(lake, version=1).to_pyarrow_table()["session_id"].to_pylist()) == ["a", "b", "c"]


def test_who_follows_learns_that_the_changes_are_gone(settings: Settings, lake: str) -> None:
    assert changed_days(lake, SESSIONS, 1, 2) == {str(DAYS[0])}
    age(lake, KEEP_DAYS + 1)
    told(settings)
    assert is_feed_whole(lake, 0, 1)
    assert not is_feed_whole(lake, 1, 2)
    assert changed_days(lake, SESSIONS, 1, 2) is None
    assert days_there(lake, "start_date") == {str(day) for day in DAYS}
