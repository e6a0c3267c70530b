"""What a reader of the warehouse sees: the schemas gold, silver, live and metrics on one DuckDB connection.

`gold` and `silver` are schemas of the published files, joined in the catalog `warehouse`; `live` is the file that the
server rewrites twice a second; `metrics` holds the macros and the views that join both. Bare names find `silver`, then
`metrics`, never `gold`: a bare `quality_minute` is the joined view, not half of it.

Where a file is not there yet its schema is there, empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infra.delta_scan import quoted
from schemas.derive import arrow_schema
from schemas.metrics.macros import session_columns, view_part
from schemas.metrics.parts import VIEW_PARTS
from schemas.quality import DIMENSIONS, PARTS
from schemas.tables.sessions import SESSIONS
from warehouse import publication

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SQL_FOLDER = Path(__file__).resolve().parent
MACROS = SQL_FOLDER / "metrics.sql"
VIEWS = SQL_FOLDER / "views.sql"

QUALITY_COLUMNS: dict[str, str] = {
    "rollup": "VARCHAR",
    "minute": "TIMESTAMP WITH TIME ZONE",
    **dict.fromkeys(DIMENSIONS, "VARCHAR"),
    **dict.fromkeys(PARTS, "BIGINT"),
    "startup_histogram": "BIGINT[]",
}
"""Columns that gold.quality_minute and live.quality_minute share."""

_DUCKDB = {
    "string": "VARCHAR", "int64": "BIGINT", "int32": "INTEGER", "bool": "BOOLEAN", "date32[day]": "DATE",
    "timestamp[us, tz=UTC]": "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip
SESSION_COLUMNS: dict[str, str] = {
    field.name: _DUCKDB[str(field.type)] for field in arrow_schema(SESSIONS.columns) if str(field.type) in _DUCKDB
}
"""Columns of silver.sessions that are published: all but the parts of its minutes."""

NOW_COLUMNS: dict[str, str] = {
    "topic": "VARCHAR",
    "partition": "INTEGER",
    "received_at": "TIMESTAMP WITH TIME ZONE",
    **dict.fromkeys(
        ("concurrent", "open_sessions", "events", "late", "duplicates", "rejected", "position", "applied"), "BIGINT"
    ),
}
"""One row a partition of what sessions are made of: where its stream worker stands, by its own clock."""

SECOND_COLUMNS: dict[str, str] = {
    "second": "TIMESTAMP WITH TIME ZONE",
    "concurrent": "BIGINT",
    **dict.fromkeys(PARTS, "BIGINT"),
}
"""The last hour of everything, by the second in which it came."""

LIVE_META_COLUMNS: dict[str, str] = {
    "written_at": "TIMESTAMP WITH TIME ZONE",
    "kept_from": "TIMESTAMP WITH TIME ZONE",
    "gap_from": "TIMESTAMP WITH TIME ZONE",
    "gap_to": "TIMESTAMP WITH TIME ZONE",
}
ALERT_COLUMNS: dict[str, str] = {
    **dict.fromkeys(("id", "rule", "severity", "metric", "unit", "by"), "VARCHAR"),
    **dict.fromkeys(DIMENSIONS, "VARCHAR"),
    **dict.fromkeys(("began_at", "opened_at", "closed_at", "judged_at"), "TIMESTAMP WITH TIME ZONE"),
    "is_open": "BOOLEAN",
    "close_reason": "VARCHAR",
    **dict.fromkeys(("argument", "value", "peak", "expected", "limit", "sample"), "DOUBLE"),
    "is_high": "BOOLEAN",
    "sample_unit": "VARCHAR",
    "minutes": "BIGINT",
    "covers": "BIGINT",
    "record": "VARCHAR",
}
"""An alert (`schemas/alert.py`) as a row."""

META_COLUMNS: dict[str, str] = {
    "publish_id": "VARCHAR",
    "published_at": "TIMESTAMP WITH TIME ZONE",
    "cutover_minute": "TIMESTAMP WITH TIME ZONE",
    "versions": "MAP(VARCHAR, BIGINT)",
}


def connect(memory_bytes: int, threads: int = 1) -> DuckDBPyConnection:
    """An empty DuckDB in memory that spills nothing, loads nothing and looks at no Python variable."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": threads,
            "memory_limit": f"{memory_bytes}B",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("ATTACH ':memory:' AS metrics")
    connection.execute("USE metrics")
    connection.execute(MACROS.read_text())
    return connection


