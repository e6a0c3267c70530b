"""Which small files of a Delta table are to become one: the rule is the same for every table that is maintained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltalake import DeltaTable

MAX_ROWS = 500_000
"""Of a file that small ones become. Where they are sorted it is in memory: about 1 kB a row at its height."""
MAX_BYTES = 128_000_000
MAX_FILES = 10_000
"""Removed by one commit."""


@dataclass(frozen=True)
class DataFile:
    """A file of the table, as the log describes it. `path` is the log's own spelling."""

    path: str
    size: int
    rows: int
    written_ms: int
    day: date | None
    """Its partition; None in a table without."""

    @property
    def is_small(self) -> bool:
        return self.rows < MAX_ROWS // 2 and self.size < MAX_BYTES // 2


def data_files(table: DeltaTable, partition_by: str | None) -> Iterator[DataFile]:
    """The files of a version."""
    import pyarrow as pa

    for action in pa.table(table.get_add_actions()).to_pylist():
        # Whoever wrote a file without counting its rows wrote it by other means: it stays as it is.
        if action["num_records"] is not None:
            yield DataFile(
                action["path"],
                action["size_bytes"],
                action["num_records"],
                action["modification_time"],
                action["partition"][partition_by] if partition_by else None,
            )


def groups(files: Iterable[DataFile], written_until_ms: int, at_least: int = 2) -> Iterator[list[DataFile]]:
    """Small files that are to become one each: of one day, written one after another, the last one until then.

    at_least   so many they must be
    """
    days: dict[date | None, list[DataFile]] = defaultdict(list)
    for file in files:
        days[file.day].append(file)
    for day in sorted(days, key=str):
        old = (file for file in days[day] if file.is_small and file.written_ms <= written_until_ms)
        small = sorted(old, key=lambda file: file.written_ms)
        yield from (group for group in _cut(small) if len(group) >= at_least)


def _cut(files: Iterable[DataFile]) -> Iterator[list[DataFile]]:
    """The files, in their order, in groups of bounded size."""
    group: list[DataFile] = []
    rows = size = 0
    for file in files:
        rows, size = rows + file.rows, size + file.size
        if group and (rows > MAX_ROWS or size > MAX_BYTES or len(group) == MAX_FILES):
            yield group
            group, rows, size = [], file.rows, file.size
        group.append(file)
    yield group
