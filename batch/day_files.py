"""A stage's Parquet files, written from Arrow inside Spark's tasks, or where it runs: each task has one a day.

Rows that are Arrow columns already need not become Spark's rows to be written, which costs several times as much. A
task that is tried again writes the same names; a file has its name once it is whole.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from batch.staged_files import NULL_PARTITION
from infra.disk import sync
from infra.errors import SettingsError
from schemas.derive import arrow_schema
from schemas.table import Table

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    Batches = Iterator[pa.RecordBatch]

ROWS_OF_A_GROUP = 128 * 1024
"""Rows of a day that are written at once, as a row group."""
ROWS_HELD = 4 * ROWS_OF_A_GROUP
"""Of all days together: beyond it the day that has most is written."""
WRITTEN = "rows BIGINT"
"""What a task says when it is done."""


@dataclass(frozen=True)
class Layout:
    """What the files of a table are like."""

    day: str
    """Its partition column, which is not in the files."""
    unique: tuple[str, ...]
    """Columns with hardly a value twice: a dictionary of them is made in vain. With any, what is nested has none."""
    schema: pa.Schema | None = None
    """Of all columns; None: that of the first rows."""

    @classmethod
    def of(cls, table: Table, *, by_contract: bool = True) -> Layout:
        """`by_contract`: the table's columns are known; otherwise they are its query's. It must have a partition."""
        if table.partition_by is None:
            msg = f"{table.full_name}: expected a table with days"
            raise SettingsError(msg)
        if not by_contract:
            return cls(table.partition_by, ())
        is_event = any(column.name == "offset" for column in table.columns)
        return cls(table.partition_by, (*table.grain, "offset") if is_event else (), arrow_schema(table.columns))


def writing(
    layout: Layout, folder: str, make: Callable[[Batches], Batches] | None = None
) -> Callable[[Batches], Batches]:
    """A function for `mapInArrow` that writes rows to `folder`, and gives `WRITTEN`.

    make   makes the rows of what it is given; without it they are that
    """
    return lambda batches: _write(layout, folder, make(batches) if make else batches)


def _write(layout: Layout, folder: str, rows: Iterable[pa.RecordBatch]) -> Batches:
    import pyarrow as pa
    from pyspark import TaskContext

    task = TaskContext.get()
    assert task is not None
    count = write_days(layout, folder, rows, task.partitionId())
    yield pa.RecordBatch.from_pydict({"rows": pa.array([count], pa.int64())})


def write_days(layout: Layout, folder: str, rows: Iterable[pa.RecordBatch], task: int = 0) -> int:
    """Write rows to `folder`, in this process. Returns how many there were."""
    with DayFiles(layout, Path(folder), task) as files:
        for batch in rows:
            files.put(batch)
    return files.rows


def parquet_writer(file: Path, schema: pa.Schema, unique: Sequence[str]) -> pq.ParquetWriter:
    """A file as Spark writes it: without Arrow's own schema, whose names for types other readers need not know."""
    import pyarrow.parquet as pq

    repeating = [name for name in schema.names if name not in unique] if unique else True
    return pq.ParquetWriter(file, schema, compression="snappy", store_schema=False, use_dictionary=repeating)


@contextmanager
def lasting_file(file: Path, schema: pa.Schema, unique: Sequence[str] = ()) -> Iterator[pq.ParquetWriter]:
    """The same outside a stage, on the disk when the block ends. The name must be nobody else's: what is left of a
    file that was cut off is then a file like others that no commit names, which vacuum deletes."""
    with parquet_writer(file, schema, unique) as writer:
        yield writer
    for written in (file, file.parent):
        sync(written)


class DayFiles:
    """The files of one task. Their folder is named by the stage, which makes their names unique."""

    def __init__(self, layout: Layout, folder: Path, task: int):
        self._day, self._unique = layout.day, layout.unique
        self._schema = None if layout.schema is None else self._in_files(layout.schema)
        self._folder = folder
        self._name = f"part-{task:05}-{folder.name}.snappy.parquet"
        self._unnamed = f".{self._name}.{uuid.uuid4().hex}"
        self._held: dict[str, list[pa.RecordBatch]] = defaultdict(list)
        self._counts: dict[str, int] = defaultdict(int)
        self._writers: dict[str, pq.ParquetWriter] = {}
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        whole = kind is None
        if whole:
            for day in list(self._held):
                self._flush(day)
        for day, writer in self._writers.items():
            writer.close()
            file = self._path(day)
            if whole:
                file.replace(file.with_name(self._name))
            else:
                file.unlink()

    def put(self, rows: pa.RecordBatch) -> None:
        """Rows of any days."""
        import pyarrow.compute as pc

        days = rows.column(self._day)
        if self._schema is None:
            self._schema = self._in_files(rows.schema)
        rows = rows.select(self._schema.names)
        each = pc.unique(days)
        for day in each:
            is_of_day = pc.equal(days, day) if day.is_valid else pc.is_null(days)
            name = str(day.as_py()) if day.is_valid else NULL_PARTITION
            self._hold(name, rows if len(each) == 1 else rows.filter(is_of_day))
        self.rows += rows.num_rows

    def _in_files(self, schema: pa.Schema) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([pa.field(field.name, field.type) for field in schema if field.name != self._day])

    def _hold(self, day: str, rows: pa.RecordBatch) -> None:
        self._held[day].append(rows)
        self._counts[day] += rows.num_rows
        if self._counts[day] >= ROWS_OF_A_GROUP:
            self._flush(day)
        elif sum(self._counts.values()) >= ROWS_HELD:
            self._flush(max(self._counts, key=self._counts.__getitem__))

    def _flush(self, day: str) -> None:
        import pyarrow as pa

        rows = pa.Table.from_batches(self._held.pop(day)).cast(self._schema)
        del self._counts[day]
        if day not in self._writers:
            file = self._path(day)
            file.parent.mkdir(parents=True, exist_ok=True)
            self._writers[day] = parquet_writer(file, rows.schema, self._unique)
        self._writers[day].write_table(rows, row_group_size=max(1, rows.num_rows))

    def _path(self, day: str) -> Path:
        return self._folder / f"{self._day}={day}" / self._unnamed
