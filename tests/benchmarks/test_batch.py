"""The lake that is measured: what comes late of it, and that DuckDB's SQL says of it what the platform's fold says."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from benchmarks import batch, recording
from benchmarks.bronze import LATE_EVENTS, LATE_SESSIONS, NOT_LATE, SCATTERED, Bronze, late_part
from benchmarks.in_duckdb import statements
from benchmarks.result import Section
from infra.delta_scan import load_delta
from infra.settings import Settings
from schemas.fact import facts_of, to_ms
from schemas.quality import PARTS
from schemas.session_row import session_row
from schemas.sessionize import sessionize

TIMEOUT_MS = 1_800_000
MADE = recording.record(6000, within_ms=3 * 86_400_000)


def test_the_newest_sessions_and_some_of_all_days_end_late() -> None:
    late = late_part(MADE, 2)
    sessions = len(np.unique(MADE.session))
    for part in (0, 1, SCATTERED):
        touched = np.unique(MADE.session[late == part])
        assert abs(len(touched) - sessions / LATE_SESSIONS) <= 1
        for session in touched:
            own = MADE.session == session
            assert sorted(MADE.seq[own & (late == NOT_LATE)]) == list(range(own.sum() - LATE_EVENTS))
            assert (own & (late == part)).sum() == min(LATE_EVENTS, own.sum())
    begins = [MADE.at_ms[(late == part)].min() for part in (0, 1)]
    assert all(one < other for one, other in pairwise(begins))


def test_duckdb_says_what_the_platforms_fold_says(settings: Settings, tmp_path: Path) -> None:
    bronze = Bronze(settings, MADE, 2)
    expected = {row["session_id"]: row for row in folded(bronze.path)}
    with duckdb.connect(config={"threads": 1}) as connection:
        load_delta(connection)
        connection.execute("SET TimeZone = 'UTC'")
        for statement in statements(bronze.path, tmp_path, TIMEOUT_MS):
            connection.execute(statement)

        def rows(of: str) -> list[dict[str, Any]]:
            return connection.execute(f"SELECT * FROM {of}").to_arrow_table().to_pylist()

        sessions, minutes = rows("sessions"), rows(f"'{tmp_path}/quality_minute.parquet'")
    minutes_of_all: defaultdict[Any, Counter[str]] = defaultdict(Counter)
    for row in expected.values():
        for minute in row.pop("minutes"):
            minutes_of_all[minute["minute"]].update({part: minute[part] for part in PARTS})
    assert {row["session_id"]: row for row in sessions} == expected
    assert any(row["duplicate_event_count"] for row in sessions)
    assert {row["end_reason"] for row in sessions} == {"stop", "timeout", "open"}
    total = [row for row in minutes if row["rollup"] == "total"]
    assert {row["minute"]: {part: row[part] for part in PARTS} for row in total} == minutes_of_all
    started = sum(row["startup_ms"] is not None for row in sessions)
    assert {
        sum(map(sum, (row["startup_histogram"] or [] for row in minutes if row["rollup"] == rollup)))
        for rollup in ("total", "title", "country_device", "cdn_app_country")
    } == {started}


def folded(path: str) -> list[dict[str, Any]]:
    """Rows of sessions, by the fold in Python."""
    table = DeltaTable(path).to_pyarrow_table()
    rows = sorted(table.to_pylist(), key=lambda row: (row["received_at"], row["partition"], row["offset"]))
    copies = Counter(row["event_id"] for row in rows)
    firsts = {row["event_id"]: row for row in reversed(rows)}
    kept = pa.Table.from_pylist(list(firsts.values()), schema=table.schema).combine_chunks()
    groups = defaultdict(list)
    for group, fact in zip(kept["group_id"].to_pylist(), facts_of(kept.to_batches()[0]), strict=True):
        groups[group] += [fact] * copies[fact.event_id]
    now_ms = to_ms(rows[-1]["received_at"])
    return [
        session_row(state, minutes, now_ms, TIMEOUT_MS)
        for facts in groups.values()
        for state, minutes in sessionize(facts, TIMEOUT_MS)
    ]


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.timeout(900)
def test_both_make_the_same_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the measurement, small. It compares what both have made, and adds up what came late."""
    monkeypatch.setattr("benchmarks.result.wait_quiet", lambda: "")
    section: Section = batch.measure(1, 0.002)
    assert not section.warnings
    assert len(section.text) == 4
