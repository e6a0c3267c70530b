"""What \\d shows: the tables, one table with its columns, the metrics."""

from __future__ import annotations

import difflib
import textwrap
from datetime import UTC, date, datetime

from infra.errors import QueryError
from infra.text_columns import aligned, cut
from warehouse.catalog import Catalog, Freshness, Macro

WIDTH = 110


def tables(catalog: Catalog) -> str:
    """A line a table."""
    rows = [
        [table.full_name, str(len(table.columns)), _fresh_to(table.freshness), cut(table.comment, 70)]
        for table in catalog.tables
    ]
    return "\n".join(aligned([["table", "columns", "fresh to", "what"], *rows], right={1}, rule=True))


def table(catalog: Catalog, name: str) -> str:
    """One table or metric. Raises QueryError, with names near it."""
    found = catalog.table(name)
    if found is None:
        macro = next((macro for macro in catalog.macros if macro.name == name.lower()), None)
        if macro is not None:
            return _macro(macro)
        names = [table.full_name for table in catalog.tables] + [macro.name for macro in catalog.macros]
        names += [table.name for table in catalog.tables]
        near = difflib.get_close_matches(name.lower(), names, 3, 0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "\\d lists the tables, \\dm the metrics"
        msg = f"no table or metric is called {name}; {hint}"
        raise QueryError(msg)
    head = ["column", "type", "unit", "what"]
    rows = [
        [column.name, cut(column.type.lower(), 28), column.unit or "", cut(column.comment or "", 90)]
        for column in found.columns
    ]
    lines = [found.full_name, *textwrap.wrap(found.comment, WIDTH), *_freshness(found.freshness), ""]
    return "\n".join([*lines, *aligned([head, *rows], rule=True)])


def metrics(catalog: Catalog, pattern: str = "") -> str:
    """A line a metric whose name or meaning has the pattern in it."""
    sought = pattern.lower()
    found = [macro for macro in catalog.macros if sought in f"{macro.name} {macro.comment}".lower()]
    if not found:
        return f"no metric has {pattern!r} in its name or meaning"
    rows = [["metric", "what"], *([_signature(macro), cut(macro.comment, 90)] for macro in found)]
    return "\n".join(aligned(rows, rule=True))


def stamp(moment: datetime | date | None) -> str:
    """`2026-01-15 20:30:45`, in UTC; a day as such."""
    if isinstance(moment, datetime):
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return "" if moment is None else moment.isoformat()


def _fresh_to(freshness: Freshness) -> str:
    return stamp(freshness.newest or freshness.live_at or freshness.published_at)


def _freshness(freshness: Freshness) -> list[str]:
    told = [
        (freshness.newest, "newest row of"),
        (freshness.as_of, "every record received up to"),
        (freshness.published_at, "published at"),
        (freshness.live_at, "live side written at"),
    ]
    parts = [f"{words} {stamp(moment)}" for moment, words in told if moment is not None]
    return [f"{', '.join(parts)} (UTC)"] if parts else []


def _signature(macro: Macro) -> str:
    return cut(f"{macro.name}({', '.join(macro.parameters)})", 60)


def _macro(macro: Macro) -> str:
    return "\n".join([f"metrics.{macro.name}({', '.join(macro.parameters)})", *textwrap.wrap(macro.comment, WIDTH)])
