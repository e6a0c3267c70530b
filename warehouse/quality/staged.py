"""A staged table as the audit sees it: one version of a Delta table, asked by SQL.

The engine counts and picks a few rows; no expectation ever pulls the whole table into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from infra.delta_scan import load_delta, scan
from infra.errors import LakeDamaged
from schemas.table import Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "1GB"
SHOWN_ROWS = 10
"""How many offending rows a report shows."""


@dataclass(frozen=True)
class Staged:
    """One version of a staged table. `rows`: how many it has."""

    table: Table
    version: int
    rows: int
    columns: tuple[str, ...]
    connection: DuckDBPyConnection

    def count(self, query: str) -> int:
        """How many rows the query gives; `{batch}` in it stands for this table."""
        row = self.connection.execute(f"SELECT count(*) FROM ({query.format(batch='staged')})").fetchone()
        assert row is not None
        return int(row[0])

    def sample(self, query: str) -> list[dict[str, Any]]:
        """The first rows of the query, with values that JSON can hold, in an order that does not change."""
        result = self.connection.execute(f"FROM ({query.format(batch='staged')}) ORDER BY ALL LIMIT {SHOWN_ROWS}")
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, map(_plain, row), strict=True)) for row in result.fetchall()]


@contextmanager
def open_staged(lake_root: str, table: Table, version: int) -> Iterator[Staged]:
    """Raises LakeDamaged when the version can't be read."""
    import duckdb

    path = table.staging_path(lake_root)
    with (
        TemporaryDirectory(prefix="playlake-audit-") as spill,
        duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": spill, "threads": 2}) as connection,
    ):
        connection.execute("SET TimeZone = 'UTC'")
        load_delta(connection)
        try:
            connection.execute(f"CREATE VIEW staged AS FROM {scan(path, version)}")
            columns = tuple(row[0] for row in connection.execute("DESCRIBE staged").fetchall())
            rows = connection.execute("SELECT count(*) FROM staged").fetchone()
        except duckdb.Error as error:
            msg = f"version {version} of staged {table.full_name} can't be read from {path}: {error}"
            raise LakeDamaged(msg) from error
        assert rows is not None
        yield Staged(table, version, int(rows[0]), columns, connection)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if isinstance(value, datetime | date) else str(value)
