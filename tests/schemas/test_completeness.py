"""What a row of gold says of itself: as of when, how much of its time, whether for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from schemas.completeness import COLUMNS, expressions
from schemas.event import MAX_PAST
from schemas.table import Table

TIMEOUT_S = 1800
DAY = datetime(2026, 1, 15, tzinfo=UTC)
"""The row's time begins then."""
FINAL = MAX_PAST + timedelta(seconds=TIMEOUT_S)


def table(*grain: str) -> Table:
    return Table(layer="gold", name="t", description="", owner="", grain=grain, partition_by="play_date")


def told(of: Table, as_of: datetime | None) -> tuple[Any, ...]:
    """As DuckDB computes it for a row that begins on DAY."""
    values = expressions(of, as_of, TIMEOUT_S)
    assert list(values) == [column.name for column in COLUMNS]
    row = f"SELECT DATE '{DAY:%Y-%m-%d}' AS play_date, TIMESTAMPTZ '{DAY}' AS minute, TIMESTAMPTZ '{DAY}' AS hour"
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        found = con.execute(f"SELECT {', '.join(values.values())} FROM ({row})").fetchone()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("since_begin", "completeness", "is_final"),
    [
        (timedelta(hours=-1), 0.0, False),
        (timedelta(hours=6), 0.25, False),
        (timedelta(days=1), 1.0, False),
        (timedelta(days=1) + FINAL - timedelta(microseconds=1), 1.0, False),
        (timedelta(days=1) + FINAL, 1.0, True),
    ],
)
def test_a_day(since_begin: timedelta, completeness: float, is_final: bool) -> None:
    as_of = DAY + since_begin
    assert told(table("play_date", "content_id"), as_of) == (as_of, completeness, is_final)


@pytest.mark.parametrize(("column", "length"), [("minute", timedelta(minutes=1)), ("hour", timedelta(hours=1))])
def test_a_row_of_a_shorter_time_is_complete_when_that_has_passed(column: str, length: timedelta) -> None:
    of = table(column, "country")
    assert told(of, DAY + length / 2)[1:] == (0.5, False)
    assert told(of, DAY + length + FINAL - timedelta(microseconds=1))[1:] == (1.0, False)
    assert told(of, DAY + length + FINAL)[1:] == (1.0, True)


def test_a_state_is_whole_and_never_for_good() -> None:
    assert told(table("content_id"), DAY) == (DAY, 1.0, False)


def test_what_is_not_known_is_null() -> None:
    assert told(table("play_date"), None) == (None, None, None)
