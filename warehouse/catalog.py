"""What can be asked: schemas, tables, columns and macros with their meaning, as `/v1/catalog` tells it."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from warehouse.attach import MACROS, VIEWS
from warehouse.sandbox.pool import Sandbox

_BLOCK = re.compile(
    r"(?P<doc>(?:--[^\n]*\n)+)CREATE OR REPLACE (?P<kind>MACRO|VIEW) (?P<name>\w+)\s*(?:\((?P<parameters>[^)]*)\))?"
)
_COLUMNS = """
SELECT
  CASE WHEN c.database_name = 'warehouse' THEN c.schema_name ELSE c.database_name END AS schema,
  c.table_name AS "table", c.column_name AS "column", c.data_type AS type, c.comment,
  coalesce(t.comment, '') AS table_comment
FROM duckdb_columns() c
LEFT JOIN duckdb_tables() t USING (database_name, schema_name, table_name)
WHERE c.database_name IN ('warehouse', 'live', 'metrics') AND NOT c.internal
ORDER BY schema, "table", c.column_index
"""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column and what it means."""

    name: str
    type: str
    comment: str | None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table or view; asked for as `schema.name`."""

    schema: str
    name: str
    comment: str
    columns: list[Column]


class Macro(msgspec.Struct, frozen=True, kw_only=True):
    """A metric: `name(parameters)` over a group of rows."""

    name: str
    parameters: list[str]
    comment: str


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment."""

    publish_id: str | None
    tables: list[Table]
    macros: list[Macro]


def read(sandbox: Sandbox) -> Catalog:
    """The catalog as a user's query sees it. Raises QueryError when nothing has been published."""
    answer = sandbox.query(_COLUMNS)
    views = {block["name"]: _prose(block["doc"]) for block in _BLOCK.finditer(VIEWS.read_text())}
    tables: dict[tuple[str, str], Table] = {}
    for row in answer.table.to_pylist():
        schema, name = row["schema"], row["table"]
        comment = views.get(name, "") if schema == "metrics" else row["table_comment"]
        table = tables.setdefault((schema, name), Table(schema=schema, name=name, comment=comment, columns=[]))
        table.columns.append(Column(name=row["column"], type=row["type"], comment=row["comment"]))
    return Catalog(publish_id=answer.publish_id, tables=list(tables.values()), macros=macros())


def macros() -> list[Macro]:
    """The macros of metrics.sql with their comments, which state unit, formula and source."""
    return [
        Macro(
            name=block["name"],
            parameters=[parameter.strip() for parameter in block["parameters"].split(",")],
            comment=_prose(block["doc"]),
        )
        for block in _BLOCK.finditer(MACROS.read_text())
    ]


def _prose(comment: str) -> str:
    lines: list[Any] = [line.removeprefix("--").strip() for line in comment.splitlines()]
    return " ".join(lines)
