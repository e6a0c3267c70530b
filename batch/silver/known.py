"""What silver has of new events' ids already: under which day, by what receipt.

Where is the other copy of an event? A copy has the same client stamp, so the same event_date, unless its stamp was not
believed or was corrected by sentAt. Those are *moved* and looked for in every day; the others within NEAR_DAYS around
the new events, which covers a moved copy of theirs too (a believed stamp lies within 7 days of its receipt).

A few ids are looked up among millions. Spark's join would read every row's receipt for that; so its tasks read the ids
alone, and of a row group the rest only where it has one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from batch.silver.copies import like
from batch.silver.files import handed_out, readable_files
from schemas.event import MAX_PAST, MAX_SKEW

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from batch.silver.events import Arrived
    from batch.stage import Job
    from schemas.table import Table

FEW = 100_000
"""So many ids are sent to every task."""
NEAR_DAYS = 2 * MAX_PAST.days
FIRST = "struct(received_at, partition, offset)"
"""Orders copies of an event."""
MOVED = f"(is_clock_suspect OR coalesce(abs(timestampdiff(SECOND, sent_at, received_at)) >= {MAX_SKEW.seconds}, false))"
RECEIPT = ("event_id", "received_at", "partition", "offset")


def copies_there(job: Job, table: Table, base: int, new: DataFrame, seen: Arrived) -> DataFrame:
    """Rows that may be copies of what is new: event_id, `_date`, and `_there`, which is `FIRST` of them.

    base   version of the table that is looked at; without the days that are restated, whose rows go
    seen   what is new, of which there is some
    """
    from pyspark.sql import functions as F

    assert seen.days is not None
    near = seen.days.widened(NEAR_DAYS, NEAR_DAYS)
    if seen.rows <= FEW and job.days is None and (days := _files(job.path(table), table, base)) is not None:
        is_near = {file: near.first <= day <= near.last for file, day in days.items()}
        found = _with_ids_of(new, {file: day for file, day in days.items() if is_near[file]})
        if seen.has_moved:
            far = {file: day for file, day in days.items() if not is_near[file]}
            found = found.union(_with_ids_of(new.where(MOVED), far))
        return F.broadcast(found.select("event_id", "_date", F.expr(FIRST).alias("_there")))
    there = job.read(table, base).where(f"NOT ({job.days.sql('event_date')})" if job.days else "true")
    rows = there.select("event_id", F.col("event_date").alias("_date"), F.expr(FIRST).alias("_there"))
    on_near_day = near.sql("_date")
    found = like(rows.where(on_near_day), new, seen.rows)
    if seen.has_moved:
        moved = new.where(MOVED).select("event_id")
        found = found.union(rows.where(f"NOT ({on_near_day})").join(moved, "event_id", "left_semi"))
    return found


def _files(path: str, table: Table, at: int) -> dict[Path, date] | None:
    """Each file of a version with its day."""
    files = readable_files(path, at)
    if files is None:
        return None
    return {file.at(path): date.fromisoformat(f"{file.partition[f'{table.partition_by}']}") for file in files}


def _with_ids_of(new: DataFrame, days: Mapping[Path, date]) -> DataFrame:
    """The rows of these files, each of one day, that have an id of `new`: `RECEIPT` and `_date`."""
    ids = new.select("event_id").distinct().toArrow()["event_id"].combine_chunks()
    tasks, make = handed_out(new.sparkSession, list(days), lambda file: rows_with(file, days[file], ids))
    kinds = "event_id STRING, received_at TIMESTAMP, partition INT, offset BIGINT, _date DATE"
    return tasks.mapInArrow(make, kinds)


def rows_with(file: Path, day: date, ids: pa.Array) -> Iterator[pa.RecordBatch]:
    """Of one file's rows those that have one of the ids."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    key = RECEIPT[0]
    with pq.ParquetFile(file) as source:
        for group in range(source.num_row_groups):
            has = pc.is_in(source.read_row_group(group, [key], use_threads=False)[key], ids)
            if pc.any(has).as_py():
                rows = source.read_row_group(group, RECEIPT, use_threads=False).select(RECEIPT).filter(has)
                yield from rows.append_column("_date", pa.repeat(pa.scalar(day, pa.date32()), len(rows))).to_batches()
