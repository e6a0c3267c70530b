"""The metrics that minutes give, of both sides: by the one definition of each, in `schemas/metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from schemas.metrics.macros import metrics_sql
from schemas.metrics.metric import Metric
from schemas.metrics.registry import METRICS
from schemas.parity import CAUSES, UNEXPLAINED, MetricParity
from schemas.quality import PARTS, STARTUP_BUCKETS
from streams.parity.explain import Compared
from streams.parity.rows import HISTOGRAM, OVERALL, RowKey, Rows, histogram_part

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ARGUMENTS: Mapping[str, str] = {"q": "0.95"}
"""Parameters that a caller must give, and what is asked here."""

Groups = Mapping[RowKey, int]
"""Row → the group that it is added to."""


@cache
def minute_metrics() -> list[Metric]:
    """The metrics that additive parts of minutes are enough for."""
    known = {*PARTS, HISTOGRAM}
    return [
        metric
        for metric in METRICS.values()
        if metric.level == "aggregate" and known.issuperset(metric.parts) and ARGUMENTS.keys() >= {*metric.arguments}
    ]


def over_all(compared: Compared, until_ms: int) -> list[MetricParity]:
    """Every metric over the minutes before `until_ms`."""
    keys = (key for key in {*compared.live, *compared.batch} if key.rollup == OVERALL and key.minute_ms < until_ms)
    return _parity(compared, dict.fromkeys(keys, 0)).get(0) or _parity_of({}, {}, {}, 0)


def by_row(compared: Compared, until_ms: int) -> dict[RowKey, list[MetricParity]]:
    """The metrics that differ, of every row that differs and that both sides have, before `until_ms`."""
    both = compared.live.keys() & compared.batch.keys()
    keys = dict.fromkeys(one.key for one in compared.differences if one.key.minute_ms < until_ms and one.key in both)
    found = _parity(compared, {key: group for group, key in enumerate(keys)})
    return {
        key: differing
        for group, key in enumerate(keys)
        if (differing := [metric for metric in found[group] if metric.live != metric.batch])
    }


def _parity(compared: Compared, groups: Groups) -> dict[int, list[MetricParity]]:
    causes: dict[int, dict[str, set[str]]] = {}
    for one in compared.differences:
        if (group := groups.get(one.key)) is not None:
            # A bucket of the histogram stands for the histogram.
            of_part = causes.setdefault(group, {}).setdefault(one.part.partition("[")[0], set())
            of_part.update(one.causes, () if one.is_explained else (UNEXPLAINED,))
    live, batch = (_values(side, groups) for side in (compared.live, compared.batch))
    return {group: _parity_of(live, batch, causes.get(group, {}), group) for group in {*groups.values()}}


def _parity_of(
    live: Mapping[int, list[float | None]],
    batch: Mapping[int, list[float | None]],
    causes: Mapping[str, set[str]],
    group: int,
) -> list[MetricParity]:
    """The metrics of one group of rows. `causes`: part → those of its difference."""
    metrics = minute_metrics()
    nothing: list[float | None] = [None] * len(metrics)
    found = []
    for metric, of_live, of_batch in zip(metrics, live.get(group, nothing), batch.get(group, nothing), strict=True):
        told = (causes.get(part, set()) for part in (metric.parts if of_live != of_batch else ()))
        known = set[str]().union(*told)
        found.append(
            MetricParity(
                metric=metric.call(_arguments(metric)),
                title=", ".join((metric.title, *(f"{name} = {ARGUMENTS[name]}" for name in metric.arguments))),
                unit=metric.unit,
                live=of_live,
                batch=of_batch,
                causes=[cause for cause in (*CAUSES, UNEXPLAINED) if cause in known],
            )
        )
    return found


def _arguments(metric: Metric) -> str:
    return ", ".join(ARGUMENTS[name] for name in metric.arguments)


def _values(side: Rows, groups: Groups) -> dict[int, list[float | None]]:
    """Group → its metrics, as far as the side has any of its rows."""
    import pyarrow as pa

    rows = [(group, side[key]) for key, group in groups.items() if key in side]
    columns = {part: pa.array([amounts[part] for _, amounts in rows], pa.int64()) for part in PARTS}
    histograms = [[amounts[histogram_part(bucket)] for bucket in range(STARTUP_BUCKETS)] for _, amounts in rows]
    table = pa.table(
        {
            "row_group": pa.array([group for group, _ in rows], pa.int64()),
            **columns,
            HISTOGRAM: pa.array(histograms, pa.list_(pa.int64())),
        }
    )
    with _database().cursor() as connection:
        connection.register("minutes", table)
        calls = ", ".join(metric.call(_arguments(metric)) for metric in minute_metrics())
        found = connection.execute(f"SELECT row_group, {calls} FROM minutes GROUP BY row_group").fetchall()
        connection.unregister("minutes")
    return {group: [None if value is None else float(value) for value in values] for group, *values in found}


@cache
def _database() -> DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect()
    connection.execute(metrics_sql())
    return connection
