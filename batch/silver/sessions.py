"""Silver sessions: whole groups of events recomputed and put in place of the sessions they had.

A run touches the groups of the records that bronze has gained (copies too, since a session counts them), those of rows
that an earlier copy replaced, and open sessions whose time-out has passed. A group is a client's session id, or user,
device and title where there is none; there a late event may merge or split sessions, so their rows go by key and come
back under new ones. The clock is the newest received_at that the run has seen, never the wall's.

Sessions are made of playback events and of players' reports (`Source`): a session id may have either, or both.

`duplicate_event_count` counts records in bronze, where copies still are: those of the session's group with the event's
id, less one. A copy under another group's id is a duplicate as well (silver keeps one row an id), but no session's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING

from batch.history import has_new_files, version
from batch.silver.copies import bearing, repeated_ids
from batch.silver.events import arrivals, later, look
from batch.silver.fold import COPIES, INPUT_COLUMNS, REPORT_INPUT_COLUMNS, fold_groups
from batch.spark import as_contract, ensure_table
from batch.stage import REMOVED, Days, Job, Removed, in_dates
from schemas.derive import arrow_schema, spark_ddl
from schemas.event import MAX_FUTURE
from schemas.fact import to_ms
from schemas.progress import Progress, progress
from schemas.registry import CMCD, PLAYBACK
from schemas.stage import StagedTable
from schemas.table import Table
from schemas.tables import BRONZE, SILVER_EVENTS
from schemas.tables.sessions import SESSIONS
from schemas.topic import EventTopic

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True, eq=False)
class Source:
    """A topic that sessions are made of."""

    topic: EventTopic
    group: str
    """The group of a row of its tables, in SQL."""
    columns: tuple[str, ...]
    """What the fold needs of a row."""

    @property
    def bronze(self) -> Table:
        return BRONZE[self.topic.name]

    @property
    def events(self) -> Table:
        return SILVER_EVENTS[self.topic.name]

    @property
    def group_id(self) -> str:
        return f"{self.group} AS group_id"


SOURCES = (Source(PLAYBACK, "group_id", INPUT_COLUMNS), Source(CMCD, "session_id", REPORT_INPUT_COLUMNS))


@dataclass(frozen=True)
class Run:
    """One run: what it reads, of each source that has any record."""

    job: Job
    staged: Mapping[str, StagedTable]
    """Table name → what this run stages of the events themselves."""
    after: Mapping[Source, int | None]
    until: Mapping[Source, int]

    def new(self) -> DataFrame:
        """Group and day of every record that has arrived."""
        return _union(
            arrivals(self.job, source.topic, self.after[source], until).selectExpr(source.group_id, "event_date")
            for source, until in self.until.items()
            if self.job.days is not None or not _at_least(self.after[source], until)
        )

    def events(self, source: Source) -> StagedTable | None:
        return self.staged.get(source.events.name)

    def base(self, source: Source) -> int | None:
        """Version of the silver table of events that this run builds on."""
        events = self.events(source)
        return events.base if events else version(self.job.path(source.events))


def stage_sessions(job: Job, staged: Mapping[str, StagedTable]) -> StagedTable | None:
    """Stage the sessions that change. `staged`: what this run stages of each table of events. None: nothing to do."""
    until = {
        source: at for source in SOURCES if (at := _version_of(job, source, staged.get(source.events.name))) is not None
    }
    if not until:
        return None
    done = job.done(SESSIONS)
    after = {source: done.complete.get(source.bronze.full_name) if done else None for source in until}
    bronze = {source: job.path(source.bronze) for source in until}
    if not any(has_new_files(bronze[source], None if job.days else after[source], at) for source, at in until.items()):
        return None
    ensure_table(job.spark, job.path(SESSIONS), SESSIONS)
    base = version(job.path(SESSIONS)) or 0
    run = Run(
        job, staged, after, {source: at for source, at in until.items() if has_new_files(bronze[source], None, at)}
    )
    now = _now(run, done)
    if now is None:
        return None

    there = job.read(SESSIONS, base)
    new = run.new()
    groups = None
    if job.days is not None:
        groups = new.select("group_id").union(there.where(_alive_in(job.days)).select("group_id"))
    elif any(at is not None for at in after.values()):
        groups = new.select("group_id").union(_restless(run, there, now))
    with ExitStack() as kept:
        if groups is not None:
            groups = groups.distinct().persist()
            kept.callback(groups.unpersist)
        inputs = _inputs(run, groups, None if groups is None else _days_of(groups, there, new), kept)
        at, rows = job.stage(SESSIONS, _fold(job, inputs, now))
        removed = Removed()
        if done is not None:
            gone = there if groups is None else there.join(groups, "group_id", "left_semi")
            removed = job.stage_removed(SESSIONS, gone.select("session_id", "start_date"))
    sources = {source.bronze.full_name: version for source, version in until.items()}
    return StagedTable(
        version=at,
        rows=rows,
        base=base,
        sources=sources,
        removed=removed.version,
        dates=removed.dates,
        **job.watermark(done, sources, now),
    )


def _version_of(job: Job, source: Source, events: StagedTable | None) -> int | None:
    return events.sources[source.bronze.full_name] if events else version(job.path(source.bronze))


def _at_least(after: int | None, until: int) -> bool:
    return after is not None and after >= until


def _now(run: Run, done: Progress | None) -> datetime | None:
    """The clock of the run. A restated day does not move it."""
    known = done.now if done else None
    if run.job.days is None:
        for source in run.until:
            events = run.events(source)
            last = events or progress(run.job.path(source.events))
            known = later(known, last.now if last else None)
    if known is None:
        everything = Job(run.job.spark, run.job.settings, run.job.stage_id)
        for source, until in run.until.items():
            known = later(known, look(arrivals(everything, source.topic, None, until)).now)
    return known


def _alive_in(days: Days) -> str:
    return f"start_date <= DATE'{days.last}' AND to_date(ended_at) >= DATE'{days.first}'"


def _restless(run: Run, there: DataFrame, now: datetime) -> DataFrame:
    """Groups that change although no new record is theirs: open ones gone silent, and those that lose a row."""
    job = run.job
    silent = now - timedelta(seconds=job.settings.session_timeout_s)
    groups = there.where(f"end_reason = 'open' AND last_received_at <= TIMESTAMP'{silent:%Y-%m-%d %H:%M:%S.%f}'")
    found = [groups.select("group_id")]
    for source in run.until:
        events = run.events(source)
        if events is not None and events.removed is not None:
            gone = job.read_staged(source.events, events.removed, REMOVED)
            losing = job.read(source.events, events.base).where(in_dates("event_date", events.dates))
            kept = losing.join(gone, ["event_id", "event_date"], "left_semi")
            found.append(kept.selectExpr(source.group_id))
    return _union(found)


def _days_of(groups: DataFrame, there: DataFrame, new: DataFrame) -> Days | None:
    """The days that hold all events of the groups: those of the sessions they had, and of the new records.

    A session ends at the last moment that counted. A player may have reported long after it; no report happened later
    than MAX_FUTURE after its receipt.
    """
    heard = f"to_date(last_received_at + INTERVAL {MAX_FUTURE.seconds} SECONDS)"
    had = there.join(groups, "group_id", "left_semi")
    had = had.selectExpr("start_date AS first", f"greatest(to_date(ended_at), {heard}) AS last")
    both = had.union(new.selectExpr("event_date", "event_date"))
    [row] = both.selectExpr("CAST(min(first) AS STRING) AS first", "CAST(max(last) AS STRING) AS last").collect()
    return None if row["first"] is None else Days(date.fromisoformat(row["first"]), date.fromisoformat(row["last"]))


def _inputs(run: Run, groups: DataFrame | None, days: Days | None, kept: ExitStack) -> DataFrame:
    """Rows and tallies of all sources, under the columns of all."""
    parts = [_rows(run, source, groups, days) for source in run.until]
    parts += [_copies(run, source, groups, days, kept) for source in run.until]
    empty = run.job.spark.createDataFrame([], ", ".join(f"{name} {kind}" for name, kind in _column_types().items()))
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts, empty)


def _column_types() -> dict[str, str]:
    """The input's columns: every source's, whether or not the source is there."""
    types = {COPIES: "BIGINT"}
    for source in SOURCES:
        columns = {column.name: column for column in source.events.columns}
        for name in source.columns:
            types[name] = spark_ddl([columns[name]]).split()[1] if name in columns else "STRING"
    return types


def _rows(run: Run, source: Source, groups: DataFrame | None, days: Days | None) -> DataFrame:
    """The groups' events as silver will have them once this stage is committed."""
    job, events, base = run.job, run.events(source), run.base(source)
    chosen = [source.group_id, *source.columns[1:]]
    if events and job.is_whole:
        return job.read_staged(source.events, events.version).selectExpr(*chosen)
    rows = job.read(source.events, base or 0).where(days.sql("event_date") if days else "true")
    if events and events.removed is not None:
        gone = job.read_staged(source.events, events.removed, REMOVED)
        rows = rows.join(gone, ["event_id", "event_date"], "left_anti")
    rows = rows.selectExpr(*chosen)
    if events:
        rows = rows.union(job.read_staged(source.events, events.version).selectExpr(*chosen))
    return _of(groups, rows)


