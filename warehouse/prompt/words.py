"""What can be written at a place of a query: schemas, tables, columns, metrics and keywords, from the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from warehouse.catalog import Catalog, Table
from warehouse.vocabulary import FUNCTIONS, KEYWORDS

_ALIAS = r"(?:\s+(?:as\s+)?(\w+))?"
_TABLE_PLACE = re.compile(rf"\b(?:from|join|describe|summarize)\s+(?:[\w.]+{_ALIAS}\s*,\s*)*[\w.]*\Z", re.IGNORECASE)
_SOURCE = re.compile(rf"\b(?:from|join)\s+([\w.]+){_ALIAS}|,\s*(\w+\.\w+){_ALIAS}", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^']|'')*'|--[^\n]*\n|/\*.*?\*/", re.DOTALL)
_OPEN = re.compile(r"'|--[^\n]*\Z|/\*")
_WORD = re.compile(r"[\w.]*\Z")


@dataclass(frozen=True)
class Word:
    """One suggestion. `start`: how many characters before the cursor it replaces."""

    text: str
    start: int
    kind: str
    meaning: str = ""


def suggestions(before: str, after: str, catalog: Catalog) -> list[Word]:
    """What may stand at the cursor, the likeliest first; nothing within a string or a comment."""
    clean = _QUOTED.sub("''", before)
    if _OPEN.search(clean.replace("''", "")):
        return []
    typed = (_WORD.search(clean) or [""])[0]
    qualifier, dot, beginning = typed.rpartition(".")
    is_table_place = _TABLE_PLACE.search(clean) is not None
    if dot:
        members = _members(qualifier.lower(), f"{clean} {after}", catalog)
        return _matching(beginning, (one for one in members if not is_table_place or one[1] == "table"))
    if is_table_place:
        return _matching(beginning, _tables(catalog))
    found = [*_matching(beginning, _columns(f"{clean} {after}", catalog)), *_matching(beginning, _macros(catalog))]
    if beginning:
        rest = [*((name, "function", "") for name in FUNCTIONS), *((word, "keyword", "") for word in KEYWORDS)]
        found += _matching(beginning, rest)
        found += _matching(beginning, _tables(catalog))
    return list({word.text: word for word in reversed(found)}.values())[::-1]


def table_names(beginning: str, catalog: Catalog) -> list[Word]:
    """Tables, for commands that take one."""
    return _matching(beginning, _tables(catalog))


def _matching(beginning: str, words: Iterable[tuple[str, str, str]]) -> list[Word]:
    """Those that begin with it, then those that have it behind a dot or an underscore."""
    sought = beginning.lower()
    inner = re.compile(rf"[._]{re.escape(sought)}")
    first, second = [], []
    for text, kind, meaning in words:
        if text.lower().startswith(sought):
            first.append(Word(text, len(beginning), kind, meaning))
        elif sought and inner.search(text.lower()):
            second.append(Word(text, len(beginning), kind, meaning))
    return first + second


def _members(qualifier: str, query: str, catalog: Catalog) -> list[tuple[str, str, str]]:
    """What stands behind `qualifier.`: tables of a schema, columns of a table or of its other name in the query."""
    found = [(table.name, "table", table.comment) for table in catalog.tables if table.schema == qualifier]
    if qualifier == "metrics":
        found += [(f"{macro.name}(", "metric", macro.comment) for macro in catalog.macros]
    for table, alias in _sources(query, catalog):
        if qualifier in (alias, table.name, table.full_name):
            return [(column.name, column.type, column.comment or "") for column in table.columns]
    return found


def _tables(catalog: Catalog) -> Iterator[tuple[str, str, str]]:
    for table in catalog.tables:
        yield table.full_name, "table", table.comment
    for schema in dict.fromkeys(table.schema for table in catalog.tables):
        yield f"{schema}.", "schema", ""


def _columns(query: str, catalog: Catalog) -> Iterator[tuple[str, str, str]]:
    """Columns of the tables that the query reads, wherever the cursor is."""
    for table, _ in _sources(query, catalog):
        for column in table.columns:
            yield column.name, column.type, column.comment or ""


def _macros(catalog: Catalog) -> Iterator[tuple[str, str, str]]:
    for macro in catalog.macros:
        yield f"{macro.name}(", "metric", f"({', '.join(macro.parameters)}) {macro.comment}"


def _sources(query: str, catalog: Catalog) -> Iterator[tuple[Table, str]]:
    """The tables that a query reads, with their names in it."""
    for match in _SOURCE.finditer(query):
        table = catalog.table(match[1] or match[3])
        if table is not None:
            yield table, (match[2] or match[4] or "").lower()
