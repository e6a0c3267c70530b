"""What can be asked: schemas, tables, columns and macros with their meaning, as `/v1/catalog` tells it."""

from __future__ import annotations

import re
import threading
import time
from datetime import date, datetime
from typing import Any

import msgspec

from infra.settings import Settings
from schemas.units import unit_of
from warehouse import meanings, publication
from warehouse.attach import MACROS, VIEWS
from warehouse.sandbox.pool import Sandbox
from warehouse.vocabulary import FUNCTIONS, KEYWORDS

_OWN = {
    "main.meta": "The publish in force, in one row.",
    "live.quality_minute": "Quality by minute since the cut-over, as the stream tells it; provisional.",
    "live.quality_second": "The last hour of everything by second, as it came in: viewers and parts; provisional.",
    "live.now": "Where each partition's stream worker stands; one row a partition.",
    "live.alerts": "Alerts: those that are open, and those that closed in the last seven days.",
    "live.meta": "How current the live file is, in one row.",
}

_BLOCK = re.compile(
    r"(?P<doc>(?:--[^\n]*\n)+)CREATE OR REPLACE (?P<kind>MACRO|VIEW) (?P<name>\w+)\s*(?:\((?P<parameters>[^)]*)\))?"
)
_COLUMNS = """
SELECT
  CASE WHEN c.database_name = 'warehouse' THEN c.schema_name ELSE c.database_name END AS schema,
  c.table_name AS "table", c.column_name AS "column", c.data_type AS type, c.comment,
  coalesce(t.comment, v.comment, '') AS table_comment
FROM duckdb_columns() c
LEFT JOIN duckdb_tables() t USING (database_name, schema_name, table_name)
LEFT JOIN duckdb_views() v
  ON (v.database_name, v.schema_name, v.view_name) = (c.database_name, c.schema_name, c.table_name)
WHERE c.database_name IN ('warehouse', 'live', 'metrics') AND NOT c.internal
ORDER BY schema, "table", c.column_index
"""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column, its unit and what it means. `unit` is null for names, kinds and identifiers."""

    name: str
    type: str
    unit: str | None
    comment: str | None


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """How current a table is. What does not apply is null.

    published_at   when its rows were published
    as_of          received time up to which they hold every record
    newest         newest time that a row tells, by its column of time
    live_at        when its live side was written; a view over history and live has both
    """

    published_at: datetime | None = None
    as_of: datetime | None = None
    newest: datetime | date | None = None
    live_at: datetime | None = None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table or view; asked for as `schema.name`."""

    schema: str
    name: str
    comment: str
    freshness: Freshness
    columns: list[Column]

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


class Macro(msgspec.Struct, frozen=True, kw_only=True):
    """A metric: `name(parameters)` over a group of rows."""

    name: str
    parameters: list[str]
    comment: str
    unit: str | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a query may have; one may ask for less."""

    max_rows: int
    timeout_s: float


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment."""

    publish_id: str | None
    tables: list[Table]
    macros: list[Macro]
    keywords: tuple[str, ...] = KEYWORDS
    functions: tuple[str, ...] = FUNCTIONS
    """Those that are known by name: DuckDB has many more."""
    limits: Limits | None = None

    def table(self, name: str) -> Table | None:
        """By `schema.name`; by the bare name as a query finds it, silver and metrics first."""
        found = [table for table in self.tables if name.lower() in (table.full_name, table.name)]
        return min(found, key=lambda table: table.schema not in ("silver", "metrics"), default=None)


