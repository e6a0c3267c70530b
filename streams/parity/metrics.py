"""The metrics that minutes give, of both sides: by the one definition of each, in `schemas/metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from schemas.metrics.macros import metrics_sql
from schemas.metrics.metric import Metric
from schemas.metrics.registry import METRICS
from schemas.quality import PARTS, STARTUP_BUCKETS
from streams.parity.explain import Amounts, RowKey, histogram_part

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

HISTOGRAM = "startup_histogram"
ROLLUP = "total"
ARGUMENTS: Mapping[str, str] = {"q": "0.95"}
"""Parameters that a caller must give, and what is asked here."""


class MetricParity(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over all minutes of the window. None: its denominator is 0."""

    metric: str
    unit: str
    live: float | None
    batch: float | None


def minute_metrics() -> list[Metric]:
    """The metrics that additive parts of minutes are enough for."""
    known = {*PARTS, HISTOGRAM}
    return [
        metric
        for metric in METRICS.values()
        if metric.level == "aggregate" and known.issuperset(metric.parts) and ARGUMENTS.keys() >= {*metric.arguments}
    ]


def metric_parity(live: Mapping[RowKey, Amounts], batch: Mapping[RowKey, Amounts]) -> list[MetricParity]:
    """Every metric over the rows of the rollup over all, by its macro."""
    metrics = minute_metrics()
    values = [
        _values(metrics, [amounts for key, amounts in side.items() if key.rollup == ROLLUP]) for side in (live, batch)
    ]
    return [
        MetricParity(metric=metric.call(_arguments(metric)), unit=metric.unit, live=of_live, batch=of_batch)
        for metric, of_live, of_batch in zip(metrics, *values, strict=True)
    ]


def _arguments(metric: Metric) -> str:
    return ", ".join(ARGUMENTS[name] for name in metric.arguments)


def _values(metrics: list[Metric], rows: list[Amounts]) -> list[float | None]:
    import pyarrow as pa

    columns = {part: pa.array([row[part] for row in rows], pa.int64()) for part in PARTS}
    histograms = [[row[histogram_part(bucket)] for bucket in range(STARTUP_BUCKETS)] for row in rows]
    table = pa.table({**columns, HISTOGRAM: pa.array(histograms, pa.list_(pa.int64()))})
    with _database().cursor() as connection:
        connection.register("minutes", table)
        calls = ", ".join(metric.call(_arguments(metric)) for metric in metrics)
        [found] = connection.execute(f"SELECT {calls} FROM minutes").fetchall()
        connection.unregister("minutes")
    return [None if value is None else float(value) for value in found]


@cache
def _database() -> DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect()
    connection.execute(metrics_sql())
    return connection
