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
from datetime import datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING

from deltalake import Schema

from batch.day_files import WRITTEN, Layout, writing
from batch.history import has_new_files, version
from batch.silver.arrivals import arrivals, later, look, suspects_of
from batch.silver.few.sessions import stage_few
from batch.silver.fold import COPIES, fold_groups
from batch.silver.sources import SOURCES, Run, Source, input_schema
from batch.silver.span import OF_SPAN, Span, span_of
from batch.spark import ensure_table
from batch.stage import REMOVED, Days, Job, Removed, in_dates
from schemas.derive import arrow_schema
from schemas.fact import to_ms
from schemas.progress import Progress, progress
from schemas.stage import StagedTable
from schemas.tables.sessions import SESSIONS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

AT_LEAST = 2
"""Tasks of the fold."""
ROWS_OF_A_TASK = 500_000
"""Their columns are some 150 MB."""


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
    ensure_table(job.session, job.path(SESSIONS), SESSIONS)
    base = version(job.path(SESSIONS)) or 0
    run = Run(
        job, staged, after, {source: at for source, at in until.items() if has_new_files(bronze[source], None, at)}
    )
    now = _now(run, done)
    if now is None:
        return None

    at, rows, removed = stage_few(run, base, now) or _stage_by_spark(run, done, base, now)
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


def _stage_by_spark(run: Run, done: Progress | None, base: int, now: datetime) -> tuple[int, int, Removed]:
    """Version and rows of the stage, and what goes."""
    job = run.job
    there = job.read(SESSIONS, base)
    new = _new(run)
    groups = None
    if job.days is not None:
        groups = new.select("group_id").union(there.where(_alive_in(job.days)).select("group_id"))
    elif any(at is not None for at in run.after.values()):
        groups = new.select("group_id").union(_restless(run, there, now))
    had, span = there, None
    if groups is not None:
        groups = _kept(job, groups.distinct())
        had = _kept(job, there.join(groups, "group_id", "left_semi").select(*OF_SPAN, "session_id"))
        span = span_of(had, new)
    at, rows = _fold(job, _inputs(run, groups, span), now, run.count() if groups is None else None)
    removed = Removed() if done is None else job.stage_removed(SESSIONS, had.select("session_id", "start_date"))
    return at, rows, removed


def _new(run: Run) -> DataFrame:
    """Group, day and moment of every record that has arrived."""
    return _union(
        arrivals(run.job, source.topic, after, until).selectExpr(source.group_id, "event_date", "occurred_at")
        for source, after, until in run.unseen()
    )


def _kept(job: Job, rows: DataFrame) -> DataFrame:
    """The rows, which Spark keeps until the run ends."""
    kept = rows.persist()
    job.memory.kept.callback(kept.unpersist)
    return kept


def _version_of(job: Job, source: Source, events: StagedTable | None) -> int | None:
    return events.sources[source.bronze.full_name] if events else version(job.path(source.bronze))


def _now(run: Run, done: Progress | None) -> datetime | None:
    """The clock of the run. A restated day does not move it."""
    known = done.now if done else None
    if run.job.days is None:
        for source in run.until:
            events = run.events(source)
            last = events or progress(run.job.path(source.events))
            known = later(known, last.now if last else None)
    if known is None:
        everything = Job(run.job.session, run.job.settings, run.job.stage_id)
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
            gone = job.read_staged(source.events, REMOVED)
            losing = job.read(source.events, events.base).where(in_dates("event_date", events.dates))
            kept = losing.join(gone, ["event_id", "event_date"], "left_semi")
            found.append(kept.selectExpr(source.group_id))
    return _union(found)


def _inputs(run: Run, groups: DataFrame | None, span: Span | None) -> DataFrame:
    """Rows and tallies of all sources, under the columns of all."""
    from pyspark.sql.pandas.types import from_arrow_schema

    parts = [_rows(run, source, groups, span) for source in run.until]
    parts += [_copies(run, source, groups, span) for source in run.until]
    empty = run.job.spark.createDataFrame([], from_arrow_schema(input_schema()))
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts, empty)


def _rows(run: Run, source: Source, groups: DataFrame | None, span: Span | None) -> DataFrame:
    """The groups' events as silver will have them once this stage is committed."""
    job, events, base = run.job, run.events(source), run.base(source) or 0
    chosen = [source.group_id, *source.columns[1:]]
    put = job.read_staged(source.events).selectExpr(*chosen) if events else None
    if put is not None and (job.is_whole or not has_new_files(job.path(source.events), None, base)):
        return _of(groups, put)
    rows = job.read(source.events, base).where(span.happened(source.topic) if span else "true")
    if events and events.removed is not None:
        gone = job.read_staged(source.events, REMOVED)
        rows = rows.join(gone, ["event_id", "event_date"], "left_anti")
    rows = rows.selectExpr(*chosen)
    if put is not None:
        rows = rows.union(put)
    return _of(groups, rows)


def _copies(run: Run, source: Source, groups: DataFrame | None, span: Span | None) -> DataFrame:
    """How often bronze has an event, for those that it has more than once."""
    rows = None
    if groups is None:
        rows = suspects_of(run.job, source.topic, None, run.until[source])
    if rows is None:
        rows = run.job.read(source.bronze, run.until[source]).where(span.received(source.topic) if span else "true")
    rows = _of(groups, rows.selectExpr(source.group_id, "event_id"))
    return rows.groupBy("group_id", "event_id").count().withColumnRenamed("count", COPIES).where(f"{COPIES} > 1")


def _of(groups: DataFrame | None, rows: DataFrame) -> DataFrame:
    return rows if groups is None else rows.join(groups, "group_id", "left_semi")


def _fold(job: Job, inputs: DataFrame, now: datetime, count: int | None) -> tuple[int, int]:
    """Stage the sessions of events and tallies.

    count   about how many rows there are; None where they are a part of a table, which Spark is to find out
    """
    from pyspark.sql import functions as F

    if count is None:
        # By the hash first: clients' ids often begin alike, and then each comparison would look into two rows.
        by_group = inputs.repartition("group_id").sortWithinPartitions(F.xxhash64("group_id"), "group_id")
    else:
        by_group = inputs.repartition(max(AT_LEAST, -(-count // ROWS_OF_A_TASK)), "group_id")
    timeout_ms = job.settings.session_timeout_s * 1000
    fold = fold_groups(to_ms(now), timeout_ms, is_mixed=count is not None)

    def write(folder: str) -> None:
        by_group.mapInArrow(writing(Layout.of(SESSIONS), folder, fold), WRITTEN).collect()

    return job.stage_files(SESSIONS, Schema.from_arrow(arrow_schema(SESSIONS.columns)), write)


def _union(parts: Iterable[DataFrame]) -> DataFrame:
    return reduce(lambda one, other: one.union(other), parts)
