"""Which statements of a user are let through: exactly one, and it reads.

The statement's type alone does not tell (a PRAGMA can count as SELECT, EXPLAIN ANALYZE runs what it explains), so the
parse tree is walked too: table functions are refused unless they are known to touch nothing outside the query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from infra.errors import QueryError
from warehouse.sandbox import mistakes

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, Statement

TABLE_FUNCTIONS = frozenset({
    "duckdb_columns", "duckdb_constraints", "duckdb_functions", "duckdb_keywords", "duckdb_schemas", "duckdb_tables",
    "duckdb_types", "duckdb_views", "generate_series", "icu_calendar_names", "json_each", "json_tree",
    "pg_timezone_names", "pragma_table_info", "range", "repeat", "repeat_row", "unnest",
})  # fmt: skip
"""The only functions allowed in FROM: no file, no setting, no SQL in a string."""

REFUSED_FUNCTIONS = frozenset({"current_setting", "getenv", "json_deserialize_sql", "sleep_ms", "write_log"})
"""Scalars with an effect beyond the answer, or that show paths of this machine."""

REFUSED_TABLES = frozenset({
    "duckdb_databases", "duckdb_logs", "duckdb_secrets", "duckdb_settings", "pg_settings", "pragma_database_list",
})  # fmt: skip
"""Catalog views that show paths of this machine."""

_EXPLAIN = re.compile(r"\s*explain\s+(?:analyze\b)?(?:\s*\([^()]*\))?", re.IGNORECASE)
"""No comment before the word: comments nest, and a pattern that misreads one would check another statement."""

_HINT = "expected one SELECT, FROM, VALUES, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN of these"


def check(connection: DuckDBPyConnection, sql: str) -> Statement:
    """The one statement of `sql`, ready to run. Raises QueryError: refused, or failed when it does not parse."""
    import duckdb

    if "\0" in sql:
        msg = "a query holds no NUL character: what follows it would be read by some and not by others"
        raise QueryError(msg, "refused")
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise mistakes.explain(connection, error, sql) from None
    objection = _objection(connection, sql, [statement.type.name for statement in statements])
    if objection is not None:
        raise QueryError(objection, "refused")
    return statements[0]


def _objection(connection: DuckDBPyConnection, sql: str, kinds: list[str]) -> str | None:
    """Why statements of these types are not let through."""
    if not kinds:
        return f"the query is empty; {_HINT}"
    if kinds == ["CREATE", "SELECT"] and "pivot" in sql.lower():
        return "this PIVOT makes a temporary type; write it as PIVOT ... ON column IN (value, ...) USING ..."
    if len(kinds) > 1:
        return f"one statement at a time, got {len(kinds)} ({', '.join(kinds)})"
    if kinds == ["EXPLAIN"]:
        prefix = _EXPLAIN.match(sql)
        if prefix is None:
            return f"EXPLAIN must be the first word of the query; {_HINT}"
        check(connection, sql[prefix.end() :])
        return None
    if kinds != ["SELECT"]:
        return f"this is {kinds[0]}, and the warehouse is read only; {_HINT}"
    return _objection_in_tree(connection, sql)


def _objection_in_tree(connection: DuckDBPyConnection, sql: str) -> str | None:
    row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    try:
        tree: dict[str, Any] = json.loads(row[0] if row else "null")
    except RecursionError:
        return "the query is nested too deeply to be checked"
    if tree["error"]:
        return f"this statement is none that can be checked; {_HINT}"
    for node in _nodes(tree):
        if node.get("type") == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in TABLE_FUNCTIONS:
                return f"the table function {name}() is not available here"
        elif (name := str(node.get("function_name", "")).lower()) in REFUSED_FUNCTIONS:
            return f"the function {name}() is not available here"
        elif node.get("type") == "BASE_TABLE" and (name := str(node["table_name"]).lower()) in REFUSED_TABLES:
            return f"the table {name} is not available here"
    return None


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the parse tree; without recursion, since a user decides how deep it is."""
    open_nodes = [tree]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, dict):
            yield node
            open_nodes.extend(node.values())
        elif isinstance(node, list):
            open_nodes.extend(node)
