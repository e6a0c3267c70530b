"""Many small files become few large ones, beside a sink that goes on writing.

A compaction adds files and removes those that they stand in for, in one commit that says `dataChange: false`: readers
of a version see the same rows before and after, and whoever follows the changes sees none. It touches no file that it
did not read, and an append touches no file at all, so neither can undo the other; and it moves none of the sink's
positions, so the sink's commits just go behind it.

What two compactions at once would do is double rows: Delta lets a commit remove a file that another one has removed
already. So whatever removes files from these tables must raise MAINTENANCE by compare-and-set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from infra.data_files import DataFile, columns_as, data_files
from infra.errors import LakeDamaged
from infra.small_files import groups
from streams.delta_files import write_files
from streams.delta_log import DeltaLog

if TYPE_CHECKING:
    import pyarrow as pa

MAINTENANCE = "playlake/maintenance"
"""The application transaction that every commit which removes files raises by one."""
OPERATION_KEY = "playlakeOperation"
"""In commitInfo: what the commit was for."""
REST_MS = 3_600_000
"""A file of that age is merged: what reads the newest rows, every few minutes, is done with it."""


def compact(
    log: DeltaLog,
    partition_by: str,
    sorted_by: Sequence[str],
    now_ms: int,
    step: Callable[[str], None] = lambda _name: None,
) -> tuple[int, int]:
    """Merge what `groups` finds; returns how many files became how many.

    Raises PositionMoved when another maintenance is at work, LakeDamaged for a file that does not hold what the log
    says of it.
    """
    number = log.stored(MAINTENANCE)
    found = list(groups(data_files(log.handle), now_ms - REST_MS))
    for files in found:
        merged = _merged(log, files, partition_by, sorted_by, step)
        step("before commit")
        following = (number or 0) + 1
        log.commit(
            merged, {MAINTENANCE: (number, following)}, {OPERATION_KEY: "compact"}, step=lambda: step("after commit")
        )
        number = following
    return sum(map(len, found)), len(found)


def _merged(
    log: DeltaLog, files: Sequence[DataFile], partition_by: str, sorted_by: Sequence[str], step: Callable[[str], None]
) -> list[Any]:
    """What the commit says of one group: the new file, written and read back, and the files it stands in for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    step("before files")
    schema = pa.schema(log.handle.schema().to_arrow())
    pieces = [_read(log, file, schema, partition_by) for file in files]
    rows = pa.concat_tables(pieces).sort_by([(name, "ascending") for name in sorted_by])
    del pieces
    added = write_files(log.path, rows, partition_by, (), are_new=False)
    for one in added:
        # The originals will be deleted one day: this is the time to look whether the copy is one.
        with pq.ParquetFile(log.path / one.path) as written:
            if not written.read().equals(rows.drop_columns([partition_by])):
                msg = f"{log.path / one.path} does not hold what was written to it; the table still has the originals"
                raise LakeDamaged(msg)
    return [*added, *(file.removal(is_change=False) for file in files)]


def _read(log: DeltaLog, file: DataFile, schema: pa.Schema, partition_by: str) -> pa.Table:
    """A file's rows in the columns that the table has by now."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = file.at(log.path)
    with pq.ParquetFile(path) as source:
        found = source.read()
    if found.num_rows != file.rows:
        msg = f"{path} has {found.num_rows} rows, the log says {file.rows}; nothing was compacted"
        raise LakeDamaged(msg)
    found = found.append_column(partition_by, pa.repeat(file.partition[partition_by], found.num_rows))
    return pa.Table.from_arrays(columns_as(found, schema), schema=schema)
