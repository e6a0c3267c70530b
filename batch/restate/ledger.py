"""`gold.restatements` follows the logs of the gold tables: each of their versions is compared with the one before it.

So nothing has to be handed over by whoever committed, and nothing is lost when a publish ends between the two: the
next one finds the versions that are not in the ledger yet. How far it has come with a table is a transaction of its own
Delta log, written in the commit that brings the rows: of two that write the same at once, Delta refuses the second.

The rows are made of what the logs say, stamps included, and never of the clock: made again, they are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from batch.delta_log import create
from batch.history import version as latest
from batch.restate.arrived import arrived
from batch.restate.compare import Change, compare, database, step
from infra.errors import ProcessError
from schemas.derive import arrow_schema
from schemas.progress import Progress, commits
from schemas.table import Table
from schemas.tables.restatements import RESTATEMENTS

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

logger = logging.getLogger(__name__)

TRANSACTION = "playlake.restatements"
ATTEMPTS = 5

Row = dict[str, Any]
History = dict[int, tuple[dict[str, Any], Progress | None]]
"""Of one table, as `commits` gives it."""


@dataclass
class Written:
    """What one call has added. `version`: of the ledger, which holds it."""

    version: int
    rows: list[Row] = field(default_factory=list)


def record(lake_root: str, tables: Iterable[Table]) -> Written:
    """Bring the ledger up to the newest version of every gold table. Creates it. Running it again adds nothing.

    Raises ProcessError when others keep writing it.
    """
    from deltalake.exceptions import CommitFailedError

    tables = list(tables)
    problem: CommitFailedError | None = None
    for _ in range(ATTEMPTS):
        try:
            return _attempt(lake_root, tables)
        except CommitFailedError as error:  # another publish was first; what it wrote need not be written
            problem = error
    msg = f"{RESTATEMENTS.full_name}: other processes keep writing it: {problem}"
    raise ProcessError(msg)


def _attempt(lake_root: str, tables: list[Table]) -> Written:
    ledger = _open(lake_root)
    behind = [
        (table, 1 if done is None else done + 1, newest)
        for table in tables
        if (newest := latest(table.path(lake_root))) is not None
        and (done := ledger.transaction_version(_transaction(table))) != newest
    ]
    if not behind:
        return Written(ledger.version())
    rows: list[Row] = []
    with database() as connection:
        for table, first, newest in behind:
            history = commits(table.path(lake_root))
            for version in range(first, newest + 1):
                rows += _rows(connection, lake_root, table, version, history)
    _append(ledger, rows, {_transaction(table): newest for table, _, newest in behind})
    return Written(_open(lake_root).version(), rows)


def _open(lake_root: str) -> DeltaTable:
    from deltalake import DeltaTable

    path = RESTATEMENTS.path(lake_root)
    create(path, arrow_schema(RESTATEMENTS.columns), RESTATEMENTS.partition_by, RESTATEMENTS.description)
    return DeltaTable(path)


def _transaction(table: Table) -> str:
    return f"{TRANSACTION}/{table.full_name}"


def _rows(
    connection: DuckDBPyConnection, lake_root: str, table: Table, version: int, history: History
) -> Iterator[Row]:
    """What one version of a table changed of the one before it."""
    from deltalake.exceptions import DeltaError

    path = table.path(lake_root)
    where = {"table": table.full_name, "version": version}
    if version not in history:
        logger.warning("a version is no longer in the log", extra=where)
        return
    try:
        found = step(path, version - 1, version, table.partition_by)
    except DeltaError as error:
        logger.warning("a version can't be compared with the one before it: %s", error, extra=where)
        return
    if not found.days:
        return
    if gone := [str(file) for file in found.files if not file.exists()]:
        logger.warning("the files of an old version are gone", extra={**where, "file": gone[0], "files": len(gone)})
        return
    changes = compare(connection, table, path, found)
    if not changes:
        return
    (commit, new), old = history[version], _before(history, version)
    came = arrived(lake_root, table, old, new)
    for change in changes:
        yield {
            "table_name": table.full_name,
            **_figures(change),
            **dict(zip(("records", "events"), came.of(change.day), strict=True)),
            "old_as_of": old.now if old else None,
            "new_as_of": new.now if new else None,
            "silver_stage_id": came.silver_stage_id,
            "publish_id": new.stage_id if new else None,
            "version": version,
            "restated_at": datetime.fromtimestamp(commit["timestamp"] / 1000, UTC),
        }


def _figures(change: Change) -> Row:
    known = change.old is not None and change.new is not None
    return {
        "play_date": change.day,
        "alternative": change.alternative,
        "metric": change.metric,
        "old_value": change.old,
        "new_value": change.new,
        "change": change.new - change.old if known else None,  # type: ignore[operator]
    }


def _before(history: History, version: int) -> Progress | None:
    """Our record of the newest version before this one that has any."""
    found = (history[number][1] for number in sorted(history, reverse=True) if number < version)
    return next((record for record in found if record), None)


def _append(ledger: DeltaTable, rows: list[Row], reached: dict[str, int]) -> None:
    """Rows and transactions in one commit, against the state that `ledger` was read in."""
    import pyarrow as pa
    from deltalake import CommitProperties, Transaction, write_deltalake

    properties = CommitProperties(app_transactions=[Transaction(name, at) for name, at in reached.items()])
    if not rows:
        ledger.create_write_transaction([], "append", ledger.schema(), commit_properties=properties)
        return
    data = pa.Table.from_pylist(rows, schema=arrow_schema(RESTATEMENTS.columns))
    write_deltalake(ledger, data, mode="append", commit_properties=properties)
