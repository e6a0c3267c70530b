"""A commit that takes the staged files over as they are: links in the table's folder, named by one commit of its log.

Nothing is read or written again, and no Spark is asked. A file is seen when the log names it, so a commit that is cut
off leaves nothing but links that nobody sees, and made again it finds them there. Rows that go out of files which have
others too are given files of their own before (`batch/isolate.py`). What stays Spark's to commit are columns of gold
that the table has not.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction

from batch.delta_log import commit, types_of
from batch.history import is_same, log_of
from batch.isolate import isolate
from batch.staged_files import actions_of, rows_of
from infra.data_files import DataFile, data_files, has_deleted_rows
from infra.errors import LakeDamaged, StageRefused
from schemas.stage import Manifest, StagedTable
from schemas.table import Table

TRANSACTION = "playlake.commit"
NO_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
"""What systems answer that can't link here: other disks, other kinds of disks."""


def adopt(lake_root: str, table: Table, manifest: Manifest, record: str) -> str | None:
    """Commit a staged table, which was not committed before, on its base. Otherwise says why files alone can't.

    Raises CommitFailedError when another writer came first, StageRefused when the stage's files are gone, LakeDamaged
    when they are others than were staged.
    """
    staged = manifest.tables[table.name]
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
    is_anew = manifest.is_whole and table.layer == "gold"
    if (reason := _misfit(columns, target, adds, is_anew=is_anew)) is not None:
        return reason
    _unmoved(target, table.path(lake_root), staged)
    going = _going(target, table, manifest, lake_root)
    adopted = [_linked(table, staging, Path(table.path(lake_root)), add, manifest.stage_id) for add in adds]
    target.update_incremental()
    _unmoved(target, table.path(lake_root), staged)
    if not {file.path for file in going} <= {file.path for file in data_files(target)}:
        msg = f"{target.table_uri}: files were merged meanwhile"
        raise CommitFailedError(msg)
    removes = (file.removal() for file in going)
    commit(target, [*adopted, *removes], table.partition_by, record, (TRANSACTION, target.version() + 1))
    return None


def _misfit(staged: DeltaTable, target: DeltaTable, adds: Iterable[AddAction], *, is_anew: bool) -> str | None:
    """Why staged files can't be the table's; None when they can.

    They have the table's columns, or some of them; all of them where it is made anew. They have no nulls where the
    table must have none: the stage's schema says so, or every file does.
    """
    if has_deleted_rows(target):
        return "expected a table whose files alone say which rows it has, found one with deletion vectors"
    if (ours := staged.metadata().partition_columns) != (theirs := target.metadata().partition_columns):
        return f"expected partitions by {theirs}, staged are partitions by {ours}"
    made, there = types_of(staged.schema()), types_of(target.schema())
    if other := [name for name, kind in made.items() if there.get(name) != kind]:
        return f"staged columns that the table has not, or of another type: {', '.join(other)}"
    if is_anew and (gone := sorted(there.keys() - made.keys())):
        return f"columns of the table that are made no more: {', '.join(gone)}"
    promised = {field.name for field in staged.schema().fields if not field.nullable}
    required = {field.name for field in target.schema().fields if not field.nullable} - promised
    if empty := [name for name in sorted(required) if any(_nulls(add).get(name) != 0 for add in adds)]:
        return f"expected a value in every row of {', '.join(empty)}; staged are rows without"
    return None


def _nulls(add: AddAction) -> dict[str, int]:
    """Column → how many nulls a file has there."""
    counts: dict[str, int] = json.loads(add.stats).get("nullCount", {})
    return counts | {name: int(value is None) for name, value in add.partition_values.items()}


def _unmoved(target: DeltaTable, path: str, staged: StagedTable) -> None:
    if not is_same(path, staged.base, target.version()):
        msg = f"{path} moved from version {staged.base} to {target.version()}"
        raise CommitFailedError(msg)


def _going(target: DeltaTable, table: Table, manifest: Manifest, lake_root: str) -> list[DataFile]:
    """The files that the commit takes out: all, those of gold's staged days, those with silver's rows that go."""
    staged = manifest.tables[table.name]
    if manifest.is_whole or table.partition_by is None:
        return list(data_files(target))
    if table.layer == "gold":
        return [file for file in data_files(target) if file.partition[table.partition_by] in staged.dates]
    if staged.removed is None:
        return []
    return isolate(target, table, lake_root, staged.removed, TRANSACTION)


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
