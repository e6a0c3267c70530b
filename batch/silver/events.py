"""Silver events of any topic: each event once, by the day it happened. Bronze keeps every record, copies included.

Of the records that share an event_id the first received one counts (received_at, then partition, then offset), whatever
order they reach bronze in: a copy that turns out to be earlier takes the place of the one that silver has.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from deltalake import Schema

from batch.delta_log import nullable
from batch.history import has_new_files, version
from batch.silver import copies
from batch.silver.copies import first_copies, suspects
from batch.silver.files import readable_files
from batch.silver.known import FIRST, MOVED, copies_there
from batch.silver.rewrite import Bronze, rewrite
from batch.spark import as_contract, ensure_table
from batch.stage import Days, Job, Removed, changes
from schemas.derive import arrow_schema
from schemas.event import MAX_FUTURE, MAX_PAST
from schemas.stage import StagedTable
from schemas.tables import BRONZE, SILVER_EVENTS
from schemas.topic import EventTopic

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Arrived:
    """What a range of bronze versions (or of days) brought, in one look."""

    rows: int
    days: Days | None
    has_moved: bool
    now: datetime | None


def stage_events(job: Job, topic: EventTopic) -> StagedTable | None:
    """Stage what bronze has and silver has not, or all of `job.days` anew. None when there is nothing to do."""
    from pyspark.sql import Observation
    from pyspark.sql import functions as F

    bronze, table = BRONZE[topic.name], SILVER_EVENTS[topic.name]
    until, done = version(job.path(bronze)), job.done(table)
    after = done.complete.get(bronze.full_name) if done else None
    if until is None or not has_new_files(job.path(bronze), None if job.days else after, until):
        return None
    ensure_table(job.spark, job.path(table), table)
    base = version(job.path(table)) or 0
    new = arrivals(job, topic, after, until)
    seen = look(new)
    if not seen.rows and job.days is None:
        return None

    removed = Removed()
    if (made := _from_nothing(job, topic, until, seen) if done is None else None) is not None:
        at, rows = made
    else:
        first = first_copies(new, seen.rows, lambda: suspects_of(job, topic, after, until))
        there = None if done is None or seen.days is None else copies_there(job, table, base, new, seen)
        put = _not_there(first, there)
        replacing = Observation()
        counted = put.observe(replacing, F.count("_there.offset").alias("rows"))
        at, rows = job.stage(table, as_contract(counted, table.columns))
        gone = put.where("_there IS NOT NULL").selectExpr("event_id", "_date AS event_date")
        if done is not None and job.days is not None:
            restated = job.read(table, base).where(job.days.sql("event_date"))
            removed = job.stage_removed(table, gone.union(restated.select("event_id", "event_date")))
        elif replacing.get["rows"]:
            removed = job.stage_removed(table, gone)
    return StagedTable(
        version=at,
        rows=rows,
        base=base,
        sources={bronze.full_name: until},
        removed=removed.version,
        dates=removed.dates,
        **job.watermark(done, {bronze.full_name: until}, later(done.now if done else None, seen.now)),
    )


def _from_nothing(job: Job, topic: EventTopic, until: int, seen: Arrived) -> tuple[int, int] | None:
    """Stage all of bronze, where the table has nothing yet: its files are rewritten. None where that can't be done."""
    table, path = SILVER_EVENTS[topic.name], job.path(BRONZE[topic.name])
    if job.days is not None or seen.rows <= copies.FEW_MOVED or (files := readable_files(path, until)) is None:
        return None
    those = suspects_of(job, topic, None, until)
    if those is None:
        return None

    def write(folder: str) -> None:
        rewrite(
            job.spark, Bronze([file.at(path) for file in files], seen.rows, copies.later_copies(those)), table, folder
        )

    return job.stage_files(table, nullable(Schema.from_arrow(arrow_schema(table.columns))), write)


def arrivals(job: Job, topic: EventTopic, after: int | None, until: int) -> DataFrame:
    """Records of bronze versions `(after, until]`, or those of `job.days` as of `until`, as silver rows."""
    bronze = BRONZE[topic.name]
    if job.days is None:
        rows = changes(job.spark, job.path(bronze), after, until)
    else:
        # occurred_at lies within [received_at - MAX_PAST, received_at + MAX_FUTURE]: so much of bronze must be read.
        received = job.days.widened(before=1 + MAX_FUTURE.days, after=1 + MAX_PAST.days).sql("received_date")
        rows = job.read(bronze, until).where(f"{received} AND {job.days.sql('to_date(occurred_at)')}")
    return as_contract(rows.selectExpr("*", "to_date(occurred_at) AS event_date"), SILVER_EVENTS[topic.name].columns)


def suspects_of(job: Job, topic: EventTopic, after: int | None, until: int) -> DataFrame | None:
    """Those arrivals that may share an id, looked for once a run; None when they are not few."""
    return job.memory.once(
        (suspects_of, topic.name, after, until),
        lambda: suspects(arrivals(job, topic, after, until), job.memory.kept),
    )


def look(new: DataFrame) -> Arrived:
    """How many records, of which days, whether some were moved, and the newest received_at."""
    [row] = new.selectExpr(
        "count(*) AS rows",
        "CAST(min(event_date) AS STRING) AS first",
        "CAST(max(event_date) AS STRING) AS last",
        f"bool_or({MOVED}) AS has_moved",
        "unix_micros(max(received_at)) AS now_us",
    ).collect()
    days = Days(date.fromisoformat(row["first"]), date.fromisoformat(row["last"])) if row["rows"] else None
    return Arrived(row["rows"], days, bool(row["has_moved"]), _moment(row["now_us"]))


def _not_there(first: DataFrame, there: DataFrame | None) -> DataFrame:
    """Of the first copies those that silver is to hold; `_date` and `_there` tell of silver's row that one replaces."""
    if there is None:
        return first.selectExpr("*", "CAST(NULL AS DATE) AS _date", f"if(true, NULL, {FIRST}) AS _there")
    return first.join(there, "event_id", "left").where(f"_there IS NULL OR {FIRST} < _there")


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two moments that may be unknown."""
    return max((moment for moment in (one, other) if moment is not None), default=None)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else datetime.fromtimestamp(micros / 1e6, UTC)
