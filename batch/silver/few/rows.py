"""Few records that have come, in memory, and the rows of a table that have to do with them, read by Arrow.

Spark plans and compiles each of its queries for longer than all of this takes. Of a table's files the keys are read
alone, and of a row group the rest only where some are looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from batch.history import files_brought, rows_brought
from batch.silver.files import readable_files
from batch.silver.rewrite import rows_of_file
from infra.data_files import DataFile, columns_as, has_deleted_rows
from schemas.derive import arrow_schema
from schemas.tables import BRONZE, SILVER_EVENTS

if TYPE_CHECKING:
    import pyarrow as pa

    from batch.stage import Job
    from schemas.table import Table
    from schemas.topic import EventTopic

FEW = 100_000
"""Records: some 100 MB."""
AT_ONCE = 2
"""Files read at a time."""


def few_arrivals(job: Job, topic: EventTopic, after: int | None, until: int) -> pa.Table | None:
    """Records of bronze versions `(after, until]`, as silver rows. None when they are not few, or not told apart."""
    if after is None or job.days is not None:
        return None
    return job.memory.once((few_arrivals, topic.name, after, until), lambda: _arrivals(job, topic, after, until))


def _arrivals(job: Job, topic: EventTopic, after: int, until: int) -> pa.Table | None:
    import numpy as np
    import pyarrow as pa

    path, table = job.path(BRONZE[topic.name]), SILVER_EVENTS[topic.name]
    count, files = rows_brought(path, after, until), files_brought(path, after, until)
    if count is None or count > FEW or files is None or has_deleted_rows(DeltaTable(path, version=until)):
        return None
    schema, nothing_left_out = arrow_schema(table.columns), np.empty(0, np.int64)
    batches = (batch for file in files for batch in rows_of_file(file, table, nothing_left_out))
    return pa.Table.from_batches((batch.cast(schema) for batch in batches), schema)


@dataclass(frozen=True)
class Files:
    """The files of one version of a table, each of one day."""

    path: str
    day: str
    """The column of the day, which is not in the files."""
    files: list[DataFile]

    @classmethod
    def of(cls, path: str, day: str | None, at: int) -> Files | None:
        """None when a file alone does not say which of its rows are there."""
        files = readable_files(path, at)
        return None if files is None else cls(path, f"{day}", files)

    def on(self, is_chosen: Callable[[str], bool]) -> Files:
        """Those of some days, which are ISO text."""
        return Files(self.path, self.day, [file for file in self.files if is_chosen(f"{file.partition[self.day]}")])

    def rows(self, schema: pa.Schema, keys: Iterable[str], keep: Callable[[pa.Table], pa.Array]) -> pa.Table:
        """The columns of `schema`, of those rows that `keep` says yes to, given their `keys`."""
        import pyarrow as pa

        names = list(keys)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(lambda file: list(self._of(file, schema, names, keep)), self.files)
            return pa.concat_tables([schema.empty_table(), *(rows for of_file in found for rows in of_file)])

    def having(self, key: str, values: pa.Array, schema: pa.Schema) -> pa.Table:
        """The columns of `schema`, of the rows that have one of the values as key."""
        import pyarrow.compute as pc

        return self.rows(schema, [key], lambda keys: pc.is_in(keys[key], values))

    def _of(
        self, file: DataFile, schema: pa.Schema, keys: list[str], keep: Callable[[pa.Table], pa.Array]
    ) -> Iterator[pa.Table]:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        with pq.ParquetFile(file.at(self.path)) as source:
            there = [name for name in schema.names if name in source.schema_arrow.names]
            for group in range(source.num_row_groups):
                is_kept = keep(source.read_row_group(group, keys, use_threads=False))
                if pc.any(is_kept).as_py():
                    rows = source.read_row_group(group, there, use_threads=False).filter(is_kept)
                    if self.day in schema.names:
                        rows = rows.append_column(self.day, pa.repeat(file.partition[self.day], len(rows)))
                    yield pa.Table.from_arrays(columns_as(rows, schema), schema=schema)


def part_of(table: Table, names: Iterable[str]) -> pa.Schema:
    """Some columns of a table, in this order."""
    import pyarrow as pa

    schema = arrow_schema(table.columns)
    return pa.schema([schema.field(name) for name in names])
