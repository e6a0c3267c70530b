"""The files of a stage, as Delta's log is to name them: Spark writes plain Parquet, and the log is written here.

Left to itself Spark's Delta writer takes minimum and maximum of every column of every row, and plans a few small jobs
around each commit. What a file holds stands in its footer all the same.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from deltalake.transaction import AddAction

if TYPE_CHECKING:
    import pyarrow.parquet as pq

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
LONGEST_TEXT = 32
"""Of longer texts no least and greatest is told: they would fill the log, and no query is spared by them."""


def added_files(table: Path, folder: Path) -> Iterator[AddAction]:
    """The Parquet files that a job wrote to `folder`, which lies in the table's: one that holds rows is one action."""
    import pyarrow.parquet as pq

    for file in sorted(folder.rglob("*.parquet")):
        footer = pq.read_metadata(file)
        if footer.num_rows:
            yield added_file(table, file, footer, _partition(file.relative_to(folder)))


def added_file(
    table: Path, file: Path, footer: pq.FileMetaData, partition: Mapping[str, str | None], *, is_new: bool = True
) -> AddAction:
    """What a commit says of one file. `is_new`: the table has not had its rows before."""
    found = file.stat()
    return AddAction(
        path=file.relative_to(table).as_posix(),
        size=found.st_size,
        partition_values=dict(partition),
        modification_time=found.st_mtime_ns // 1_000_000,
        data_change=is_new,
        stats=json.dumps(_stats(footer)),
    )


def rows_of(actions: Iterable[AddAction]) -> int:
    return sum(json.loads(action.stats)["numRecords"] for action in actions)


def _partition(file: Path) -> dict[str, str | None]:
    """`play_date=2026-01-15/part-0.parquet` → the day by its column."""
    pairs = (part.partition("=") for part in file.parts[:-1])
    return {name: None if value == NULL_PARTITION else unquote(value) for name, _, value in pairs}


def _stats(footer: pq.FileMetaData) -> dict[str, Any]:
    """Delta's statistics of a file: its rows, and of plain columns the nulls, the least and the greatest value."""
    found: dict[str, Any] = {"numRecords": footer.num_rows, "minValues": {}, "maxValues": {}, "nullCount": {}}
    for place in range(footer.num_columns):
        if "." in footer.schema.column(place).path:
            continue
        name = footer.schema.column(place).name
        chunks = [footer.row_group(group).column(place).statistics for group in range(footer.num_row_groups)]
        if any(chunk is None or not chunk.has_null_count for chunk in chunks):
            continue
        found["nullCount"][name] = sum(chunk.null_count for chunk in chunks)
        bounds = [(chunk.min, chunk.max) for chunk in chunks if chunk.has_min_max]
        if len(bounds) < sum(chunk.num_values > 0 for chunk in chunks) or not bounds:
            continue  # one of them does not tell
        least, greatest = min(one for one, _ in bounds), max(one for _, one in bounds)
        if _is_told(least) and _is_told(greatest):
            found["minValues"][name], found["maxValues"][name] = _plain(least), _plain(greatest)
    return found


def _is_told(value: Any) -> bool:
    """Floats have NaN, which no bound is true of; booleans have none in Delta."""
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return isinstance(value, int | date) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(value) if isinstance(value, date) else value


def clean(table: Path, live: Iterable[str], replaced: Iterable[str], keep_s: float) -> None:
    """Delete what stages wrote that were replaced, or given up, longer ago than `keep_s`.

    live       paths of the newest version's files, relative to the table
    replaced   those of the version before it: their time begins now
    """
    kept = {path.partition("/")[0] for path in live} | {"_delta_log"}
    for name in {path.partition("/")[0] for path in replaced} - kept:
        if (table / name).exists():
            os.utime(table / name)
    before = time.time() - keep_s
    for entry in table.iterdir():
        if entry.name not in kept and entry.stat().st_mtime < before:
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def actions_of(commit: Iterable[Mapping[str, Any]]) -> list[AddAction]:
    """The files that a commit added. Paths in a log are written as in a URL."""
    return [
        AddAction(
            path=unquote(add["path"]),
            size=add["size"],
            partition_values=add["partitionValues"],
            modification_time=add["modificationTime"],
            data_change=add["dataChange"],
            stats=add.get("stats") or "{}",
        )
        for line in commit
        if (add := line.get("add"))
    ]
