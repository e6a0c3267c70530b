"""Tables of the lake → tables of one DuckDB file, in bounded memory.

Columns are those of the Delta table but for nested parts. Rows that hold the same facts again (a rollup) lie together,
each in the order of time: a query about one of them and a stretch skips all others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from infra.delta_scan import load_delta, scan
from infra.errors import LakeDamaged
from warehouse.parts import Part, Source

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "2GB"

logger = logging.getLogger(__name__)


def write_part(path: Path, part: Part) -> None:
    """The file of a part. Raises LakeDamaged when a version can't be read."""
    with writer(path) as connection:
        load_delta(connection)
        for layer in ("gold", "silver"):
            connection.execute(f"CREATE SCHEMA {layer}")
        for source in part.sources:
            copy_table(connection, source, source.name, part.where(source))
        connection.execute("CHECKPOINT")
    path.chmod(0o444)


@contextmanager
def writer(path: Path) -> Iterator[DuckDBPyConnection]:
    """A connection that makes a new DuckDB file; what does not fit into MEMORY is spilled beside it."""
    import duckdb

    spill = path.with_name(f"{path.name}.spill")
    with duckdb.connect(
        str(path), config={"memory_limit": MEMORY, "temp_directory": str(spill), "threads": 2}
    ) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    if spill.exists():
        spill.rmdir()


def copy_table(connection: DuckDBPyConnection, source: Source, name: str, where: str = "true") -> None:
    """Rows of a table of the lake as the new table `name`. Raises LakeDamaged."""
    import duckdb

    started = time.monotonic()
    rows = scan(source.path, source.version)
    try:
        columns = dict(connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE FROM {rows})").fetchall())
        kept = [column for column in columns if not _is_nested(columns[column])]
        times = [column for kind in ("TIMESTAMP WITH TIME ZONE", "DATE") for column in kept if columns[column] == kind]
        alternatives = source.contract.alternatives if source.contract else None
        orders = [column for column in (alternatives, *times[:1]) if column in kept]
        order = f" ORDER BY {', '.join(orders)}" if orders else ""
        connection.execute(f"CREATE TABLE {name} AS SELECT {', '.join(kept)} FROM {rows} WHERE {where}{order}")
        row = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
    except duckdb.Error as error:
        msg = f"version {source.version} of {source.name} can't be read from {source.path}: {error}"
        raise LakeDamaged(msg) from error
    seconds = round(time.monotonic() - started, 3)
    extra = {"table": source.name, "version": source.version, "rows": row and row[0], "seconds": seconds}
    logger.info("table built", extra=extra)


def _is_nested(kind: str) -> bool:
    """Parts of a row's own computation, like the minutes of a session: gold has them added up."""
    return kind.startswith("STRUCT") and kind.endswith("[]")
