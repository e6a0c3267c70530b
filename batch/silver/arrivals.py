"""What has come to bronze, as silver's rows: the records of new versions, or those of the days to restate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from batch.silver.copies import suspects
from batch.silver.known import MOVED
from batch.spark import as_contract
from batch.stage import Days, Job, changes
from schemas.event import MAX_FUTURE, MAX_PAST
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


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two moments that may be unknown."""
    return max((moment for moment in (one, other) if moment is not None), default=None)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else datetime.fromtimestamp(micros / 1e6, UTC)
