"""The file that joins the parts of a publish: what a reader attaches as `warehouse`.

    gold.*, silver.*   a view over all parts for each table with days; the rows themselves of a table without
    main.meta          the publish record, and with it the cut-over minute
    macros             of metrics.sql

Rows of gold also say as of when they are and how complete (`schemas/completeness.py`): the views compute it, so that a
month's file need not be made again because time goes by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from infra.delta_scan import load_delta, quoted
from infra.settings import Settings
from schemas import completeness
from schemas.publication import Publish
from schemas.tables.restatements import RESTATEMENTS
from warehouse.attach import MACROS, META_COLUMNS, create_table
from warehouse.part_file import copy_table, writer
from warehouse.parts import Part, Source, shown_from

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def write(
    settings: Settings, path: Path, request: Publish, sources: Sequence[Source], held: Mapping[Part, Path]
) -> None:
    """Make the file. `held`: the parts and their files. Raises LakeDamaged when a version can't be read."""
    with writer(path) as connection:
        load_delta(connection)
        connection.execute("CREATE SCHEMA gold; CREATE SCHEMA silver")
        for part, file in held.items():
            connection.execute(f"ATTACH {quoted(file)} AS {part.alias} (READ_ONLY)")
        for source in sources:
            _join(connection, settings, source, held, request.as_of.get(source.name))
        connection.execute(MACROS.read_text())
        connection.execute(create_table("main.meta", META_COLUMNS))
        connection.execute(
            "INSERT INTO main.meta VALUES (?, ?, ?, ?)",
            [request.publish_id, request.published_at, request.cutover_minute, request.versions],
        )
        connection.execute("CHECKPOINT")
    path.chmod(0o444)


def _join(
    connection: DuckDBPyConnection, settings: Settings, source: Source, held: Iterable[Part], as_of: datetime | None
) -> None:
    """One table, whole: its view, or its rows."""
    told = _completeness(settings, source, as_of)
    further = "".join(f", {sql} AS {column}" for column, sql in told.items())
    if source.newest is None:
        connection.execute("CREATE SCHEMA fresh")
        copy_table(connection, source, "fresh.rows")
        connection.execute(f"CREATE TABLE {source.name} AS SELECT *{further} FROM fresh.rows")
        connection.execute("DROP SCHEMA fresh CASCADE")
    else:
        rows = " UNION ALL BY NAME ".join(f"FROM {p.alias}.{source.name}" for p in held if source in p.sources)
        since = shown_from(source, settings.recent_days)
        where = f" WHERE {source.day} >= DATE '{since}'" if since else ""
        connection.execute(f"CREATE VIEW {source.name} AS SELECT *{further} FROM ({rows}){where}")
    _comment(connection, source)


def _completeness(settings: Settings, source: Source, as_of: datetime | None) -> dict[str, str]:
    """Further columns of a gold table's rows, as SQL. The ledger's rows say for themselves when they are of."""
    contract = source.contract
    if contract is None or contract.layer != "gold" or contract is RESTATEMENTS:
        return {}
    return completeness.expressions(contract, as_of, settings.session_timeout_s)


def _comment(connection: DuckDBPyConnection, source: Source) -> None:
    """What table and columns mean, by their definition."""
    if source.contract is None:
        return
    kind = "TABLE" if source.newest is None else "VIEW"
    connection.execute(f"COMMENT ON {kind} {source.name} IS {quoted(source.contract.description)}")
    shown = {name for (name,) in connection.execute(f"SELECT column_name FROM (DESCRIBE {source.name})").fetchall()}
    for column in (*source.contract.columns, *completeness.COLUMNS):
        if column.name in shown:
            connection.execute(f"COMMENT ON COLUMN {source.name}.{column.name} IS {quoted(column.doc)}")
