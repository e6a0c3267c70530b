"""What silver has of new events' ids already: under which day, by what receipt.

Where is the other copy of an event? A copy has the same client stamp, so the same event_date, unless its stamp was not
believed or was corrected by sentAt. Those are *moved* and looked for in every day; the others within NEAR_DAYS around
the new events, which covers a moved copy of theirs too (a believed stamp lies within 7 days of its receipt).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.silver.copies import like
from schemas.event import MAX_PAST, MAX_SKEW

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from batch.silver.arrivals import Arrived
    from batch.stage import Job
    from schemas.table import Table

NEAR_DAYS = 2 * MAX_PAST.days
FIRST = "struct(received_at, partition, offset)"
"""Orders copies of an event."""
MOVED = f"(is_clock_suspect OR coalesce(abs(timestampdiff(SECOND, sent_at, received_at)) >= {MAX_SKEW.seconds}, false))"


def copies_there(job: Job, table: Table, base: int, new: DataFrame, seen: Arrived) -> DataFrame:
    """Rows that may be copies of what is new: event_id, `_date`, and `_there`, which is `FIRST` of them.

    base   version of the table that is looked at; without the days that are restated, whose rows go
    seen   what is new, of which there is some
    """
    from pyspark.sql import functions as F

    assert seen.days is not None
    there = job.read(table, base).where(f"NOT ({job.days.sql('event_date')})" if job.days else "true")
    rows = there.select("event_id", F.col("event_date").alias("_date"), F.expr(FIRST).alias("_there"))
    on_near_day = seen.days.widened(NEAR_DAYS, NEAR_DAYS).sql("_date")
    found = like(rows.where(on_near_day), new, seen.rows)
    if seen.has_moved:
        moved = new.where(MOVED).select("event_id")
        found = found.union(rows.where(f"NOT ({on_near_day})").join(moved, "event_id", "left_semi"))
    return found
