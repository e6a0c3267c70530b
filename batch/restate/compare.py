"""Two versions of a gold table → the figures of its days that differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import unquote

from batch.stage import in_dates
from infra.delta_scan import cursor, scan
from schemas.metrics.macros import metrics_sql
from schemas.table import Table

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

CHANGED_ROWS = "changed_rows"
NOT_ADDITIVE: dict[str, dict[str, str]] = {
    "startup_histogram": {
        "startup_p50_ms": "startup_quantile_ms(startup_histogram, 0.5)",
        "startup_p95_ms": "startup_quantile_ms(startup_histogram, 0.95)",
    },
    "viewer_registers": {"unique_viewers": "unique_viewers(viewer_registers)"},
}
"""Column → figures that stand for it: two histograms of one sum may still be different."""
_DEFINING = Lock()
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")

Day = date | None
"""Of a partition; None: the table has none."""
Figures = dict[tuple[Day, str | None, str], int | None]
"""(day, alternative, metric) → value."""


@dataclass(frozen=True)
class Change:
    """A figure that is no longer the same."""

    day: Day
    alternative: str | None
    metric: str
    old: int | None
    new: int | None


@dataclass(frozen=True)
class Step:
    """What one version of a table has in other files than another."""

    before: int
    after: int
    days: list[Day]
    """Those that had rows before."""
    files: list[Path]
    """What must be there to compare the two."""


def step(path: str, before: int, after: int, partition: str | None) -> Step:
    """What two versions tell by their files; nothing when one of them is partitioned otherwise.

    Raises DeltaError when the log of one is gone.
    """
    from deltalake import DeltaTable

    tables = [DeltaTable(path, version=at) for at in (before, after)]
    if any(table.metadata().partition_columns != ([partition] if partition else []) for table in tables):
        return Step(before, after, [], [])
    old, new = (_files(table, partition) for table in tables)
    had = set(old.values())
    changed = {day for file, day in (old.items() ^ new.items()) if day in had}
    files = [Path(path) / unquote(file) for file, day in (old | new).items() if day in changed]
    return Step(before, after, sorted(changed, key=str), files)


def _files(table: DeltaTable, partition: str | None) -> dict[str, Day]:
    """File → its day."""
    import pyarrow as pa

    actions = pa.table(table.get_add_actions(flatten=True))
    days = actions[f"partition.{partition}"].to_pylist() if partition else [None] * actions.num_rows
    return dict(zip(actions["path"].to_pylist(), days, strict=True))


def compare(connection: DuckDBPyConnection, table: Table, path: str, found: Step) -> list[Change]:
    """The figures that differ in these days, in a fixed order. `connection`: of `database`.

    Of a table without days, which tells a state and adds up to nothing, only how many rows differ.
    """
    where = in_dates(f"{table.partition_by}", map(str, found.days)) if table.partition_by else "true"
    for side, at in (("old", found.before), ("new", found.after)):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {side} AS FROM {scan(path, at)} WHERE {where}")
    columns = {side: _columns(connection, side) for side in ("old", "new")}
    changed = _changed_rows(connection, table, [name for name in columns["old"] if name in columns["new"]])
    old, new = (_figures(connection, table, side, columns[side]) for side in ("old", "new"))
    changes = (
        Change(*key, _of(old, key, columns["old"], table), _of(new, key, columns["new"], table))
        for key in old.keys() | new.keys()
    )
    different = [*changed, *(change for change in changes if change.old != change.new)]
    return sorted(different, key=lambda change: (str(change.day), change.alternative or "", change.metric))


def database() -> DuckDBPyConnection:
    """A connection that reads Delta and knows the macros of the metrics. To be closed."""
    connection = cursor()
    with _DEFINING:  # all connections share the macros, and two that define one at once are refused
        connection.execute(metrics_sql())
    return connection


def _columns(connection: DuckDBPyConnection, view: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {view}").fetchall()}


def _measures(table: Table, columns: dict[str, str]) -> dict[str, str]:
    """Metric → expression over the rows of a day."""
    if table.partition_by is None:
        return {}
    own = {*table.grain, table.partition_by}
    found = {name: f"sum({name})" for name, kind in columns.items() if kind in INTEGERS and name not in own}
    for name in columns.keys() & NOT_ADDITIVE.keys():
        found |= NOT_ADDITIVE[name]
    return found


def _key(table: Table) -> str:
    """Day and alternative, as the first columns of a SELECT."""
    return f"{table.partition_by or 'NULL::DATE'} AS _day, {table.alternatives or 'NULL::VARCHAR'} AS _alternative"


def _figures(connection: DuckDBPyConnection, table: Table, view: str, columns: dict[str, str]) -> Figures:
    measures = _measures(table, columns)
    if not measures:
        return {}
    values = ", ".join(f"CAST(round({sql}) AS BIGINT)" for sql in measures.values())
    query = f"SELECT {_key(table)}, {values} FROM {view} GROUP BY ALL"
    return {
        (day, alternative, metric): value
        for day, alternative, *found in connection.execute(query).fetchall()
        for metric, value in zip(measures, found, strict=True)
    }


def _of(figures: Figures, key: tuple[Day, str | None, str], columns: dict[str, str], table: Table) -> int | None:
    """A figure; 0 where its version has the column and no row of that day."""
    return figures[key] if key in figures else 0 if key[2] in _measures(table, columns) else None


def _changed_rows(connection: DuckDBPyConnection, table: Table, columns: Iterable[str]) -> list[Change]:
    """How many old rows have no equal among the new ones, and the other way round, by the columns that both have."""
    row = f"hash({', '.join(columns)}) AS _row"
    query = f"""
        SELECT _day, _alternative, sum(greatest(-n, 0))::BIGINT, sum(greatest(n, 0))::BIGINT
        FROM (
          SELECT _day, _alternative, _row, sum(side) AS n
          FROM (
            SELECT {_key(table)}, {row}, -1 AS side FROM old
            UNION ALL SELECT {_key(table)}, {row}, 1 AS side FROM new
          )
          GROUP BY ALL
        )
        WHERE n <> 0 GROUP BY ALL
    """
    return [
        Change(day, alternative, CHANGED_ROWS, gone, come)
        for day, alternative, gone, come in connection.execute(query).fetchall()
    ]
