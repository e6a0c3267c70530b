"""Macros on startup histograms, which the startup metrics are made of."""

from __future__ import annotations

from schemas.metrics.metric import Function
from schemas.quality import STARTUP_BUCKETS

_BUCKETS = [f"sum(h[{bucket}])" for bucket in range(1, STARTUP_BUCKETS + 1)]
_LINES = ",\n  ".join(", ".join(_BUCKETS[at : at + 8]) for at in range(0, STARTUP_BUCKETS, 8))

FUNCTIONS = (
    Function(
        name="startup_histogram_sum",
        parameters=("h",),
        comment=f"Startup histograms, added bucket by bucket. Unit: startups a bucket, BIGINT[{STARTUP_BUCKETS}]. "
        "Bucket i counts startups in [2^(i/4), 2^((i+1)/4)) ms, from i = 0 on; a missing histogram adds nothing. "
        "Written out because DuckDB adds columns some 20 times faster than it folds a list of lists.",
        sql=f"[\n  {_LINES}\n]::BIGINT[]",
    ),
    Function(
        name="startup_histogram_quantile_ms",
        parameters=("h", "q"),
        comment="Quantile of one histogram (not of a group of them): the value below which a share q of the counts "
        "lies. Unit: ms. The bucket that holds the rank q * n is found by running sums; inside it counts are taken to "
        "lie evenly on the logarithmic axis, so with b counts in bucket i and a before it the answer is "
        "2^((i + (q * n - a) / b) / 4). It lies in the right bucket, thus within a factor of 2^(1/4) (19 %) of the "
        "true value.",
        sql="""CASE WHEN list_sum(h) > 0 THEN
    list_transform(
      [list_position(
        list_transform(range(1, len(h) + 1), lambda i: h[i] > 0 AND list_sum(h[1:i]) >= q * list_sum(h)), true)],
      lambda i: pow(2, (i - 1 + (q * list_sum(h) - coalesce(list_sum(h[1:i - 1]), 0)) / h[i]) / 4.0)
    )[1]::DOUBLE
  END""",
    ),
)
