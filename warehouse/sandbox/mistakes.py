"""What a failed query is told: what is wrong, at which place, and which names are near the one that is not there.

DuckDB says where with `errors_as_json`; the names it knows are those of its own catalog too, so they are looked up here
among what a user can ask for.
"""

from __future__ import annotations

import difflib
import json
import re

import duckdb
from duckdb import DuckDBPyConnection, Error

from infra.errors import QueryError

NEAR = 3
"""How many names are offered."""
WINDOW = 76
"""Widest piece of a line that is shown around the place."""

_BY_KIND: dict[str, type[duckdb.Error]] = {
    "interrupt": duckdb.InterruptException,
    "out of memory": duckdb.OutOfMemoryException,
}
"""DuckDB's kinds that are told apart further on; a mistake in the query is any other."""

_MISSING_TABLE = re.compile(r'Table with name "?([^"\s]+)"? does not exist')
_MISSING_COLUMN = re.compile(r'Referenced column "([^"]+)" not found|does not have a column named "([^"]+)"')
_GUESS = re.compile(r"\n+(?:Did you mean|Candidate bindings).*", re.DOTALL)

_TABLES = """
SELECT DISTINCT CASE WHEN database_name = 'warehouse' THEN schema_name ELSE database_name END || '.' || table_name
FROM duckdb_columns() WHERE database_name IN ('warehouse', 'live', 'metrics') AND NOT internal
"""
_COLUMNS = """
SELECT column_name, CASE WHEN database_name = 'warehouse' THEN schema_name ELSE database_name END || '.' || table_name
FROM duckdb_columns() WHERE database_name IN ('warehouse', 'live', 'metrics') AND NOT internal
"""


def explain(connection: DuckDBPyConnection, error: Error, sql: str) -> QueryError:
    """The failure of `sql` as a user is told it."""
    kind, _, text = str(error).partition(": ")
    try:
        told = json.loads(text)
    except ValueError:
        return QueryError(str(error))
    message = str(told.get("exception_message", text)).replace('Values list "', 'Table "')  # a view, as DuckDB calls it
    position = _position(sql, told.get("position"))
    hint = _nearest(connection, message)
    if hint is not None:
        message = f"{_GUESS.sub('', message)}\n{hint}"
    shown = f"{kind}: {message}" + (f"\n\n{_place(sql, position)}" if position is not None else "")
    return QueryError(shown, position=position)


def unwrapped(error: OSError) -> Error:
    """The error of DuckDB, in the form that `execute` raises it, whose text another library has wrapped."""
    try:
        kind = str(json.loads(str(error))["exception_type"])
    except (ValueError, KeyError, TypeError):
        return duckdb.Error(str(error))
    return _BY_KIND.get(kind.lower(), duckdb.Error)(f"{kind} Error: {error}")


def _position(sql: str, told: object) -> int | None:
    """DuckDB counts bytes; people and editors count characters."""
    if not isinstance(told, str) or not told.isdecimal():
        return None
    return len(sql.encode()[: int(told)].decode(errors="ignore"))


def _place(sql: str, position: int) -> str:
    """The line, and a caret under the place."""
    before = sql[:position]
    start = before.rfind("\n") + 1
    line, column = sql[start:].split("\n", 1)[0], position - start
    begin = max(0, min(column - WINDOW // 2, len(line) - WINDOW))
    piece = line[begin : begin + WINDOW].replace("\t", " ")
    head = f"LINE {before.count(chr(10)) + 1}: " + ("…" if begin else "")
    return f"{head}{piece}{'…' if begin + WINDOW < len(line) else ''}\n{' ' * (len(head) + column - begin)}^"


def _nearest(connection: DuckDBPyConnection, message: str) -> str | None:
    """A hint for a table or a column that is not there; None leaves DuckDB's own."""
    if table := _MISSING_TABLE.search(message):
        return _near_tables(connection, table[1])
    if column := _MISSING_COLUMN.search(message):
        return _near_columns(connection, column[1] or column[2], message)
    return None


def _near_tables(connection: DuckDBPyConnection, name: str) -> str:
    there = [row[0] for row in connection.execute(_TABLES).fetchall()]
    bare = name.rpartition(".")[2].lower()
    by_name: dict[str, list[str]] = {}
    for table in there:
        by_name.setdefault(table.rpartition(".")[2], []).append(table)
    near = [table for one in difflib.get_close_matches(bare, by_name, NEAR, 0.5) for table in sorted(by_name[one])]
    if not near:
        return "There are " + ", ".join(sorted(there)) + "."
    return f"Did you mean {_listed(near[:NEAR])}?"


def _near_columns(connection: DuckDBPyConnection, name: str, message: str) -> str | None:
    """Names near it in what the query reads, as DuckDB found them; else which tables have it."""
    places: dict[str, list[str]] = {}
    for column, table in connection.execute(_COLUMNS).fetchall():
        places.setdefault(column, []).append(table)
    offered = re.findall(r'"([^"]+)"', _GUESS.search(message)[0]) if _GUESS.search(message) else []  # type: ignore[index]
    near = difflib.get_close_matches(name.lower(), offered, NEAR, 0.6)
    if near:
        return f"Did you mean {_listed(near)}?"
    if name.lower() in places:
        return f"It is a column of {_listed(sorted(places[name.lower()]))}."
    if near := difflib.get_close_matches(name.lower(), places, NEAR, 0.75):
        return "Near to it are " + ", ".join(f"{one} ({', '.join(sorted(places[one])[:NEAR])})" for one in near) + "."
    return None


def _listed(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
