from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from infra.errors import ContractError
from schemas.live_minute import minute_key
from schemas.quality import DIMENSIONS, PARTS, STARTUP_BUCKETS
from schemas.registry import LIVE_QUALITY
from schemas.standing import Standing
from warehouse import live, publication
from warehouse.live_state import LiveState

MINUTE = 1_768_478_400  # 2026-01-15 12:00 UTC


def record(
    minute: int = MINUTE, rollup: str = "total", partition: int = 0, position: int = 1, plays: int = 0, **values: Any
) -> tuple[bytes, bytes]:
    """A record as the stream worker publishes it."""
    startups = [0] * STARTUP_BUCKETS
    startups[36] = plays
    value = dict.fromkeys(DIMENSIONS) | dict.fromkeys(PARTS, 0)
    value |= {"rollup": rollup, "partition": partition, "minute": minute, "plays": plays, "startup_histogram": startups}
    value |= {"frozen": False, "position": position} | values
    return minute_key(rollup, "t", partition, minute, f"{values}"), msgspec.json.encode(value)


def now(partition: int, at: int, concurrent: int) -> tuple[bytes, bytes]:
    counts = dict.fromkeys(("position", "applied", "events"), 7)
    return Standing(topic="t", partition=partition, at=at, clock=at, concurrent=concurrent, **counts).record()


def plays(state: LiveState) -> dict[tuple[datetime, str | None], int]:
    return {(row["minute"], row["content_id"]): row["plays"] for row in state.table().to_pylist()}


def stamp(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def test_values_are_absolute_and_added_up_over_partitions() -> None:
    state = LiveState(1000)
    for position, count in ((1, 3), (2, 5)):
        state.apply(*record(partition=0, position=position, plays=count))
    state.apply(*record(partition=1, plays=10))
    assert plays(state) == {(stamp(MINUTE), None): 15}
    assert state.table()["startup_histogram"].to_pylist()[0][36] == 15


def test_a_late_write_of_an_older_state_changes_nothing() -> None:
    state = LiveState(1000)
    state.apply(*record(position=9, plays=50))
    state.apply(*record(position=4, plays=20))
    assert plays(state) == {(stamp(MINUTE), None): 50}


def test_any_order_gives_the_same_table() -> None:
    records = [
        record(MINUTE + 60 * minute, rollup, partition, position, plays=position * (partition + 1), content_id=title)
        for minute in range(3)
        for rollup, title in (("total", None), ("title", "a"), ("title", "b"))
        for partition in range(3)
        for position in range(1, 4)
    ]
    tables = []
    for seed in range(5):
        state = LiveState(1000)
        random.Random(seed).shuffle(records)
        for one in records + records[:10]:
            state.apply(*one)
        tables.append(plays(state))
    assert all(table == tables[0] for table in tables)
    assert tables[0][stamp(MINUTE), "a"] == 3 * (1 + 2 + 3)


def test_the_oldest_minutes_go_when_there_are_too_many_rows() -> None:
    state = LiveState(max_rows=4)
    for minute in range(6):
        state.apply(*record(MINUTE + 60 * minute, plays=1))
    assert state.rows == 4
    assert state.first_minute_s == state.dropped_before_s == MINUTE + 120
    state.apply(*record(MINUTE, position=99, plays=1))  # too late to come back
    assert state.first_minute_s == MINUTE + 120


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"rollup": "total", "minute": "x"}', b"\xff"])
def test_a_record_that_is_none_is_refused_and_changes_nothing(value: bytes) -> None:
    state = LiveState(1000)
    with pytest.raises(ContractError, match="live topic"):
        state.apply(b"total/0/1/////", value)
    assert state.rows == 0


@pytest.fixture
def file(tmp_path: Path) -> live.LiveFile:
    return live.LiveFile(tmp_path, wall_clock=lambda: MINUTE + 600)


def read(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / publication.LIVE), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(sql).fetchall()


def test_the_file_holds_the_state(file: live.LiveFile, tmp_path: Path) -> None:
    state = LiveState(1000)
    state.apply(*record(plays=4, cdn="cdn-a"))
    state.apply(*now(0, at=MINUTE * 1000 + 1500, concurrent=12))
    state.apply(*now(1, at=MINUTE * 1000, concurrent=3))
    file.write(state, cutover_s=MINUTE)
    assert read(tmp_path, "SELECT minute, plays, cdn, startup_histogram[37] FROM quality_minute") == [
        (stamp(MINUTE), 4, "cdn-a", 4)
    ]
    assert read(tmp_path, "SELECT sum(concurrent), epoch_ms(max(received_at)) FROM now") == [(15, MINUTE * 1000 + 1500)]
    assert read(tmp_path, "SELECT gap_from, gap_to, kept_from FROM meta") == [(None, None, stamp(MINUTE))]
    assert [path.name for path in tmp_path.iterdir()] == [publication.LIVE]


def test_the_file_names_a_gap(file: live.LiveFile, tmp_path: Path) -> None:
    state = LiveState(max_rows=2)
    for minute in range(5):
        state.apply(*record(MINUTE + 60 * minute))
    file.write(state, cutover_s=MINUTE + 60)
    assert read(tmp_path, "SELECT gap_from, gap_to FROM meta") == [(stamp(MINUTE + 60), stamp(MINUTE + 180))]
    file.write(state, cutover_s=MINUTE + 180)
    assert read(tmp_path, "SELECT gap_from, gap_to FROM meta") == [(None, None)]


def test_what_the_topic_has_forgotten_is_a_gap_too(tmp_path: Path) -> None:
    retention_s = LIVE_QUALITY.retention_ms // 1000
    file = live.LiveFile(tmp_path, wall_clock=lambda: MINUTE + retention_s + 300)
    file.write(LiveState(1000), cutover_s=MINUTE)
    assert read(tmp_path, "SELECT gap_from, gap_to FROM meta") == [(stamp(MINUTE), stamp(MINUTE + 300))]


def test_minutes_stay_until_readers_have_left_the_publish_before() -> None:
    horizon = live.Horizon()
    assert horizon.needed_from(MINUTE, now=0) == MINUTE
    assert horizon.needed_from(MINUTE + 600, now=100) == MINUTE
    assert horizon.needed_from(MINUTE + 600, now=100 + live.KEEP_REPLACED_S - 1) == MINUTE
    assert horizon.needed_from(MINUTE + 600, now=100 + live.KEEP_REPLACED_S) == MINUTE + 600
    assert horizon.needed_from(MINUTE, now=500) == MINUTE, "a publish that was taken back"


def test_a_minute_that_is_published_is_not_even_read_when_it_comes_again() -> None:
    """The server reads the topic from its beginning, and most of it is of minutes that are published."""
    state = LiveState(1000)
    state.apply(*record(plays=3))
    state.apply(*record(MINUTE + 60, plays=2))
    state.forget_before(MINUTE + 60)
    old, new = (record(minute)[0] for minute in (MINUTE, MINUTE + 60))
    state.apply(old, b"{")
    with pytest.raises(ContractError):
        state.apply(new, b"{")
    assert plays(state) == {(stamp(MINUTE + 60), None): 2}
