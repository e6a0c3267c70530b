"""Silver of a lake that grows: late events move sessions, bronze is merged and cleaned under it, days are restated.

All are long, so that `make test` starts one Spark server: its processes take whole files, each with servers of its own.
"""

from __future__ import annotations

import os
import time
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from deltalake import DeltaTable

from batch import run
from batch.history import can_follow, progress
from batch.stage import Days
from infra.settings import Settings
from schemas.fact import to_ms
from schemas.tables import BRONZE, SILVER
from streams.maintain import maintain_table
from tests.batch.world import (
    START,
    expected_events,
    expected_sessions,
    numbered,
    pass_through,
    playback,
    read,
    wire,
    write_bronze,
)

pytestmark = [pytest.mark.spark, pytest.mark.long, pytest.mark.timeout(900)]


def test_derived_sessions_that_a_late_event_merges_or_splits_leave_no_orphan(lake: Settings) -> None:
    def viewing(*minutes: int) -> list[tuple[int, int, bytes]]:
        received = to_ms(START + timedelta(hours=6))
        events = [wire(START + timedelta(minutes=m), "play", userId="u", contentId="t") for m in minutes]
        return [(received, 0, msgspec.json.encode(event)) for event in events]

    sent = numbered(viewing(100, 150, 400, 10, 125))
    write_bronze(lake, sent[:3])
    pass_through(lake, "silver")
    assert len(read(lake, "silver.sessions")) == 3
    write_bronze(lake, sent[3:4])  # earlier than all: another session, on the day before
    pass_through(lake, "silver")
    assert len(read(lake, "silver.sessions")) == 4
    write_bronze(lake, sent[4:])  # joins two
    pass_through(lake, "silver")
    assert read(lake, "silver.sessions") == expected_sessions(lake, sent)
    assert sorted(row["event_count"] for row in read(lake, "silver.sessions")) == [1, 1, 3]


def test_silver_follows_bronze_over_merges_and_over_a_log_that_was_cleaned(lake: Settings) -> None:
    table = BRONZE["user.playback.events"]
    path = Path(table.path(lake.lake_root))
    sent = playback(seed=4, viewers=6)
    cuts = [0, len(sent) // 4, len(sent) // 2, len(sent)]
    parts = [sent[begin:end] for begin, end in pairwise(cuts)]
    write_bronze(lake, parts[0])
    assert pass_through(lake, "silver")
    # Merged before silver has seen it; what was merged must come once, and the merge itself is no news.
    write_bronze(lake, parts[1])
    maintain_table(path, table, ("partition", "offset"), time.time() + 86_400)
    assert pass_through(lake, "silver")
    followed = DeltaTable(path).version()
    assert run.stage(lake, "silver") is None
    # Away for longer than the log is kept: silver's version is one that nobody can read any more.
    for part in (parts[2][::2], parts[2][1::2]):
        write_bronze(lake, part)
    DeltaTable(path).create_checkpoint()
    for file in (path / "_delta_log").iterdir():
        os.utime(file, (time.time() - 8 * 86_400,) * 2)
    DeltaTable(path).cleanup_metadata()
    assert not can_follow(str(path), followed, followed + 1)
    assert pass_through(lake, "silver")
    assert read(lake, "silver.sessions") == expected_sessions(lake, sent)
    expected = expected_events(sent)
    rows = read(lake, "silver.playback_events")
    assert len(rows) == len(expected)
    assert {row["event_id"] for row in rows} == expected.keys()


def test_restated_days_of_silver_come_out_the_same(lake: Settings) -> None:
    sent = playback(seed=9, viewers=6)
    write_bronze(lake, sent)
    pass_through(lake, "silver")
    tables = ("silver.playback_events", "silver.sessions")
    before = {table: read(lake, table) for table in tables}
    done = progress(SILVER["sessions"].path(lake.lake_root))
    assert done is not None
    assert done.complete == {BRONZE["user.playback.events"].full_name: 0}
    manifest = pass_through(lake, "silver", Days(date(2026, 1, 16), date(2026, 1, 16)))
    assert manifest is not None
    assert manifest.tables["playback_events"].dates == ["2026-01-16"]
    assert {table: read(lake, table) for table in tables} == before
    after = progress(SILVER["sessions"].path(lake.lake_root))
    assert after is not None
    assert (after.complete, after.now) == (done.complete, done.now)
