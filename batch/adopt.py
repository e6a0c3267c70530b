"""A commit that takes the staged files over as they are: links in the table's folder, named by one commit of its log.

Nothing is read or written again, and no Spark is asked. A file is seen when the log names it, so a commit that is cut
off leaves nothing but links that nobody sees, and made again it finds them there. What a stage's files can't say stays
Spark's to commit: rows that go out of files which have others too, and columns that the table has not.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from batch.delta_log import commit, types_of
from batch.history import log_of
from batch.staged_files import actions_of, rows_of
from infra.errors import LakeDamaged, StageRefused
from schemas.stage import Manifest, StagedTable
from schemas.table import Table

if TYPE_CHECKING:
    from deltalake import Schema

TRANSACTION = "playlake.commit"
NO_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
"""What systems answer that can't link here: other disks, other kinds of disks."""


def adopt(lake_root: str, table: Table, manifest: Manifest, record: str) -> bool:
    """Commit a staged table, which was not committed before, on its base. False: it takes Spark to do that.

    Raises CommitFailedError when another writer came first, StageRefused when the stage's files are gone, LakeDamaged
    when they are others than were staged.
    """
    staged = manifest.tables[table.name]
    if staged.removed is not None and not manifest.is_whole:
        return False
    staging = Path(table.staging_path(lake_root))
    target = DeltaTable(table.path(lake_root))
    try:
        adds = actions_of(log_of(staging, staged.version))
        columns = DeltaTable(staging, version=staged.version)
    except (FileNotFoundError, DeltaError) as error:
        raise _gone(table, error) from None
    if (rows := rows_of(adds)) != staged.rows:
        msg = f"{staging} version {staged.version}: expected {staged.rows} rows, as were staged; its log names {rows}"
        raise LakeDamaged(msg)
    if columns.metadata().partition_columns != target.metadata().partition_columns:
        return False
    is_anew = manifest.is_whole and table.layer == "gold"
    if not _fits(columns.schema(), target.schema(), is_anew=is_anew) or not _has_all(
        adds, columns.schema(), target.schema()
    ):
        return False
    if target.version() != staged.base:
        msg = f"{table.full_name} moved from version {staged.base} to {target.version()}"
        raise CommitFailedError(msg)
    removes = _going(target, table, staged, is_whole=manifest.is_whole)
    adopted = [_linked(table, staging, Path(table.path(lake_root)), add, manifest.stage_id) for add in adds]
    commit(target, [*adopted, *removes], table.partition_by, record, (TRANSACTION, staged.base + 1))
    return True


def _fits(staged: Schema, target: Schema, *, is_anew: bool) -> bool:
    """Whether the staged columns are the table's, or some of them; all of them where it is made anew."""
    ours, there = types_of(staged), types_of(target)
    return ours == there if is_anew else ours.items() <= there.items()


def _has_all(adds: Iterable[AddAction], staged: Schema, target: Schema) -> bool:
    """Whether there are no nulls where the table must have none: the stage's schema says so, or every file does.

    A column that is no longer made has nothing but nulls.
    """
    promised = {field.name for field in staged.fields if not field.nullable}
    required = {field.name for field in target.fields if not field.nullable} - promised
    return all(_nulls(add).get(name) == 0 for add in adds for name in required)


def _nulls(add: AddAction) -> dict[str, int]:
    """Column → how many nulls a file has there."""
    counts: dict[str, int] = json.loads(add.stats).get("nullCount", {})
    return counts | {name: int(value is None) for name, value in add.partition_values.items()}


def _going(target: DeltaTable, table: Table, staged: StagedTable, *, is_whole: bool) -> list[RemoveAction]:
    """The files that the staged ones replace: none of silver, unless all is made anew."""
    import pyarrow as pa

    if table.layer == "silver" and not is_whole:
        return []
    is_all = is_whole or table.partition_by is None
    now = time.time_ns() // 1_000_000
    found = []
    for file in pa.table(target.get_add_actions()).to_pylist():
        values: dict[str, Any] = file.get("partition") or {}
        partition = {name: None if value is None else str(value) for name, value in values.items()}
        if is_all or partition[f"{table.partition_by}"] in staged.dates:
            found.append(RemoveAction(file["path"], True, now, file["size_bytes"], partition))
    return found


def _linked(table: Table, staging: Path, target: Path, add: AddAction, stage_id: str) -> AddAction:
    """The file under the table's folder, where it has the same place without the folder of the stage."""
    path = add.path.removeprefix(f"{stage_id}/")
    try:
        _link(staging / add.path, target / path)
    except FileNotFoundError as error:
        raise _gone(table, error) from None
    return AddAction(path, add.size, add.partition_values, add.modification_time, add.data_change, add.stats)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:  # names are unique: it is the same file, of a commit that was cut off or is under way
        return
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(source, fresh)
        fresh.replace(target)


def _gone(table: Table, error: Exception) -> StageRefused:
    return StageRefused(f"what was staged of {table.full_name} is no longer there ({error}); stage again")
