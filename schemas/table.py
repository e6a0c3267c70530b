"""What a table is: layer, grain, owner, columns, checks. Bronze and silver are Python, gold tables are SQL files.

A gold table is `batch/gold/<name>.sql`: a header of comments, then the SELECT that makes it.

    -- Viewing per title and day.
    -- owner: content analytics
    -- grain: play_date, content_id
    -- partition: play_date
    -- fail: unique(play_date, content_id)
    -- fail: never(watched_ms < 0)
    -- warn: rows(min=1)
    SELECT ...,
      sum(watched_ms) AS watched_ms,  -- watched time, ms

`-- alternatives: rollup` names a column whose values stand for different views of the same facts: whoever adds up rows
asks for one of them.

`-- additive: events, watched_ms` says that every other column than those of the grain and the partition is a sum of
whole numbers over rows of the one silver table that it is made of, none of them null (a list of numbers is null where
all would be zero), and that each of these rows adds to one of the named columns. A late event then costs what it
changes, and not the day (`batch/gold/differences.py`). DuckDB runs the SELECT over the rows that changed: it must mean
the same there as in Spark, which `tests/batch/test_signed.py` sees to.

Without `-- partition:` the table is made anew whole: for what is small and tells a state, such as the catalogue.

`$names` in it are filled in from `schemas.quality.sql_names` and `schemas.metrics.macros.sql_names`, so that no list of
parts and no definition is typed twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

from infra.errors import SettingsError
from schemas.metrics import macros
from schemas.quality import sql_names

Type = Literal[
    "string", "long", "int", "double", "boolean", "timestamp", "date", "binary", "map", "longs", "strings", "minutes"
]  # fmt: skip
"""Logical column types; `map` is string → string, `longs` and `strings` are arrays, `minutes` the parts of a session by
minute. Timestamps are microseconds, UTC."""


KEEP_DAYS = 7
"""How long a version can still be read after it was replaced, and how long who follows a table's changes may be away.
Longer than any reader holds on to one."""


@dataclass(frozen=True)
class Column:
    """One column. `doc` states meaning and unit."""

    name: str
    type: Type
    doc: str
    nullable: bool = True


@dataclass(frozen=True)
class Check:
    """A condition on the staged result. kind and arguments:

    unique(a, b)            no two rows share these columns
    not_null(a, b)          none of these columns is null
    in_set(a, x, y, ...)    column a holds only these values (or null)
    rows(min=n)             at least n rows
    never(<SQL condition>)  no row satisfies the condition
    """

    severity: Literal["fail", "warn"]
    kind: Literal["unique", "not_null", "in_set", "rows", "never"]
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(self.arguments)})"

    @classmethod
    def parse(cls, severity: str, text: str, where: str) -> Check:
        """Read `unique(a, b)`. Raises SettingsError that names the file and shows the forms."""
        match = re.fullmatch(r"(unique|not_null|in_set|rows|never)\((.*)\)", text.strip(), re.DOTALL)
        if match is None or severity not in ("fail", "warn"):
            forms = "unique(a, b), not_null(a), in_set(a, x, y), rows(min=n) or never(sql), after `fail:` or `warn:`"
            msg = f"{where}: expected {forms}; got `{severity}: {text}`"
            raise SettingsError(msg)
        kind, inside = match[1], match[2]
        arguments = (inside.strip(),) if kind == "never" else tuple(part.strip() for part in inside.split(","))
        return cls(severity, kind, arguments)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the lake. `partition_by` is a date column (or none); `columns` is empty where SQL decides them."""

    layer: Literal["bronze", "silver", "gold"]
    name: str
    description: str
    owner: str
    grain: tuple[str, ...]
    partition_by: str | None = None
    alternatives: str | None = None
    """Column that tells apart rows which hold the same facts again."""
    additive: tuple[str, ...] = ()
    """Columns to one of which each row of its source adds; empty where its rows can't be told by sums."""
    columns: tuple[Column, ...] = ()
    checks: tuple[Check, ...] = ()
    sql: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.layer}.{self.name}"

    def path(self, lake_root: str) -> str:
        """Where the Delta table lies."""
        return f"{lake_root}/{self.layer}/{self.name}"

    def staging_path(self, lake_root: str) -> str:
        """Where its next content is staged and audited before anybody sees it."""
        return f"{lake_root}/staging/{self.layer}/{self.name}"


def fail(text: str) -> Check:
    """A check that stops the publish."""
    return Check.parse("fail", text, "a table of schemas/tables")


def warn(text: str) -> Check:
    """A check that is only reported."""
    return Check.parse("warn", text, "a table of schemas/tables")


def read_sql_table(path: Path) -> Table:
    """The table that a file of `batch/gold/` defines. Raises SettingsError when its header is incomplete."""
    text = _substituted(path)
    header = re.match(r"(?:--.*\n)*", text)
    lines = [line[2:].strip() for line in (header[0] if header else "").splitlines()]
    fields: dict[str, str] = {}
    checks: list[Check] = []
    description: list[str] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and name in ("owner", "grain", "partition", "alternatives", "additive"):
            fields[name] = value.strip()
        elif colon and name in ("fail", "warn"):
            checks.append(Check.parse(name, value, path.name))
        else:
            description.append(line)
    missing = {"owner", "grain"} - fields.keys()
    if missing or not description:
        msg = f"{path.name}: expected a header with a description, owner: and grain:; missing {sorted(missing)}"
        raise SettingsError(msg)
    return Table(
        layer="gold",
        name=path.stem,
        description=" ".join(description),
        owner=fields["owner"],
        grain=_names(fields["grain"]),
        partition_by=fields.get("partition"),
        alternatives=fields.get("alternatives"),
        additive=_names(fields.get("additive", "")),
        columns=tuple(Column(name, "string", doc) for name, doc in _column_docs(text)),
        checks=tuple(checks),
        sql=text[len(header[0]) if header else 0 :],
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _substituted(path: Path) -> str:
    """The file with its `$names` filled in."""
    names = {**sql_names(), **macros.sql_names()}
    try:
        return Template(path.read_text()).substitute(names)
    except (KeyError, ValueError) as error:
        msg = f"{path.name}: expected `$` before one of {', '.join(names)} (a plain one is `$$`); got {error}"
        raise SettingsError(msg) from None


def _column_docs(text: str) -> list[tuple[str, str]]:
    """Columns with a trailing comment: `sum(x) AS stall_ms,  -- time in stalls, ms`. Types are the query's own."""
    return re.findall(r"(\w+),?[ \t]+--[ \t]+(.+)$", text, re.MULTILINE)
