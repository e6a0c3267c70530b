"""Delta tables without Spark: their handles, and DuckDB that reads them."""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

from infra.errors import SetupError

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

MEMORY = "1GB"


def load_delta(connection: DuckDBPyConnection) -> None:
    """Load the Delta extension from its wheel; `LOAD delta` alone would ask the network."""
    found = list(Path(str(files("duckdb_extension_delta"))).glob("extensions/*/delta.duckdb_extension"))
    if not found:
        msg = "the package duckdb-extension-delta holds no extension; reinstall the environment with `make setup`"
        raise SetupError(msg)
    connection.execute(f"LOAD {quoted(found[0])}")


def scan(path: str | Path, version: int | None = None) -> str:
    """A Delta table in SQL, as of a version."""
    return f"delta_scan({quoted(path)}{'' if version is None else f', version => {version}'})"


def open_table(path: str) -> DeltaTable | None:
    """The newest version of a Delta table; None when there is none."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(path)
    except TableNotFoundError:
        return None


def scan_at(table: DeltaTable) -> str:
    """A Delta table in SQL, as of its handle."""
    return scan(table.table_uri.removeprefix("file://"), table.version())


def query(sql: str) -> list[dict[str, Any]]:
    """The rows of one query, moments in UTC."""
    with cursor() as connection:
        answer = connection.execute(sql)
        names = [column[0] for column in answer.description or ()]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def arrow(sql: str) -> pa.Table:
    """The same as an Arrow table."""
    with cursor() as connection:
        return connection.execute(sql).to_arrow_table()


def cursor() -> DuckDBPyConnection:
    """A connection that reads Delta, moments in UTC. To be closed; temporary things that it makes go with it."""
    connection = _database().cursor()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


@cache
def _database() -> DuckDBPyConnection:
    """One a process: to load the extension takes longer than most queries."""
    import duckdb

    spill = Path(gettempdir()) / f"playlake-duckdb-{os.getpid()}"
    connection = duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(spill), "threads": 2})
    load_delta(connection)
    return connection


def quoted(value: object) -> str:
    """A literal."""
    return "'" + str(value).replace("'", "''") + "'"
