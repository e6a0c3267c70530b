"""A Delta table that takes rows and positions in one commit, and on which only the owner of a position gets through
(`streams/delta_log.py` says how).

Order of writing: parquet files, flushed to the disk with their folders; then the commit; then the log, flushed with its
folder. Only then does `commit` return. A crash before the commit leaves files that nothing refers to.

The table grows with its contract: a process that knows more optional fields adds their columns when it starts. One that
knows fewer goes on beside it: what it writes has none of the new columns, and keeps the unknown fields in `extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import PositionRefused, SettingsError
from schemas.derive import arrow_schema
from schemas.table import Table
from streams.delta_files import write_files
from streams.delta_log import PROPERTIES, Changes, DeltaLog

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction


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
        self._sorted_by = sorted_by
        self._step = step
        self._create_if_missing(sources)
        self._log = DeltaLog(self.path, table.full_name)
        self._check_bound(sources)
        self._log.set_properties(PROPERTIES | {_property(name): value for name, value in sources.items()})
        self._log.alter(self._add_new_columns)

    @property
    def version(self) -> int:
        return self._log.version

    @property
    def table_id(self) -> str:
        """Of this very table; one that was moved away and made anew has another."""
        return str(self._log.handle.metadata().id)

    def stored(self, transaction: str) -> int | None:
        """The number stored under a transaction id, as of the last look."""
        return self._log.stored(transaction)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query over the table (named `t`), as of the last look."""
        import pyarrow as pa
        from deltalake import QueryBuilder

        answer = QueryBuilder().register("t", self._log.handle).execute(sql).read_all()
        return pa.table(answer).to_pylist()  # type: ignore[no-any-return]

    def reopen(self) -> None:
        """Look at the table anew."""
        self._log.reopen()

    def commit(self, rows: pa.Table | None, changes: Changes) -> None:
        """Add the rows and store the numbers, or neither. Raises PositionMoved when an expectation is not met."""
        self._step(f"{self.table.name}: before files")
        files: list[AddAction | RemoveAction] = []
        if rows is not None and rows.num_rows:
            files += write_files(self.path, rows, self.table.partition_by, self._sorted_by)
        self._step(f"{self.table.name}: before commit")
        self._log.commit(files, changes, step=lambda: self._step(f"{self.table.name}: after commit"))

    def _create_if_missing(self, sources: Mapping[str, str]) -> None:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        if not DeltaTable.is_deltatable(str(self.path)):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                DeltaTable.create(
                    self.path,
                    arrow_schema(self.table.columns),
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

    def _check_bound(self, sources: Mapping[str, str]) -> None:
        bound = self._log.handle.metadata().configuration
        for name, value in sources.items():
            found = bound.get(_property(name))
            if found not in (None, value):
                msg = (
                    f"{self.path} is filled from topic {name} with {found}, but Kafka now has {value}: the topic was "
                    "deleted and created again, or its partitions were changed, so an offset may mean another record. "
                    f"Restore the topic; or, to begin anew, {begin_anew(self.path)}"
                )
                raise PositionRefused(msg)

    def _add_new_columns(self, handle: DeltaTable) -> bool:
        """A contract may have gained optional fields since the table was made. Returns whether it had."""
        from deltalake import Schema

        wanted = {field.name: field for field in Schema.from_arrow(arrow_schema(self.table.columns)).fields}
        found = {field.name: field for field in handle.schema().fields}
        changed = sorted(name for name in wanted.keys() & found.keys() if wanted[name].type != found[name].type)
        if changed:
            msg = f"{self.path}: the type of {', '.join(changed)} differs from the contract's; a type can't be changed"
            raise SettingsError(msg)
        added = [field for name, field in wanted.items() if name not in found]
        if added:
            handle.alter.add_columns(added)
        return bool(added)


def local_path(table: Table, lake_root: str) -> Path:
    """The table's folder."""
    return Path(table.path(lake_root)).absolute()


def begin_anew(path: Path) -> str:
    """What an operator does to have the topic of a table read once more: the end of a sentence."""
    letters = path.parent / "dead_letters"
    folders = f"{letters}" if path == letters else f"both {path} and {letters}"
    return (
        f"stop all sinks, move {folders} away (what they hold stays readable there; `playlake reconcile` then misses "
        "the dead letters of all topics) and start again: the topic is then read from its beginning"
    )


def _property(source: str) -> str:
    return f"playlake.source.{source}"
