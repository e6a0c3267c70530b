"""Rules with a fixed limit: the metric of the last minutes by cohort, from the definition that every query uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from schemas.metrics.macros import metrics_sql
from schemas.quality import DIMENSIONS, PARTS, STARTUP_BUCKETS
from streams.alerts.cohorts import Cohort, make
from streams.alerts.minutes import MinuteRows
from streams.alerts.rule import HISTOGRAM, Rule

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("rollup", *DIMENSIONS)]
    + [(part, pa.int64()) for part in PARTS]
    + [(HISTOGRAM, pa.list_(pa.int64(), STARTUP_BUCKETS))]
)


@dataclass(frozen=True)
class Reading:
    """A rule's metric in one cohort. None: it has no value there."""

    cohort: Cohort
    value: float | None
    sample: float | None

    def is_out(self, rule: Rule) -> bool:
        """Beyond the limit, and made of enough."""
        if self.value is None or (self.sample is not None and self.sample < rule.least_sample):
            return False
        return self.value > rule.limit if rule.is_high else self.value < rule.limit

    def is_back(self, rule: Rule) -> bool:
        """Where an open alert may close; what is not known any more is over."""
        if self.value is None:
            return True
        at = rule.limit if rule.close_at is None else rule.close_at
        return self.value <= at if rule.is_high else self.value >= at


class Thresholds:
    """Answers rules. Same minutes, same answers: it keeps nothing but the compiled definitions."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)

    @property
    def minutes(self) -> int:
        """How many of the last minutes the rules need."""
        return max((rule.over_minutes for rule in self.rules), default=0)

    @cached_property
    def _connection(self) -> DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect(":memory:", config={"threads": 1, "temp_directory": ""})
        connection.execute(metrics_sql())
        return connection

    def read(self, minutes: Sequence[MinuteRows]) -> list[tuple[Rule, list[Reading]]]:
        """Every rule's metric, by cohort. `minutes`: the last ones, oldest first."""
        return [(rule, self._of(rule, minutes[-rule.over_minutes :])) for rule in self.rules]

    def _of(self, rule: Rule, minutes: Sequence[MinuteRows]) -> list[Reading]:
        if len(minutes) < rule.over_minutes:
            return []  # half a stretch is no value of the whole one
        rows = [
            (labels, cells)
            for minute in minutes
            for labels, cells in minute.rows.items()
            if labels[0] == rule.rollup
            and all(dict(zip(DIMENSIONS, labels[1:], strict=True))[k] == v for k, v in rule.where.items())
        ]
        table = pa.Table.from_arrays(
            [
                *(pa.array([labels[k] for labels, _ in rows], pa.string()) for k in range(1 + len(DIMENSIONS))),
                *(pa.array([int(cells[k]) for _, cells in rows], pa.int64()) for k in range(len(PARTS))),
                pa.array([cells[len(PARTS) :].tolist() for _, cells in rows], SCHEMA.field(HISTOGRAM).type),
            ],
            schema=SCHEMA,
        ).set_column(
            len(SCHEMA) - 1,
            HISTOGRAM,
            pa.array([cells[len(PARTS) :].tolist() for _, cells in rows], pa.list_(pa.int64())),
        )
        sample = "NULL" if rule.sample is None else f"sum({rule.sample})"
        if rule.sample == HISTOGRAM:
            sample = f"startups({HISTOGRAM})"
        names = ", ".join(rule.by)
        call = rule.definition.call("" if rule.argument is None else f"{rule.argument}")
        sql = (
            f"SELECT {names}{', ' if names else ''}{call}, {sample} FROM minutes {f'GROUP BY {names}' if names else ''}"
        )
        self._connection.register("minutes", table)
        found = self._connection.execute(sql).fetchall()
        self._connection.unregister("minutes")
        fixed = tuple(rule.where.items())
        return [Reading(make((*fixed, *zip(rule.by, row, strict=False))), *map(_number, row[-2:])) for row in found]


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
