"""What changed rows add and take comes to the same as making a day anew, or it is not done."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.gold.differences import DifferentDays, Misfit, may_differ
from batch.gold.signed import SIGN
from schemas.progress import Progress
from schemas.table import Table

DAY = date(2026, 1, 15)
TABLE = Table(
    layer="gold",
    name="some",
    description="",
    owner="",
    grain=("hour", "cdn"),
    partition_by="play_date",
    additive=("events", "watched_ms"),
)
SCHEMA = pa.schema(
    [
        ("play_date", pa.date32()),
        ("hour", pa.int32()),
        ("cdn", pa.string()),
        ("events", pa.int64()),
        ("watched_ms", pa.int64()),
        ("stall_ms", pa.int64()),
        ("startup_histogram", pa.list_(pa.int64())),
    ]
)
FACTS = st.tuples(
    st.integers(0, 2), st.integers(0, 2), st.sampled_from((None, "a", "b")), st.integers(0, 1), st.integers(0, 3),
    st.none() | st.integers(0, 2),
)  # fmt: skip
"""What one row of silver adds to one row of gold: day, hour, CDN, more events, stall_ms, startup bucket."""
Fact = tuple[int, int, str | None, int, int, int | None]


def gold(facts: Counter[Fact]) -> list[dict[str, Any]]:
    """The table's SELECT, by hand."""
    rows: dict[tuple[int, int, str | None], list[tuple[Fact, int]]] = defaultdict(list)
    for fact, count in facts.items():
        rows[fact[:3]] += [(fact, count)] if count else []
    made = []
    for (day, hour, cdn), of_row in rows.items():
        if of_row:
            buckets = [sum(n for fact, n in of_row if fact[5] == bucket) for bucket in range(3)]
            made.append(
                {
                    "play_date": DAY + timedelta(days=day),
                    "hour": hour,
                    "cdn": cdn,
                    "events": sum(n * fact[3] for fact, n in of_row),
                    "watched_ms": sum(n * (1 - fact[3]) for fact, n in of_row),
                    "stall_ms": sum(n * fact[4] for fact, n in of_row),
                    "startup_histogram": buckets if any(buckets) else None,
                }
            )
    return made


def changes(gone: Counter[Fact], came: Counter[Fact]) -> pa.Table:
    rows = [row | {SIGN: sign} for sign, facts in ((-1, gone), (1, came)) for row in gold(facts)]
    return pa.Table.from_pylist(rows, schema=SCHEMA.append(pa.field(SIGN, pa.int32())))


def made(before: list[dict[str, Any]], changed: pa.Table, rows_a_group: int = 2) -> tuple[list[str], pa.Table]:
    """The days that differences touch, and their rows as written."""
    with TemporaryDirectory() as home:
        path, folder = Path(home, "gold"), Path(home, "stage-1")
        table = pa.Table.from_pylist(before, schema=SCHEMA)
        write_deltalake(path, table, partition_by=["play_date"])
        days = DifferentDays.of(TABLE, str(path), 0, changed)
        assert days is not None
        days.write(str(folder))
        if not folder.exists():
            return days.dates, SCHEMA.empty_table()
        return days.dates, ds.dataset(folder, SCHEMA, partitioning="hive").to_table()


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=repr)


@settings(deadline=None, max_examples=60)
@given(st.lists(FACTS), st.lists(FACTS), st.lists(FACTS))
def test_the_days_are_as_if_made_anew(stay: list[Fact], go: list[Fact], come: list[Fact]) -> None:
    dates, found = made(gold(Counter([*stay, *go])), changes(Counter(go), Counter(come)))
    assert dates == sorted({str(DAY + timedelta(days=fact[0])) for fact in (*go, *come)})
    expected = [row for row in gold(Counter([*stay, *come])) if str(row["play_date"]) in dates]
    assert in_order(found.to_pylist()) == in_order(expected)


def test_a_difference_that_does_not_fit_is_none() -> None:
    one: Fact = (0, 1, "a", 1, 5, 2)
    with pytest.raises(Misfit, match="no less than 0 of stall_ms"):
        made(gold(Counter([(0, 1, "a", 1, 4, 2)])), changes(Counter([one]), Counter()))
    empty = changes(Counter(), Counter([one]))
    nothing = empty.set_column(5, "stall_ms", pa.nulls(1, pa.int64()))
    with pytest.raises(Misfit, match="expected a number in every row of stall_ms"):
        made(gold(Counter([one])), nothing)
    fraction = empty.set_column(5, "share", pa.array(np.ones(1)))
    with pytest.raises(Misfit, match="expected whole numbers in every column but play_date, hour, cdn"):
        made(gold(Counter([one])), fraction)


def test_only_what_is_all_of_one_definition_and_one_version_is_made_so() -> None:
    done = Progress(stage_id="s", complete={"silver.sessions": 4}, sources={"silver.sessions": 4}, definition="d")
    assert may_differ(TABLE, done, ["silver.sessions"], "d")
    assert not may_differ(TABLE, None, ["silver.sessions"], "d")
    assert not may_differ(TABLE, done, ["silver.sessions"], "another")
    assert not may_differ(replace(TABLE, additive=()), done, ["silver.sessions"], "d")
    by_hand = Progress(stage_id="s", complete={"silver.sessions": 4}, sources={"silver.sessions": 6}, definition="d")
    assert not may_differ(TABLE, by_hand, ["silver.sessions"], "d"), "some days are of a later version"
