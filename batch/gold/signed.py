"""What rows of silver that came add to a gold table, and what those that went had added: its SELECT over these alone.

DuckDB runs it, in this process: to plan and to compile such SELECTs costs Spark seconds, however few the rows are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from batch.history import is_feed_whole, rows_brought
from infra.data_files import has_deleted_rows
from infra.delta_scan import MEMORY

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from batch.stage import Job
    from schemas.table import Table

FEW = 50_000
"""Rows of silver that came: of more the differences would not be few."""
SIGN = "_sign"
GONE, CAME = "'delete', 'update_preimage'", "'insert', 'update_postimage'"
LONG = {"HUGEINT": "BIGINT", "HUGEINT[]": "BIGINT[]"}
"""A sum of whole numbers has 128 bits in DuckDB; in Spark, and in the tables, it has 64."""


class TooMuch(Exception):
    """Changed rows whose sums take more memory than `MEMORY`."""


def changed_rows(job: Job, source: Table, after: int, until: int) -> DuckDBPyConnection | None:
    """The rows of a silver table that versions `(after, until]` put in or took out, until the run ends.

    None when they are not few, or no longer known.
    """
    return job.memory.once((changed_rows, source.full_name, after, until), partial(_read, job, source, after, until))


def _read(job: Job, source: Table, after: int, until: int) -> DuckDBPyConnection | None:
    import pyarrow as pa

    path = job.path(source)
    came = rows_brought(path, after, until)
    if came is None or came > FEW or not is_feed_whole(path, after, until):
        return None
    table = DeltaTable(path, version=until)
    if has_deleted_rows(table):
        return None
    return held(pa.RecordBatchReader.from_stream(table.load_cdf(after + 1, until)), job.memory.kept)


def held(feed: pa.RecordBatchReader, kept: ExitStack) -> DuckDBPyConnection:
    """A change feed as table `changed` of a database, until `kept` is closed.

    It is in memory, some 10 kB a session of half an hour, and on disk what would be more than `MEMORY`.
    """
    import duckdb

    spill = kept.enter_context(TemporaryDirectory(prefix="playlake-changed-"))
    database = kept.enter_context(
        duckdb.connect(
            config={
                "memory_limit": MEMORY,
                "temp_directory": spill,
                "threads": 2,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
    )
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    database.register("feed", feed)
    database.execute("CREATE TABLE changed AS FROM feed")
    database.unregister("feed")
    return database


def signed(changed: DuckDBPyConnection, select: Callable[[str], str]) -> pa.Table:
    """What the rows that came add, and what those that went had added: `SIGN` is 1 or -1. Raises TooMuch.

    changed   as `changed_rows` gives it; any thread may ask
    select    the table's SELECT in DuckDB's SQL, given what stands for its source
    """
    import pyarrow as pa

    with changed.cursor() as connection:
        return pa.concat_tables([_half(connection, select, kinds, sign) for kinds, sign in ((GONE, -1), (CAME, 1))])


def _half(connection: DuckDBPyConnection, select: Callable[[str], str], kinds: str, sign: int) -> pa.Table:
    import duckdb

    source = f"(SELECT * FROM changed WHERE _change_type IN ({kinds}))"
    rows = connection.sql(f"SELECT *, {sign} AS {SIGN} FROM ({select(source)})")
    types = zip(rows.columns, map(str, rows.types), strict=True)
    columns = (f'"{name}"::{LONG.get(kind, kind)} AS "{name}"' for name, kind in types)
    try:
        return rows.project(", ".join(columns)).to_arrow_table()
    except duckdb.OutOfMemoryException:
        msg = f"what changed takes more than {MEMORY}"
        raise TooMuch(msg) from None