def attach_published(connection: DuckDBPyConnection, paths: Sequence[Path]) -> None:
    """The schemas gold and silver, and the publish record `main.meta`. No paths: nothing is published yet."""
    if paths:
        for statement in publication.attach_statements(paths):
            connection.execute(statement)
        return
    connection.execute("ATTACH ':memory:' AS warehouse")
    for schema in ("gold", "silver"):
        connection.execute(f"CREATE SCHEMA warehouse.{schema}")
    connection.execute(create_table("warehouse.gold.quality_minute", QUALITY_COLUMNS))
    connection.execute(create_table("warehouse.main.meta", META_COLUMNS))


def attach_live(connection: DuckDBPyConnection, path: Path | None) -> None:
    """The schema live, as the file is now."""
    if path is not None:
        connection.execute(f"ATTACH {quoted(path)} AS live (READ_ONLY)")
        return
    connection.execute("ATTACH ':memory:' AS live")
    create_live_tables(connection)


def create_live_tables(connection: DuckDBPyConnection, catalog: str = "live") -> None:
    """The tables of the live file, empty."""
    connection.execute(create_table(f"{catalog}.main.quality_minute", QUALITY_COLUMNS))
    connection.execute(create_table(f"{catalog}.main.quality_second", SECOND_COLUMNS))
    connection.execute(create_table(f"{catalog}.main.now", NOW_COLUMNS))
    connection.execute(create_table(f"{catalog}.main.alerts", ALERT_COLUMNS))
    connection.execute(create_table(f"{catalog}.main.meta", LIVE_META_COLUMNS))


def define_views(connection: DuckDBPyConnection) -> None:
    """The views of `metrics`, once both files are attached; sets the search path."""
    connection.execute("USE metrics")
    text = VIEWS.read_text()
    for name, value in _view_names(connection).items():
        text = text.replace(f"{{{name}}}", value)
    connection.execute(text)
    connection.execute("SET search_path = 'warehouse.silver,metrics.main'")


def _view_names(connection: DuckDBPyConnection) -> dict[str, str]:
    """What `{name}` stands for in views.sql."""
    sessions = _columns(connection, "silver", "sessions")
    return {
        "quality_columns": ", ".join(QUALITY_COLUMNS),
        "published_quality": _as_of_now(QUALITY_COLUMNS, _columns(connection, "gold", "quality_minute")),
        "published_sessions": _as_of_now(SESSION_COLUMNS, sessions),
        "sessions_from": "FROM warehouse.silver.sessions" if sessions else "WHERE false",
        "session_metrics": session_columns(),
        "view_parts": ", ".join(f"{view_part(part)} AS {part}" for part in VIEW_PARTS if part not in SESSION_COLUMNS),
    }


def _columns(connection: DuckDBPyConnection, schema: str, table: str) -> set[str]:
    """Names of a published table's columns; none when it is not there."""
    where = "database_name = 'warehouse' AND schema_name = ? AND table_name = ?"
    found = connection.execute(f"SELECT column_name FROM duckdb_columns() WHERE {where}", [schema, table])
    return {name for (name,) in found.fetchall()}


def _as_of_now(columns: dict[str, str], there: set[str]) -> str:
    """Today's columns over a file that may have been published before some of them were: those are null."""
    return ", ".join(name if name in there else f"NULL::{kind} AS {name}" for name, kind in columns.items())


def lock(connection: DuckDBPyConnection) -> None:
    """Take DuckDB's files and settings away. Only this order works: handles that are open stay readable."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET disabled_filesystems = 'LocalFileSystem'")
    connection.execute("SET lock_configuration = true")


def create_table(name: str, columns: dict[str, str]) -> str:
    """A CREATE TABLE statement."""
    told = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
    return f"CREATE TABLE {name} ({told})"
