"""Events that are there more than once, found without moving all events.

To shuffle whole rows by event_id would cost more than all else that silver does, and few rows have a copy. So only the
hashes of the ids are counted; what bears a repeated one is looked at more closely. Two ids of one hash do no harm: the
closer look tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FEW = 1_000_000
"""So many hashes go to every task: 30 MB there and in the driver. Beyond it rows are shuffled, which is bounded too."""
_HASH = "xxhash64(event_id)"


@contextmanager
def repeated_ids(rows: DataFrame) -> Iterator[DataFrame | None]:
    """Hashes of the ids that more than one of the rows bears, for the length of a block; None when they are not few."""
    from pyspark.sql import functions as F

    twice = _hashes(rows).groupBy("_hash").count().where("count > 1").persist()
    try:
        [row] = twice.agg(F.sum("count").alias("rows")).collect()
        yield twice.select("_hash") if (row["rows"] or 0) <= FEW else None
    finally:
        twice.unpersist()


def bearing(rows: DataFrame, hashes: DataFrame) -> DataFrame:
    """The rows whose id has one of the hashes, which must be few."""
    from pyspark.sql import functions as F

    return rows.join(F.broadcast(hashes), F.expr(f"{_HASH} = _hash"), "left_semi")


def like(rows: DataFrame, others: DataFrame, count: int) -> DataFrame:
    """The rows that may have an id of `others`, which are `count` rows: without being asked, Spark would sort all rows
    to look a few up. All of them where the others are not few."""
    return bearing(rows, _hashes(others)) if count <= FEW else rows


def _hashes(rows: DataFrame) -> DataFrame:
    return rows.selectExpr(f"{_HASH} AS _hash")


@contextmanager
def first_copies(rows: DataFrame, count: int) -> Iterator[DataFrame]:
    """Of the records that share an event_id the first received one, for the length of a block.

    count   how many records there are
    """
    from pyspark.sql import functions as F

    with repeated_ids(rows) if count > FEW else nullcontext() as hashes:
        if hashes is None:
            yield _placed(rows).where("_place = 1").drop("_place")
            return
        suspects = bearing(rows.select("event_id", "received_at", "partition", "offset"), hashes)
        later = _placed(suspects).where("_place > 1").select("partition", "offset")
        yield rows.join(F.broadcast(later), ["partition", "offset"], "left_anti")


def _placed(records: DataFrame) -> DataFrame:
    """With the place that each has among the records of its event_id."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    by_receipt = Window.partitionBy("event_id").orderBy("received_at", "partition", "offset")
    return records.withColumn("_place", F.row_number().over(by_receipt))
