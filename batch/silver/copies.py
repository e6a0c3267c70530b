"""Events that are there more than once, found without moving all events.

To shuffle whole rows by event_id would cost more than all else that silver does, and few rows have a copy. So only the
hashes of the ids are counted; what bears a repeated one is looked at more closely. Two ids of one hash do no harm: the
closer look tells them apart.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame

FEW = 1_000_000
"""So many hashes go to every task: 30 MB there and in the driver. Beyond it rows are shuffled, which is bounded too."""
FEW_MOVED = 100_000
"""So many rows are moved whole, which costs less than to look for their hashes first."""
PLACE = ("event_id", "received_at", "partition", "offset")
"""What tells the copies of an event apart, and orders them: of one event the first counts."""
_HASH = "xxhash64(event_id)"


def suspects(rows: DataFrame, kept: ExitStack) -> DataFrame | None:
    """Those of the rows that may share an id, until `kept` ends; None when they are not few.

    Of their columns the place and the groups.
    """
    from pyspark.sql import functions as F

    twice = _hashes(rows).groupBy("_hash").count().where("count > 1").persist()
    kept.callback(twice.unpersist)
    [row] = twice.agg(F.sum("count").alias("rows")).collect()
    if (row["rows"] or 0) > FEW:
        return None
    columns = [name for name in ("group_id", "session_id", *PLACE) if name in rows.columns]
    found = bearing(rows.select(columns), twice.select("_hash")).persist()
    kept.callback(found.unpersist)
    return found


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


def first_copies(rows: DataFrame, count: int, find: Callable[[], DataFrame | None]) -> DataFrame:
    """Of the records that share an event_id the first received one.

    count   how many records there are
    find    those of them that `suspects` finds
    """
    from pyspark.sql import functions as F

    found = None if count <= FEW_MOVED else find()
    if found is None:
        return _placed(rows).where("_place = 1").drop("_place")
    return rows.join(F.broadcast(later_copies(found)), ["partition", "offset"], "left_anti")


def later_copies(those: DataFrame) -> DataFrame:
    """Partition and offset of the records that are not the first received of their event_id."""
    return _placed(those.select(*PLACE)).where("_place > 1").select("partition", "offset")


def _placed(records: DataFrame) -> DataFrame:
    """With the place that each has among the records of its event_id."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    by_receipt = Window.partitionBy("event_id").orderBy("received_at", "partition", "offset")
    return records.withColumn("_place", F.row_number().over(by_receipt))
