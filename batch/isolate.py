"""Rows that are to go, put into files of their own: then a commit takes them out by leaving those files out.

A late event changes a few sessions of a day, and their old rows lie in files that have others too. Such a file is first
written again as two: what stays, and what goes. That changes nothing that a reader can see, and its commit says so
(`dataChange` false): whoever follows the table's changes passes over it. What goes afterwards is whole files, so that
the change feed tells exactly the rows that went, and no copy of them is made for it.

Where a commit is cut off in between, the files are there, and made again it finds them.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake.transaction import AddAction, RemoveAction

from batch.day_files import Layout, lasting_file
from batch.delta_log import commit
from batch.history import log_of
from batch.stage import REMOVED
from batch.staged_files import actions_of, added_file, rows_of
from infra.data_files import DataFile, data_files
from infra.errors import LakeDamaged
from schemas.table import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from deltalake import DeltaTable

    Flags = npt.NDArray[np.bool_]

AT_ONCE = 2
"""Files worked on at a time; each has a row group in memory."""
NOTE = "rows that go have files of their own"


def isolate(target: DeltaTable, table: Table, lake_root: str, at: int, transaction: str) -> list[DataFile]:
    """Give the rows that go files of their own, which are returned: the next commit is to remove them.

    at            version of the staged table of keys that go (`batch/stage.py`)
    transaction   raised by the commit that splits files: of two writers that began at the same version one fails

    Raises LakeDamaged when the table has not each of these rows once, CommitFailedError when another writer was first.
    """
    folder, keys = Path(table.path(lake_root)), Path(table.staging_path(lake_root) + REMOVED)
    listed = actions_of(log_of(keys, at))
    going = _keys(table, keys, listed)
    files = [file for file in data_files(target) if file.partition[f"{table.partition_by}"] in going]
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def look(file: DataFile) -> Flags:
            return _goes(file.at(folder), table.grain[0], going[f"{file.partition[f'{table.partition_by}']}"])

        flags = list(zip(files, pool.map(look, files), strict=True))
        there = sum(int(goes.sum()) for _, goes in flags)
        if there != (expected := rows_of(listed)):
            msg = f"{folder} version {target.version()}: expected the {expected} rows that are to go, found {there}"
            raise LakeDamaged(msg)
        shared = [(file, goes) for file, goes in flags if goes.any() and not goes.all()]
        halves = list(pool.map(lambda one: _split(folder, table, *one), shared))
    if shared:
        actions: list[AddAction | RemoveAction] = [action for pair in halves for action in pair]
        actions += [file.removal(is_change=False) for file, _ in shared]
        following = (transaction, target.version() + 1)
        commit(target, actions, table.partition_by, NOTE, following, is_maintenance=True)
    alone = [DataFile.of(goes, rows_of([goes])) for _, goes in halves]
    return [*alone, *(file for file, goes in flags if goes.all())]


def _keys(table: Table, keys: Path, listed: Sequence[AddAction]) -> Mapping[str, pa.Array]:
    """The keys that go, by partition."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, list[pa.ChunkedArray]] = defaultdict(list)
    for add in listed:
        with pq.ParquetFile(keys / add.path) as file:
            found[f"{add.partition_values[f'{table.partition_by}']}"] += file.read([table.grain[0]])[0].chunks
    return {day: pa.concat_arrays(chunks) for day, chunks in found.items()}


def _goes(file: Path, key: str, keys: pa.Array) -> Flags:
    """For each row of a file whether its key is one of `keys`."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as source:
        found = pc.is_in(source.read([key])[0], keys.cast(source.schema_arrow.field(key).type))
    flags: Flags = found.to_numpy()
    return flags


def _split(folder: Path, table: Table, file: DataFile, goes: Flags) -> tuple[AddAction, AddAction]:
    """Write a file again as two: what stays, and what goes."""
    import pyarrow.parquet as pq

    source = file.at(folder)
    name = uuid.uuid4().hex
    pair = [source.with_name(f"part-{name}-{half}.snappy.parquet") for half in ("stays", "goes")]
    for half, chosen in zip(pair, (~goes, goes), strict=True):
        _copy(source, chosen, Layout.of(table).unique, half)
    stays, gone = (added_file(folder, half, pq.read_metadata(half), file.partition, is_new=False) for half in pair)
    return stays, gone


def _copy(source: Path, chosen: Flags, unique: Sequence[str], half: Path) -> None:
    """The chosen rows of a file, a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file, lasting_file(half, file.schema_arrow, unique) as out:
        first = 0
        for number in range(file.num_row_groups):
            group = file.read_row_group(number)
            of_group = chosen[first : first + group.num_rows]
            first += group.num_rows
            if of_group.any():
                out.write_table(group.filter(pa.array(of_group)))
