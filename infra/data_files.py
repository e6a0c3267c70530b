"""The files of a Delta table, as its log describes them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction


@dataclass(frozen=True)
class DataFile:
    """A file of the table. `path` is the log's own spelling."""

    path: str
    size: int
    rows: int | None
    """None: whoever wrote it did not count them."""
    written_ms: int
    partition: Mapping[str, str | None] = field(compare=False)
    """Column → its value in every row, as text; empty in a table without partitions."""

    @classmethod
    def of(cls, add: AddAction, rows: int) -> DataFile:
        """What a commit has added, or will."""
        return cls(add.path, add.size, rows, add.modification_time, add.partition_values)

    def at(self, table: str | Path) -> Path:
        """Where the file is. Paths in a log are written as in a URL."""
        return Path(table) / unquote(self.path)

    def removal(self, *, is_change: bool = True) -> RemoveAction:
        """What takes it out. `is_change`: its rows go, and are not in other files then."""
        from deltalake.transaction import RemoveAction

        return RemoveAction(self.path, is_change, int(time.time() * 1000), self.size, dict(self.partition))


def data_files(table: DeltaTable) -> Iterator[DataFile]:
    """The files of a version."""
    import pyarrow as pa

    for file in pa.table(table.get_add_actions()).to_pylist():
        values = (file.get("partition") or {}).items()
        partition = {name: None if value is None else str(value) for name, value in values}
        yield DataFile(file["path"], file["size_bytes"], file["num_records"], file["modification_time"], partition)


def has_deleted_rows(table: DeltaTable) -> bool:
    """Whether the table may have deletion vectors: a file alone does not say then which of its rows are there."""
    return "deletionVectors" in (table.protocol().reader_features or [])


def columns_as(rows: pa.RecordBatch | pa.Table, schema: pa.Schema) -> list[pa.Array | pa.ChunkedArray]:
    """The columns of a schema: null where the rows come from a file that is older than the column."""
    import pyarrow as pa

    there = set(rows.schema.names)
    return [
        rows.column(field.name).cast(field.type) if field.name in there else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
