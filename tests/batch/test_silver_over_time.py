"""A lake that grows: late events move sessions, bronze is merged and cleaned under it, days are restated.

All are long, so that `make test` starts one Spark server: its processes take whole files, each with servers of its own.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from deltalake import DeltaTable

from batch import run
from batch.gold.stage import gold_tables, sources_of
from batch.history import can_follow
from batch.stage import Days
from infra.settings import Settings
from schemas.fact import to_ms
from schemas.progress import progress
from schemas.tables import BRONZE, SILVER
from schemas.tables.sessions import SESSIONS
from streams.maintain import maintain_table
from streams.message import Message
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
from tests.conftest import isolated_settings

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


def test_gold_has_no_orphan_of_sessions_that_late_events_merge_split_and_reopen(
    lake: Settings, tmp_path: Path, spark_server: Settings
) -> None:
    """Over a midnight, with gold made after each delivery: in the end it is that of a lake that got all at once."""
    clock = to_ms(START + timedelta(hours=6))

    def viewing(received_ms: int, minute: int, **fields: str) -> tuple[int, int, bytes]:
        event = wire(START + timedelta(minutes=minute), "play", userId="u", contentId="t", durationMs=600_000, **fields)
        return received_ms, 0, msgspec.json.encode(event)

    def night(minute: int, kind: str) -> tuple[int, int, bytes]:
        event = wire(START + timedelta(minutes=minute), kind, userId="v", contentId="t", sessionId="night")
        return to_ms(START + timedelta(minutes=minute)), 1, msgspec.json.encode(event)

    first = [night(110, "play"), night(111, "first_frame"), night(125, "heartbeat")]  # 23:50 to 00:05
    first += [viewing(clock, minute) for minute in (100, 150, 400)]
    # Joins two, and goes on with the night's session hours after its time-out.
    second = [viewing(clock + 2000, 125, eventId="moved"), night(300, "heartbeat"), night(301, "stop")]
    # Received before the copy that is known, so it counts, and happened at another time: the two come apart again.
    third = [viewing(clock + 1000, 10, eventId="moved")]
    sent: list[Message] = []
    counts = []
    for arrivals in (first, second, third):
        ends = Counter(one.place for one in sent)
        new = [replace(one, at=one.at + ends[one.place]) for one in numbered(arrivals)]
        sent += new
        write_bronze(lake, new)
        pass_through(lake, "silver")
        pass_through(lake, "gold")
        assert read(lake, "silver.sessions") == expected_sessions(lake, sent)
        sessions = read(lake, "silver.sessions")
        counts.append(len(sessions))
        assert sum(row["sessions"] for row in read(lake, "gold.title_daily")) == len(sessions)
        assert {row["end_reason"] for row in sessions if row["session_id"] == "night"} == {
            "timeout" if len(counts) == 1 else "stop"
        }
    assert counts == [4, 3, 5]

    whole = replace(isolated_settings(tmp_path / "whole"), spark_remote=spark_server.spark_url)
    write_bronze(whole, sent)
    pass_through(whole, "silver")
    pass_through(whole, "gold")
    for name, table in gold_tables().items():
        if SESSIONS in sources_of(table):
            assert read(lake, f"gold.{name}") == read(whole, f"gold.{name}"), name
            assert name == "title_retention" or read(lake, f"gold.{name}")
