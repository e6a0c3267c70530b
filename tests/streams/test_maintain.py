"""Maintenance beside a sink: the same rows in fewer files, nothing new for whoever follows, and never twice."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import data_files
from infra.data_files import DataFile
from infra.delta_scan import query as duckdb
from infra.delta_scan import scan
from infra.errors import LakeDamaged, ProcessError
from infra.settings import Settings
from infra.small_files import MAX_BYTES, MAX_FILES, MAX_ROWS, groups, is_small
from schemas.table import KEEP_DAYS
from schemas.tables import DEAD_LETTERS
from streams.delta_audit import audit
from streams.delta_compact import REST_MS
from streams.delta_sink import DeltaSink
from streams.maintain import TABLES, Done, maintain, maintain_table
from tests.streams.delta_world import (
    P0,
    RECEIVED_MS,
    SOURCE,
    TABLE,
    dead_in,
    letters,
    offsets_in,
    rows,
    table_in,
)

DAY_S = 86_400
TODAY_MS = RECEIVED_MS + DAY_S * 1000
ORDER = TABLES[TABLE.name][1]


def run(sink: DeltaSink, step: Callable[[str], None] = lambda _name: None) -> Done:
    """As if it were tomorrow for whatever was written now."""
    return maintain_table(sink.path, sink.table, TABLES[sink.table.name][1], time.time() + DAY_S, step)


def fill(sink: DeltaSink, count: int, received_ms: int = RECEIVED_MS, first: int = 0) -> None:
    """So many commits of three rows each."""
    for number in range(first, first + count):
        at = number * 3
        sink.commit(rows(range(at, at + 3), received_ms), {P0: (sink.stored(P0), at + 3)})


def content(path: Path, version: int | None = None) -> list[dict[str, Any]]:
    """Every column of every row, as DuckDB reads them."""
    return duckdb(f'SELECT * FROM {scan(path, version)} ORDER BY "partition", "offset"')


def files_of(path: Path) -> list[str]:
    from deltalake import DeltaTable

    return DeltaTable(path).file_uris()


@pytest.fixture
def sink(tmp_path: Path) -> DeltaSink:
    return table_in(tmp_path)


def test_the_same_rows_in_one_file_sorted_by_key(sink: DeltaSink) -> None:
    import pyarrow.parquet as pq

    fill(sink, 12)
    before, version = content(sink.path), sink.version
    done = run(sink)
    assert (done.merged, done.into) == (12, 1)
    assert content(sink.path) == before == content(sink.path, version)
    [file] = files_of(sink.path)
    keys = pq.ParquetFile(file).read().select(list(ORDER)).to_pylist()
    assert keys == sorted(keys, key=lambda row: (row["user_id"], row["partition"], row["offset"]))
    assert audit(sink.path) == 1
    sink.reopen()
    assert sink.stored(P0) == 36
    assert (run(sink).merged, len(files_of(sink.path))) == (0, 1), "a second time finds nothing to do"


def test_whoever_follows_the_changes_sees_none(sink: DeltaSink) -> None:
    import pyarrow as pa
    from deltalake import DeltaTable

    fill(sink, 3)
    version = sink.version
    run(sink)
    sink.reopen()
    fill(sink, 1, first=3)
    feed = pa.table(DeltaTable(sink.path).load_cdf(starting_version=version + 1).read_all())
    assert sorted(feed["offset"].to_pylist()) == [9, 10, 11]
    assert set(feed["_change_type"].to_pylist()) == {"insert"}


def test_files_of_the_last_hour_are_left_alone_whatever_day_they_are_of(sink: DeltaSink) -> None:
    fill(sink, 3)
    fill(sink, 3, int(time.time() * 1000), first=3)
    assert maintain_table(sink.path, TABLE, ORDER, time.time() + REST_MS / 1000 - 60).merged == 0
    done = maintain_table(sink.path, TABLE, ORDER, time.time() + REST_MS / 1000)
    assert (done.merged, done.into) == (6, 2), "of two days"


def test_a_sink_that_writes_meanwhile_is_not_disturbed(tmp_path: Path) -> None:
    sink = table_in(tmp_path)
    sink.commit(rows(range(3)), {P0: (None, 3)})
    stop, merged, took = threading.Event(), [], []

    def write() -> None:
        number = 1
        while not stop.is_set():
            began = time.monotonic()
            # Into the very day that is being merged: no PositionMoved, so nothing is ever read again.
            sink.commit(rows(range(number * 3, number * 3 + 3)), {P0: (number * 3, number * 3 + 3)})
            took.append(time.monotonic() - began)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    until = time.monotonic() + 1.5
    other = table_in(tmp_path)
    while time.monotonic() < until:
        merged.append(run(other).merged)
    stop.set()
    writer.join()
    print(f"{len(took)} commits beside {len(merged)} merges, median {sorted(took)[len(took) // 2]:.3f} s")
    assert sum(merged) > len(took) / 2, "they did not meet"
    assert offsets_in(sink.path) == list(range(sink.stored(P0) or 0))
    assert audit(sink.path) <= len(took)


def test_of_two_at_once_one_is_told_so(sink: DeltaSink) -> None:
    fill(sink, 4)
    before = content(sink.path)

    def meanwhile(name: str) -> None:
        if name == "before commit":
            maintain_table(sink.path, TABLE, ORDER, time.time() + DAY_S)

    with pytest.raises(ProcessError, match="another `playlake maintain` is at work"):
        run(sink, meanwhile)
    assert content(sink.path) == before


STEPS = ("before files", "before commit", "after commit", "before checkpoint", "before clean-up", "before vacuum")


@pytest.mark.parametrize("moment", STEPS)
def test_killed_at_any_step_it_leaves_a_whole_table(sink: DeltaSink, moment: str) -> None:
    class Killed(BaseException):
        pass

    def die(name: str) -> None:
        if name == moment:
            raise Killed

    fill(sink, 4)
    before = content(sink.path)
    with pytest.raises(Killed):
        run(sink, die)
    assert content(sink.path) == before
    audit(sink.path)
    sink.reopen()
    fill(sink, 1, first=4)
    run(sink)
    assert offsets_in(sink.path) == list(range(15))


@pytest.mark.parametrize(("days", "are_there"), [(KEEP_DAYS - 0.1, True), (KEEP_DAYS + 0.1, False)])
def test_files_that_were_replaced_go_after_the_retention_and_not_before(
    sink: DeltaSink, monkeypatch: pytest.MonkeyPatch, days: float, are_there: bool
) -> None:
    fill(sink, 3)
    old, version = files_of(sink.path), sink.version
    with monkeypatch.context() as patch:
        patch.setattr(data_files, "time", _Past(days))
        done = run(sink)
    # A checkpoint was made since: one that had forgotten the files would leave them there for ever.
    assert (done.merged, done.deleted) == (3, 0 if are_there else 3)
    assert [Path(file).exists() for file in old] == [are_there] * 3
    assert offsets_in(sink.path) == list(range(9))
    if are_there:
        assert len(content(sink.path, version)) == 9, "a pinned version can still be read"
    audit(sink.path)


class _Past:
    """A clock so many days ago."""

    def __init__(self, days: float) -> None:
        self._s = days * DAY_S

    def time(self) -> float:
        return time.time() - self._s


def test_the_log_is_cleaned_and_keeps_what_it_says(sink: DeltaSink, tmp_path: Path) -> None:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    fill(sink, 4)
    run(sink)
    log = sink.path / "_delta_log"
    old = DeltaTable(sink.path).version()
    for file in log.iterdir():
        os.utime(file, (time.time() - (KEEP_DAYS + 1) * DAY_S,) * 2)
    sink.reopen()
    fill(sink, 2, first=4)
    done = run(sink)
    assert done.log_files >= old - 1
    with pytest.raises(DeltaError):
        DeltaTable(sink.path, version=1)
    assert offsets_in(sink.path) == list(range(18))
    assert len(content(sink.path, old + 1)) == 15, "what came since can be read version by version"
    audit(sink.path)
    assert table_in(tmp_path).stored(P0) == 18
    # The handle of before goes on.
    fill(sink, 2, first=6)
    assert offsets_in(sink.path) == list(range(24))


def test_of_old_checkpoints_one_a_day_stays(sink: DeltaSink) -> None:
    from deltalake import DeltaTable

    ages = (3.3, 3.2, 2.2, 2.1, 0.1)
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0).timestamp()
    versions = []
    for number, age in enumerate(ages):
        fill(sink, 1, first=number)
        handle = DeltaTable(sink.path)
        handle.create_checkpoint()
        versions.append(handle.version())
        os.utime(sink.path / "_delta_log" / f"{handle.version():020}.checkpoint.parquet", (noon - age * DAY_S,) * 2)
    maintain_table(sink.path, TABLE, ORDER, noon)
    left = {int(file.name[:20]) for file in (sink.path / "_delta_log").glob("*.checkpoint.parquet")}
    assert {versions[1], versions[3], versions[4]} <= left
    assert not {versions[0], versions[2]} & left
    for number, version in enumerate(versions):
        assert len(content(sink.path, version)) == 3 * (number + 1)


def test_files_of_before_and_after_a_new_column_are_merged(tmp_path: Path) -> None:
    narrow = replace(TABLE, columns=tuple(c for c in TABLE.columns if c.name not in ("cdn", "fatal")))
    DeltaSink(narrow, str(tmp_path), SOURCE).commit(rows(range(3)).drop_columns(["cdn", "fatal"]), {P0: (None, 3)})
    sink = table_in(tmp_path)
    fill(sink, 2, first=1)
    before = content(sink.path)
    assert run(sink).merged == 3
    assert content(sink.path) == before


def test_a_damaged_table_is_left_alone(sink: DeltaSink) -> None:
    fill(sink, 3)
    Path(files_of(sink.path)[0]).unlink()
    version = sink.version
    with pytest.raises(LakeDamaged, match="is missing"):
        run(sink)
    sink.reopen()
    assert sink.version == version


def test_every_table_that_is_there(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    sink, dead = table_in(settings.lake_root), dead_in(settings.lake_root)
    fill(sink, 3)
    for number in range(3):
        dead.commit(letters([number]), {P0: (dead.stored(P0), number + 1)})
    before = content(dead.path)
    done = list(maintain(settings, time.time() + DAY_S))
    assert [(one.table, one.merged, one.into) for one in done] == [
        (TABLE.full_name, 3, 1),
        (DEAD_LETTERS.full_name, 3, 1),
    ]
    assert content(dead.path) == before
    assert "3 files merged into 1" in str(done[0])


NOW_MS = 1_800_000_000_000
DAYS = st.integers(-3, 1).map(lambda n: datetime.fromtimestamp(NOW_MS / 1000, UTC).date() + timedelta(days=n))


@given(
    st.lists(
        st.tuples(DAYS, st.integers(0, MAX_ROWS), st.integers(1, MAX_BYTES), st.integers(0, 3 * REST_MS)), max_size=40
    )
)
def test_groups(drawn: list[tuple[date, int, int, int]]) -> None:
    files = [
        DataFile(str(n), size, count, NOW_MS - age, {"received_date": str(day)})
        for n, (day, count, size, age) in enumerate(drawn)
    ]
    found = list(groups(files, NOW_MS - REST_MS))
    taken = [file for group in found for file in group]
    assert len(taken) == len(set(taken))
    for group in found:
        assert 1 < len(group) <= MAX_FILES
        assert sum(file.rows for file in group) <= MAX_ROWS
        assert sum(file.size for file in group) <= MAX_BYTES
        assert len({file.partition["received_date"] for file in group}) == 1
        assert [file.written_ms for file in group] == sorted(file.written_ms for file in group)
    assert all(file.written_ms <= NOW_MS - REST_MS for file in taken)
    for day in {file.partition["received_date"] for file in files}:
        of_day = [file for file in files if file.partition["received_date"] == day]
        small = [file for file in of_day if is_small(file) and file.written_ms <= NOW_MS - REST_MS]
        if len(small) > 1 and sum(f.rows for f in small) <= MAX_ROWS and sum(f.size for f in small) <= MAX_BYTES:
            assert any(set(group) == set(small) for group in found), "what fits into one file becomes one"
