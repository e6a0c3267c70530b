"""The first half of `playlake tidy`: many small files become few large ones. An hourly run leaves some in every day
that it touched.

The commit says that it changes no data: readers of a version see the same rows before and after, and whoever follows
the changes, by log or by feed, sees none. It has no progress record, so the table has come as far as before.

A stage that waits for its commit is not disturbed: since the version that it was computed from files have moved, and no
row (`history.is_same`).

delta-rs has this as `optimize.compact`, which two that run at once would double rows with: it puts no transaction into
its commit, and Delta lets two commits remove the same file. Here it is the transaction that every commit of batch
raises, on exactly the version that was read.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from batch.adopt import TRANSACTION
from batch.day_files import lasting_file
from batch.delta_log import commit
from batch.staged_files import added_file
from infra.data_files import DataFile, columns_as, data_files
from infra.delta_scan import open_table
from infra.errors import LakeDamaged
from infra.settings import Settings
from infra.small_files import groups
from schemas.table import Table
from schemas.tables import SILVER
from schemas.tables.restatements import RESTATEMENTS

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction

AT_LEAST = 8
"""So many small files a day must have: each merge writes again what the one before it has written."""
MOST = 32
"""Files made at one time, each of `small_files.MAX_BYTES` at most: the rest comes the next time."""
ROWS_OF_A_GROUP = 128 * 1024
BYTES_OF_A_GROUP = 64 * 2**20
"""In memory. Whichever is reached first is written as a row group."""
NOTE = "small files merged"
PLAIN = {"timestampNtz"}
"""What a table may ask of its readers so that a file alone says which rows it holds."""


@dataclass(frozen=True)
class Merged:
    """What was done to one table. `is_late`: nothing, for another commit came first."""

    table: str
    files: int = 0
    into: int = 0
    is_late: bool = False


def merge(settings: Settings) -> Iterator[Merged]:
    """Every table that grows by appending: silver's, and the ledger of restatements. Gold's days are made anew whole.

    Raises LakeDamaged for a file that does not hold what the log says of it.
    """
    for table in (*SILVER.values(), RESTATEMENTS):
        found = open_table(table.path(settings.lake_root))
        if found is not None:
            yield merge_table(Path(table.path(settings.lake_root)), table, found)


def merge_table(path: Path, table: Table, found: DeltaTable) -> Merged:
    """Merge the small files of the version `found`, in one commit; nothing when another one comes first."""
    from deltalake.exceptions import CommitFailedError

    now_ms = time.time_ns() // 1_000_000
    each = list(islice(groups(data_files(found), now_ms, AT_LEAST), MOST))
    if not each or not _is_plain(found):
        return Merged(table.full_name)
    actions = [action for files in each for action in _merged(path, table, found, files)]
    try:
        commit(found, actions, table.partition_by, NOTE, (TRANSACTION, found.version() + 1), is_maintenance=True)
    except CommitFailedError:  # what was written goes with the next vacuum
        return Merged(table.full_name, is_late=True)
    return Merged(table.full_name, sum(map(len, each)), len(each))


def _is_plain(table: DeltaTable) -> bool:
    protocol = table.protocol()
    return protocol.min_reader_version == 1 or set(protocol.reader_features or ["unknown"]) <= PLAIN


def _merged(path: Path, table: Table, found: DeltaTable, files: Sequence[DataFile]) -> list[AddAction | RemoveAction]:
    """What the commit says of one group: the new file, which is on the disk, and those that it stands in for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [pa.field(field.name, field.type) for field in pa.schema(found.schema()) if field.name != table.partition_by]
    )
    file = files[0].at(path).with_name(f"part-{uuid.uuid4()}.snappy.parquet")
    _write(file, schema, (batch for one in files for batch in _rows(path, one, schema)))
    footer, expected = pq.read_metadata(file), sum(one.rows or 0 for one in files)
    if footer.num_rows != expected:
        msg = f"{file} has {footer.num_rows} rows, expected {expected}; nothing was merged"
        raise LakeDamaged(msg)
    added = added_file(path, file, footer, files[0].partition, is_new=False)
    return [added, *(one.removal(is_change=False) for one in files)]


def _rows(path: Path, file: DataFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """A file's rows in the columns that the table has by now: null where the file is older than the column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file.at(path)) as source:
        if source.metadata.num_rows != file.rows:
            msg = (
                f"{file.at(path)}: expected {file.rows} rows, as the log says, found "
                f"{source.metadata.num_rows}; nothing was merged. `playlake rebuild` makes silver anew from bronze"
            )
            raise LakeDamaged(msg)
        for batch in source.iter_batches(use_threads=False):
            yield pa.RecordBatch.from_arrays(columns_as(batch, schema), schema=schema)


def _write(file: Path, schema: pa.Schema, rows: Iterable[pa.RecordBatch]) -> None:
    """All rows into one file, in row groups that fit into memory."""
    import pyarrow as pa

    with lasting_file(file, schema) as writer:
        held: list[pa.RecordBatch] = []
        count = size = 0
        for batch in rows:
            held.append(batch)
            count, size = count + len(batch), size + batch.nbytes
            if count >= ROWS_OF_A_GROUP or size >= BYTES_OF_A_GROUP:
                writer.write_table(pa.Table.from_batches(held), row_group_size=count)
                held, count, size = [], 0, 0
        if held:
            writer.write_table(pa.Table.from_batches(held))