def _copies(run: Run, source: Source, groups: DataFrame | None, days: Days | None, kept: ExitStack) -> DataFrame:
    """How often bronze has an event, for those that it has more than once. `kept` ends when the rows are made."""
    # A record is received no earlier than MAX_FUTURE before it happened.
    received = f"received_date >= DATE'{days.first}' - INTERVAL 1 DAY" if days else "true"
    rows = run.job.read(source.bronze, run.until[source]).where(received).selectExpr(source.group_id, "event_id")
    if groups is not None:
        rows = _of(groups, rows)
    elif (hashes := kept.enter_context(repeated_ids(rows))) is not None:
        rows = bearing(rows, hashes)
    return rows.groupBy("group_id", "event_id").count().withColumnRenamed("count", COPIES).where(f"{COPIES} > 1")


def _of(groups: DataFrame | None, rows: DataFrame) -> DataFrame:
    return rows if groups is None else rows.join(groups, "group_id", "left_semi")


def _fold(job: Job, inputs: DataFrame, now: datetime) -> DataFrame:
    """Sessions out of events and tallies. Without a number Spark makes as many partitions as the rows need."""
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_schema

    # By the hash first: clients' ids often begin alike, and then each comparison would look into two rows.
    by_group = inputs.repartition("group_id").sortWithinPartitions(F.xxhash64("group_id"), "group_id")
    fold = fold_groups(to_ms(now), job.settings.session_timeout_s * 1000)
    rows = by_group.mapInArrow(fold, from_arrow_schema(arrow_schema(SESSIONS.columns)))
    return as_contract(rows, SESSIONS.columns)


def _union(parts: Iterable[DataFrame]) -> DataFrame:
    return reduce(lambda one, other: one.union(other), parts)