class CatalogReader:
    """Reads the catalog; remembers of a publish what does not change with the live file."""

    def __init__(self, sandbox: Sandbox, settings: Settings) -> None:
        self._sandbox = sandbox
        self._folder = settings.warehouse
        self._limits = Limits(max_rows=settings.query_max_rows, timeout_s=settings.query_timeout_s)
        self._newest: tuple[str | None, dict[str, Any]] = (None, {})
        self._lock = threading.Lock()
        self._last: tuple[float, Catalog] | None = None

    def read(self, max_age_s: float = 0.0) -> Catalog:
        """The catalog as a user's query sees it. Raises QueryError when nothing has been published.

        `max_age_s`: how old one may be that was read for somebody else. One is read at a time: who asks for it again
        and again takes no place of a query from others.
        """
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > max_age_s:
                found = self._read()
                self._last = (time.monotonic(), found)
            return self._last[1]

    def _read(self) -> Catalog:
        answer = self._sandbox.query(_COLUMNS)
        views = {f"metrics.{one['name']}": _prose(one["doc"]) for one in _BLOCK.finditer(VIEWS.read_text())}
        comments = _OWN | views
        columns: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in answer.table.to_pylist():
            columns.setdefault((row["schema"], row["table"]), []).append(row)
        times = {f"{schema}.{name}": _time_column(rows) for (schema, name), rows in columns.items()}
        freshness = self._freshness(answer.publish_id, times)
        tables = [
            Table(
                schema=schema,
                name=name,
                comment=rows[0]["table_comment"] or comments.get(f"{schema}.{name}", ""),
                freshness=freshness[f"{schema}.{name}"],
                columns=[_column(f"{schema}.{name}", row) for row in rows],
            )
            for (schema, name), rows in columns.items()
        ]
        return Catalog(publish_id=answer.publish_id, tables=tables, macros=macros(), limits=self._limits)

    def _freshness(self, publish_id: str | None, times: dict[str, str | None]) -> dict[str, Freshness]:
        if self._newest[0] != publish_id or publish_id is None:
            published = {name: time for name, time in times.items() if name.startswith(("gold.", "silver."))}
            self._newest = (publish_id, self._newest_of(published))
        newest = self._newest[1] | self._newest_of({name: times[name] for name in times if name.startswith("live.")})
        record = publication.current(self._folder)
        published_at = record.published_at if record else None
        live_at = newest.get("live.meta")
        found = {}
        for name in times:
            schema, _, bare = name.partition(".")
            of_gold = f"gold.{bare}" if schema == "metrics" else name
            both = [newest[one] for one in (f"gold.{bare}", f"live.{bare}") if newest.get(one) is not None]
            found[name] = Freshness(
                published_at=None if schema == "live" else published_at,
                as_of=record.as_of.get(of_gold) if record else None,
                newest=max(both, default=None) if schema == "metrics" else newest.get(name),
                live_at=live_at if schema in ("live", "metrics") else None,
            )
        return found

    def _newest_of(self, times: dict[str, str | None]) -> dict[str, Any]:
        """Table → newest value of its column of time."""
        asked = [(name, column) for name, column in sorted(times.items()) if column is not None]
        if not asked:
            return {}
        columns = (f'(SELECT max({column}) FROM {name}) AS "{name}"' for name, column in asked)
        row: dict[str, Any] = self._sandbox.query(f"SELECT {', '.join(columns)}").table.to_pylist()[0]
        return row


def _time_column(rows: list[dict[str, Any]]) -> str | None:
    """The column that says when a row's matter happened: the first of them, as tables are ordered by it."""
    kinds = ("TIMESTAMP WITH TIME ZONE", "DATE")
    found = [row["column"] for kind in kinds for row in rows if row["type"] == kind and row["column"] != "as_of"]
    return found[0] if found else None


def _column(table: str, row: dict[str, Any]) -> Column:
    meaning = row["comment"] or meanings.COLUMNS.get(table, {}).get(row["column"])
    return Column(name=row["column"], type=row["type"], unit=unit_of(row["column"]), comment=meaning)


def macros() -> list[Macro]:
    """The macros of metrics.sql with their comments, which state unit, formula and source."""
    return [
        Macro(
            name=block["name"],
            parameters=[parameter.strip() for parameter in block["parameters"].split(",")],
            comment=_prose(block["doc"]),
            unit=unit_of(block["name"]),
        )
        for block in _BLOCK.finditer(MACROS.read_text())
    ]


def _prose(comment: str) -> str:
    lines: list[Any] = [line.removeprefix("--").strip() for line in comment.splitlines()]
    return " ".join(lines)
