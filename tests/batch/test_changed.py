"""Which days a table of silver has changed on: what every row says, told by log and feed."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from batch.gold.changed import changed_days
from schemas.tables import SILVER
from schemas.tables.sessions import SESSIONS

BEGIN = datetime(2026, 1, 10, tzinfo=UTC)
Visit = tuple[str, datetime, datetime]


def visits(rnd: random.Random, count: int, within_days: int) -> list[Visit]:
    found = []
    for _ in range(count):
        start = BEGIN + timedelta(seconds=rnd.randrange(within_days * 86_400))
        found.append((f"s{rnd.random()}", start, start + timedelta(minutes=rnd.choice((1, 60, 1_000)))))
    return found


def days_of(rows: list[Visit]) -> set[str]:
    return {
        str(start.date() + timedelta(days=n))
        for _, start, end in rows
        for n in range((end.date() - start.date()).days + 1)
    }


def put(path: Path, rows: list[Visit]) -> None:
    data = pa.table(
        {
            "session_id": [name for name, _, _ in rows],
            "ended_at": pa.array([end for _, _, end in rows], pa.timestamp("us", "UTC")),
            "start_date": pa.array([start.date() for _, start, _ in rows], pa.date32()),
        }
    )
    feed = {"delta.enableChangeDataFeed": "true"}
    write_deltalake(str(path), data, mode="append", partition_by=["start_date"], configuration=feed)


@pytest.mark.parametrize("seed", range(4))
def test_days_are_those_of_the_rows_that_came_and_went(tmp_path: Path, seed: int) -> None:
    rnd = random.Random(seed)
    first, second = visits(rnd, 12, 20), visits(rnd, 3, 20)
    put(tmp_path, first)
    put(tmp_path, second)
    path = str(tmp_path)
    assert changed_days(path, SESSIONS, None, 1) == days_of([*first, *second])
    assert changed_days(path, SESSIONS, None, 0) == days_of(first)
    assert changed_days(path, SESSIONS, 0, 1) == days_of(second)
    gone = rnd.sample(first, 2)
    listed = ", ".join(f"'{name}'" for name, _, _ in gone)
    DeltaTable(path).delete(f"session_id IN ({listed})")
    assert changed_days(path, SESSIONS, 1, 2) == days_of(gone)
    assert changed_days(path, SESSIONS, 0, 2) == days_of([*second, *gone])


def test_where_the_log_has_no_bounds_rows_tell(tmp_path: Path) -> None:
    rows = visits(random.Random(7), 12, 20)
    put(tmp_path, rows)
    for file in (tmp_path / "_delta_log").glob("*.json"):
        file.write_text(file.read_text().replace('\\"ended_at\\":\\"2', '\\"unknown\\":\\"2'))
    assert changed_days(str(tmp_path), SESSIONS, None, 0) == days_of(rows)


def test_an_event_takes_part_in_its_day(tmp_path: Path) -> None:
    table = SILVER["ui_events"]
    days = [date(2026, 1, 3), date(2026, 1, 5)]
    data = pa.table({"event_id": ["a", "b"], "event_date": pa.array(days, pa.date32())})
    write_deltalake(str(tmp_path), data, partition_by=["event_date"])
    assert changed_days(str(tmp_path), table, None, 0) == {"2026-01-03", "2026-01-05"}
