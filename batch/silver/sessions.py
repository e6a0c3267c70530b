"""Silver sessions: whole groups of events recomputed and put in place of the sessions they had.

A run touches the groups of the records that bronze has gained (copies too, since a session counts them), those of rows
that an earlier copy replaced, and open sessions whose time-out has passed. A group is a client's session id, or user,
device and title where there is none; there a late event may merge or split sessions, so their rows go by key and come
back under new ones. The clock is the newest received_at that the run has seen, never the wall's.

`duplicate_event_count` counts records in bronze, where copies still are: those of the session's group with the event's
id, less one. A copy under another group's id is a duplicate as well (silver keeps one row an id), but no session's.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from batch.history import Progress, has_new_files, progress, version
from batch.silver.events import arrivals, later, look
from batch.silver.fold import COPIES, INPUT_COLUMNS, fold_groups
from batch.spark import as_contract, ensure_table
from batch.stage import REMOVED, Days, Job, Removed, in_dates
from schemas.derive import arrow_schema
from schemas.fact import to_ms
from schemas.registry import PLAYBACK
from schemas.stage import StagedTable
from schemas.tables import BRONZE, SILVER_EVENTS
from schemas.tables.sessions import SESSIONS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_BRONZE = BRONZE[PLAYBACK.name]
_EVENTS = SILVER_EVENTS[PLAYBACK.name]


def stage_sessions(job: Job, events: StagedTable | None) -> StagedTable | None:
    """Stage the sessions that change. `events` is what this run stages of playback events. None: nothing to do."""
    until = events.sources[_BRONZE.full_name] if events else version(job.path(_BRONZE))
    done = progress(job.path(SESSIONS))
    after = done.complete.get(_BRONZE.full_name) if done else None
    if until is None or not has_new_files(job.path(_BRONZE), None if job.days else after, until):
        return None
    ensure_table(job.spark, job.path(SESSIONS), SESSIONS)
    base = version(job.path(SESSIONS)) or 0
    now = _now(job, events, done, until)
    if now is None:
        return None

    there = job.read(SESSIONS, base)
    new = arrivals(job, PLAYBACK, after, until)
    groups = None
    if job.days is not None:
        groups = new.select("group_id").union(there.where(_alive_in(job.days)).select("group_id"))
    elif after is not None:
        groups = new.select("group_id").union(_restless(job, events, there, now))
    if groups is not None:
        groups = groups.distinct().persist()
    days = None if groups is None else _days_of(groups, there, new)
    inputs = _rows(job, events, groups, days).unionByName(_copies(job, groups, days, until), allowMissingColumns=True)
    at, rows = job.stage(SESSIONS, _fold(job, inputs, now))
    removed = Removed()
    if done is not None:
        gone = there if groups is None else there.join(groups, "group_id", "left_semi")
        removed = job.stage_removed(SESSIONS, gone.select("session_id", "start_date"))
    if groups is not None:
        groups.unpersist()
    return StagedTable(
        version=at,
        rows=rows,
        base=base,
        sources={_BRONZE.full_name: until},
        removed=removed.version,
        dates=removed.dates,
        **job.watermark(done, {_BRONZE.full_name: until}, now),
    )


def _now(job: Job, events: StagedTable | None, done: Progress | None, until: int) -> datetime | None:
    """The clock of the run. A restated day does not move it."""
    known = done.now if done else None
    if job.days is None:
        staged = events.now if events else (last.now if (last := progress(job.path(_EVENTS))) else None)
        known = later(known, staged)
    return known or look(arrivals(Job(job.spark, job.settings, job.stage_id), PLAYBACK, None, until)).now


def _alive_in(days: Days) -> str:
    return f"start_date <= DATE'{days.last}' AND to_date(ended_at) >= DATE'{days.first}'"


def _restless(job: Job, events: StagedTable | None, there: DataFrame, now: datetime) -> DataFrame:
    """Groups that change although no new record is theirs: open ones gone silent, and those that lose a row."""
    silent = now - timedelta(seconds=job.settings.session_timeout_s)
    groups = there.where(f"end_reason = 'open' AND last_received_at <= TIMESTAMP'{silent:%Y-%m-%d %H:%M:%S.%f}'")
    if events is None or events.removed is None:
        return groups.select("group_id")
    gone = job.read_staged(_EVENTS, events.removed, REMOVED)
    losing = job.read(_EVENTS, events.base).where(in_dates("event_date", events.dates))
    return groups.select("group_id").union(
        losing.join(gone, ["event_id", "event_date"], "left_semi").select("group_id")
    )


def _days_of(groups: DataFrame, there: DataFrame, new: DataFrame) -> Days | None:
    """The days that hold all events of the groups: those of the sessions they had, and of the new records."""
    had = there.join(groups, "group_id", "left_semi").selectExpr("start_date AS first", "to_date(ended_at) AS last")
    both = had.union(new.selectExpr("event_date", "event_date"))
    [row] = both.selectExpr("CAST(min(first) AS STRING) AS first", "CAST(max(last) AS STRING) AS last").collect()
    return None if row["first"] is None else Days(date.fromisoformat(row["first"]), date.fromisoformat(row["last"]))


def _rows(job: Job, events: StagedTable | None, groups: DataFrame | None, days: Days | None) -> DataFrame:
    """The groups' events as silver will have them once this stage is committed."""
    base = events.base if events else version(job.path(_EVENTS)) or 0
    rows = job.read(_EVENTS, base).where(days.sql("event_date") if days else "true")
    if events and events.removed is not None:
        rows = rows.join(job.read_staged(_EVENTS, events.removed, REMOVED), ["event_id", "event_date"], "left_anti")
    rows = rows.select(*INPUT_COLUMNS)
    if events:
        rows = rows.union(job.read_staged(_EVENTS, events.version).select(*INPUT_COLUMNS))
    return _of(groups, rows)


def _copies(job: Job, groups: DataFrame | None, days: Days | None, until: int) -> DataFrame:
    """How often bronze has an event, for those that it has more than once."""
    # A record is received no earlier than MAX_FUTURE before it happened.
    received = f"received_date >= DATE'{days.first}' - INTERVAL 1 DAY" if days else "true"
    records = _of(groups, job.read(_BRONZE, until).where(received).select("group_id", "event_id"))
    counted = records.groupBy("group_id", "event_id").count().withColumnRenamed("count", COPIES)
    return counted.where(f"{COPIES} > 1")


def _of(groups: DataFrame | None, rows: DataFrame) -> DataFrame:
    return rows if groups is None else rows.join(groups, "group_id", "left_semi")


def _fold(job: Job, inputs: DataFrame, now: datetime) -> DataFrame:
    """Sessions out of events and tallies. A fixed number of partitions: Spark would put little data on one core."""
    from pyspark.sql.pandas.types import from_arrow_schema

    count = int(job.spark.conf.get("spark.sql.shuffle.partitions") or 1)
    by_group = inputs.repartition(count, "group_id").sortWithinPartitions("group_id")
    fold = fold_groups(to_ms(now), job.settings.session_timeout_s * 1000)
    rows = by_group.mapInArrow(fold, from_arrow_schema(arrow_schema(SESSIONS.columns)))
    return as_contract(rows, SESSIONS.columns)
