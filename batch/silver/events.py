"""Silver events of any topic: each event once, by the day it happened. Bronze keeps every record, copies included.

Of the records that share an event_id the first received one counts (received_at, then partition, then offset), whatever
order they reach bronze in: a copy that turns out to be earlier takes the place of the one that silver has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltalake import Schema

from batch.delta_log import nullable
from batch.history import has_new_files, version
from batch.silver import copies
from batch.silver.arrivals import Arrived, arrivals, later, look, suspects_of
from batch.silver.copies import first_copies
from batch.silver.few.events import News, news_of
from batch.silver.few.rows import few_arrivals
from batch.silver.files import readable_files
from batch.silver.known import FIRST, copies_there
from batch.silver.rewrite import Bronze, rewrite
from batch.spark import as_contract, ensure_table
from batch.stage import Job, Removed
from schemas.derive import arrow_schema
from schemas.progress import Progress
from schemas.stage import StagedTable
from schemas.table import Table
from schemas.tables import BRONZE, SILVER_EVENTS
from schemas.topic import EventTopic

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import DataFrame

Staged = tuple[int, int, Removed, "datetime | None"]
"""Version and rows of the stage, what goes, and the newest received_at of what has come."""


def stage_events(job: Job, topic: EventTopic) -> StagedTable | None:
    """Stage what bronze has and silver has not, or all of `job.days` anew. None when there is nothing to do."""
    bronze, table = BRONZE[topic.name], SILVER_EVENTS[topic.name]
    until, done = version(job.path(bronze)), job.done(table)
    after = done.complete.get(bronze.full_name) if done else None
    if until is None or not has_new_files(job.path(bronze), None if job.days else after, until):
        return None
    ensure_table(job.session, job.path(table), table)
    base = version(job.path(table)) or 0
    few = few_arrivals(job, topic, after, until)
    news = None if few is None else news_of(job, table, base, few)
    staged = _stage_news(job, table, news) if news else _stage_by_spark(job, topic, done, base, until)
    if staged is None:
        return None
    at, rows, removed, newest = staged
    return StagedTable(
        version=at,
        rows=rows,
        base=base,
        sources={bronze.full_name: until},
        removed=removed.version,
        dates=removed.dates,
        **job.watermark(done, {bronze.full_name: until}, later(done.now if done else None, newest)),
    )


def _stage_news(job: Job, table: Table, news: News) -> Staged | None:
    if not news.seen.rows:
        return None
    at, rows = job.stage(table, news.put)
    return at, rows, job.stage_removed(table, news.gone) if len(news.gone) else Removed(), news.seen.now


def _stage_by_spark(job: Job, topic: EventTopic, done: Progress | None, base: int, until: int) -> Staged | None:
    from pyspark.sql import Observation
    from pyspark.sql import functions as F

    table = SILVER_EVENTS[topic.name]
    after = done.complete.get(BRONZE[topic.name].full_name) if done else None
    new = arrivals(job, topic, after, until)
    seen = look(new)
    if not seen.rows and job.days is None:
        return None
    if (made := _from_nothing(job, topic, until, seen) if done is None else None) is not None:
        return *made, Removed(), seen.now
    first = first_copies(new, seen.rows, lambda: suspects_of(job, topic, after, until))
    there = None if done is None or seen.days is None else copies_there(job, table, base, new, seen)
    put = _not_there(first, there)
    replacing, removed = Observation(), Removed()
    counted = put.observe(replacing, F.count("_there.offset").alias("rows"))
    at, rows = job.stage(table, as_contract(counted, table.columns))
    gone = put.where("_there IS NOT NULL").selectExpr("event_id", "_date AS event_date")
    if done is not None and job.days is not None:
        restated = job.read(table, base).where(job.days.sql("event_date"))
        removed = job.stage_removed(table, gone.union(restated.select("event_id", "event_date")))
    elif replacing.get["rows"]:
        removed = job.stage_removed(table, gone)
    return at, rows, removed, seen.now


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


def _not_there(first: DataFrame, there: DataFrame | None) -> DataFrame:
    """Of the first copies those that silver is to hold; `_date` and `_there` tell of silver's row that one replaces."""
    if there is None:
        return first.selectExpr("*", "CAST(NULL AS DATE) AS _date", f"if(true, NULL, {FIRST}) AS _there")
    return first.join(there, "event_id", "left").where(f"_there IS NULL OR {FIRST} < _there")
