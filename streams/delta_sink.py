"""A Delta table that takes rows and positions in one commit, and on which only the owner of a position gets through.

A commit of `DeltaSink` names application transactions (id → number) with the number that it expects to find and the
one that it leaves. The expectation is checked against the handle, and the commit goes through that same handle: Delta
refuses it when any commit since then wrote one of the same ids. So it is a compare-and-set of all its ids, together
with the rows.

Order of writing: parquet files, flushed to the disk with their folders; then the commit; then the log, flushed with its
folder. Only then does `commit` return. A crash before the commit leaves files that nothing refers to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.disk import sync
from infra.errors import PlaylakeError, PositionRefused, SettingsError
from schemas.derive import arrow_schema
from schemas.table import Table
from streams.delta_files import write_files

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction

REOPEN_AFTER = 20
"""Commits through one handle; with more it becomes slow."""
UNFLUSHED = 50
"""More versions than processes that could have been killed between a commit and its flush."""
PROPERTIES = {
    "delta.enableChangeDataFeed": "true",
    # delta-rs and deletion vectors do not go together well enough for a table that must not lose a row.
    "delta.enableDeletionVectors": "false",
}
FILES_KEY, TRANSACTIONS_KEY = "playlakeFiles", "playlakeTransactions"
"""In commitInfo: how many of each the commit has, so that an audit sees when a line of it is missing."""

Changes = Mapping[str, tuple[int | None, int]]
"""Transaction id → (number that must be stored, number to store)."""


class PositionMoved(PlaylakeError):
    """Another process has written a position that this one took for its own. What is buffered must be read again."""


class DeltaSink:
    """One table. `sources` binds it for good to what it is filled from (property `playlake.source.<name>`)."""

    def __init__(
        self,
        table: Table,
        lake_root: str,
        sources: Mapping[str, str],
        sorted_by: Sequence[str] = (),
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """`step` is told the name of each act that a crash may come before or after.

        Raises PositionRefused when the table is bound to another source.
        """
        self.table = table
        self.path = local_path(table, lake_root)
        self.schema = arrow_schema(table.columns)
        self._sorted_by = sorted_by
        self._step = step
        self._commits = 0
        self._handle = self._open_or_create(sources)
        self._bind(sources)
        self._add_new_columns()
        self._durable_version = max(-1, self.version - UNFLUSHED)
        for folder in (self.path, self.path.parent, self.path.parent.parent):
            sync(folder)
        self._flush_log()

    @property
    def version(self) -> int:
        return int(self._handle.version())

    def stored(self, transaction: str) -> int | None:
        """The number stored under a transaction id, as of the handle."""
        return self._handle.transaction_version(transaction)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query over the table (named `t`), as of the handle."""
        import pyarrow as pa
        from deltalake import QueryBuilder

        answer = QueryBuilder().register("t", self._handle).execute(sql).read_all()
        return pa.table(answer).to_pylist()  # type: ignore[no-any-return]

    def reopen(self) -> None:
        """Look at the table anew."""
        self._handle = self._open()
        self._commits = 0

    def commit(self, rows: pa.Table | None, changes: Changes) -> None:
        """Add the rows and store the numbers, or neither. Raises PositionMoved when an expectation is not met."""
        from deltalake import CommitProperties, PostCommitHookProperties, Transaction
        from deltalake.exceptions import CommitFailedError

        self._step(f"{self.table.name}: before files")
        self._check(changes)
        files: list[AddAction | RemoveAction] = []
        if rows is not None and rows.num_rows:
            files += write_files(self.path, rows, self.table.partition_by, self._sorted_by)
        self._step(f"{self.table.name}: before commit")
        try:
            self._handle.create_write_transaction(
                files,
                "append",
                self.schema,
                self.table.partition_by,
                commit_properties=CommitProperties(
                    custom_metadata={FILES_KEY: len(files), TRANSACTIONS_KEY: len(changes)},
                    app_transactions=[Transaction(name, new) for name, (_, new) in changes.items()],
                ),
                # Old log files go by maintenance, never beside an append.
                post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
            )
        except CommitFailedError as error:
            msg = f"{self.table.full_name}: {error}"
            raise PositionMoved(msg) from error
        self._step(f"{self.table.name}: after commit")
        self._commits += 1
        if self._commits >= REOPEN_AFTER:
            self.reopen()
        else:
            self._handle.update_incremental()
        self._flush_log()

    def _check(self, changes: Changes) -> None:
        for name, (expected, _) in changes.items():
            found = self.stored(name)
            if found != expected:
                msg = f"{self.table.full_name}: {name} is {found}, expected {expected}"
                raise PositionMoved(msg)

    def _open(self) -> DeltaTable:
        from deltalake import DeltaTable

        return DeltaTable(self.path)

    def _open_or_create(self, sources: Mapping[str, str]) -> DeltaTable:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        if not DeltaTable.is_deltatable(str(self.path)):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                DeltaTable.create(
                    self.path,
                    self.schema,
                    mode="error",
                    partition_by=self.table.partition_by,
                    name=self.table.full_name,
                    description=self.table.description,
                    configuration=PROPERTIES | {_property(name): value for name, value in sources.items()},
                    raise_if_key_not_exists=False,
                )
            except DeltaError:
                # Another process of this sink may have been faster.
                if not DeltaTable.is_deltatable(str(self.path)):
                    raise
        return self._open()

    def _bind(self, sources: Mapping[str, str]) -> None:
        bound = self._handle.metadata().configuration
        for name, value in sources.items():
            found = bound.get(_property(name))
            if found is None:
                self._handle.alter.set_table_properties({_property(name): value}, raise_if_not_exists=False)
                self.reopen()
            elif found != value:
                msg = (
                    f"{self.path} is filled from topic {name} with {found}, but Kafka now has {value}: the topic was "
                    "deleted and created again, or its partitions were changed, so an offset may mean another record. "
                    f"Restore the topic; or, to begin anew, move both {self.path} and {self.path.parent}/dead_letters "
                    "away (they stay readable there) and start again: the topic is then read from its beginning"
                )
                raise PositionRefused(msg)

    def _add_new_columns(self) -> None:
        """A contract may have gained optional fields since the table was made."""
        from deltalake import Schema

        wanted = {field.name: field for field in Schema.from_arrow(self.schema).fields}
        found = {field.name: field for field in self._handle.schema().fields}
        changed = sorted(name for name in wanted.keys() & found.keys() if wanted[name].type != found[name].type)
        if changed:
            msg = f"{self.path}: the type of {', '.join(changed)} differs from the contract's; a type can't be changed"
            raise SettingsError(msg)
        if added := [field for name, field in wanted.items() if name not in found]:
            self._handle.alter.add_columns(added)
            self.reopen()

    def _flush_log(self) -> None:
        """To the disk with what was added to the log since the last time, whoever wrote it."""
        folder = self.path / "_delta_log"
        names = ["_last_checkpoint"]
        for version in range(self._durable_version + 1, self.version + 1):
            names += [f"{version:020}.json", f"{version:020}.checkpoint.parquet"]
        for name in names:
            if (folder / name).exists():
                sync(folder / name)
        sync(folder)
        self._durable_version = self.version


def local_path(table: Table, lake_root: str) -> Path:
    """The table's folder. Raises SettingsError for a lake that is not a folder: this sink flushes and audits files."""
    if "://" in lake_root:
        msg = f"the sink writes to a folder, but the lake is {lake_root}"
        raise SettingsError(msg)
    return Path(table.path(lake_root)).absolute()


def _property(source: str) -> str:
    return f"playlake.source.{source}"
