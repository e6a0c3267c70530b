"""Silver made of bronze's files by Arrow: the same rows, by day, without what is a later copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from batch import day_files
from batch.day_files import DayFiles, Layout
from batch.silver.files import readable_files
from batch.silver.rewrite import MAX_OFFSET_BITS, rows_of_file
from batch.staged_files import added_files
from infra.settings import Settings
from schemas.derive import arrow_schema
from schemas.registry import PLAYBACK
from schemas.tables import BRONZE, SILVER_EVENTS
from tests.batch.world import playback, write_bronze

TABLE = SILVER_EVENTS[PLAYBACK.name]
SENT = playback(seed=2, viewers=9)


def bronze(lake: Settings) -> list[Path]:
    half = len(SENT) // 2
    for part in (SENT[:half], SENT[half:]):
        write_bronze(lake, part)
    path = BRONZE[PLAYBACK.name].path(lake.lake_root)
    files = readable_files(path, 1)
    assert files is not None
    assert len(files) > 1
    return [file.at(path) for file in files]


def rewritten(files: list[Path], folder: Path, left_out: np.ndarray) -> list[dict[str, Any]]:
    with DayFiles(Layout.of(TABLE), folder, 3) as written:
        for file in files:
            for rows in rows_of_file(file, TABLE, left_out):
                written.put(rows)
    found = []
    for action in added_files(folder.parent, folder):
        rows = pq.ParquetFile(folder.parent / action.path).read()
        found += [row | {"event_date": action.partition_values["event_date"]} for row in rows.to_pylist()]
    assert written.rows == len(found)
    return found


def expected(lake: Settings) -> list[dict[str, Any]]:
    rows = pa.table(DeltaTable(BRONZE[PLAYBACK.name].path(lake.lake_root)).to_pyarrow_table())
    names = [column.name for column in TABLE.columns if column.name != "event_date"]
    return [row | {"event_date": str(row["occurred_at"].date())} for row in rows.select(names).to_pylist()]


@pytest.mark.parametrize("held", [7, 10_000])
def test_every_row_is_there_once_under_its_day(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(day_files, "ROWS_HELD", held)
    files = bronze(settings)
    found = rewritten(files, tmp_path / "s1", np.array([], np.int64))
    assert sorted(found, key=repr) == sorted(expected(settings), key=repr)
    assert len({row["event_date"] for row in found}) > 1
    schema = {field.name: field.type for field in arrow_schema(TABLE.columns)}
    for action in added_files(tmp_path, tmp_path / "s1"):
        assert {field.name: field.type for field in pq.read_schema(tmp_path / action.path)} == {
            name: kind for name, kind in schema.items() if name != "event_date"
        }


def test_what_is_a_later_copy_is_left_out(settings: Settings, tmp_path: Path) -> None:
    files = bronze(settings)
    every = expected(settings)
    places = {(row["partition"] << MAX_OFFSET_BITS) | row["offset"] for row in every[::3]}
    found = rewritten(files, tmp_path / "s1", np.array(sorted(places)))
    left = [row for n, row in enumerate(every) if n % 3]
    assert sorted(found, key=repr) == sorted(left, key=repr)


def test_a_file_from_before_a_column_has_nulls_there(settings: Settings, tmp_path: Path) -> None:
    (file, *_) = bronze(settings)
    old = tmp_path / "old.parquet"
    rows = pq.ParquetFile(file).read()
    pq.write_table(rows.drop_columns(["bitrate_kbps"]), old)
    (batch,) = rows_of_file(str(old), TABLE, np.array([], np.int64))
    assert batch.schema.names == arrow_schema(TABLE.columns).names
    assert batch.column("bitrate_kbps").null_count == batch.num_rows == rows.num_rows
    assert batch.column("event_id").equals(pc.cast(rows["event_id"].combine_chunks(), pa.string()))


def test_a_task_that_fails_leaves_no_file_that_counts(settings: Settings, tmp_path: Path) -> None:
    (file, *_) = bronze(settings)

    def fail() -> None:
        with DayFiles(Layout.of(TABLE), tmp_path / "s1", 0) as written:
            for rows in rows_of_file(file, TABLE, np.array([], np.int64)):
                written.put(rows)
            written._flush(next(iter(written._held)))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not list((tmp_path / "s1").rglob("*part*"))


def test_rows_without_a_day_are_written_too(tmp_path: Path) -> None:
    rows = pa.RecordBatch.from_pydict({"day": pa.array([None, 20_000], pa.date32()), "counts": [[1, 2], [3]]})
    with DayFiles(Layout("day", ()), tmp_path / "s1", 0) as written:
        written.put(rows)
    found = {
        action.partition_values["day"]: pq.ParquetFile(tmp_path / action.path).read()["counts"].to_pylist()
        for action in added_files(tmp_path, tmp_path / "s1")
    }
    assert found == {None: [[1, 2]], "2024-10-04": [[3]]}
