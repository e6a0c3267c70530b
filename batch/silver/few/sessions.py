"""Silver sessions that few new records touch, without Spark: the same that `batch/silver/sessions.py` would put."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from batch.day_files import Layout, write_days
from batch.silver.few.rows import Files, few_arrivals, part_of
from batch.silver.fold import COPIES, fold_groups
from batch.silver.sources import Run, Source, input_schema
from batch.stage import REMOVED, Days, Removed
from infra.data_files import columns_as
from schemas.derive import arrow_schema
from schemas.event import MAX_FUTURE
from schemas.fact import to_ms
from schemas.tables.sessions import SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

HAD = ("group_id", "session_id", "start_date", "ended_at", "last_received_at", "event_count")
"""Columns that tell of the sessions there were."""
MOST_EVENTS = 1_000_000
"""Of the sessions together: some 300 MB, twice for a moment. Few records may be of many sessions, or of long ones."""


def stage_few(run: Run, base: int, now: datetime) -> tuple[int, int, Removed] | None:
    """Version and rows of the stage, and what goes. None where what has come is not few, or touches much, or a table's
    files alone do not tell its rows.

    base   version of the sessions that the run builds on
    now    its clock
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake import Schema

    job = run.job
    new = _new(run)
    if new is None:  # no file need be listed for that
        return None
    there = Files.of(job.path(SESSIONS), SESSIONS.partition_by, base)
    events, bronze = _files(run)
    if there is None or events is None or bronze is None:
        return None
    parts = [new["group_id"], _silent(run, there, now), *(_losing(run, *one) for one in events.items())]
    groups = pc.unique(pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.string()))
    had = there.having("group_id", groups, part_of(SESSIONS, HAD))
    if (pc.sum(had["event_count"]).as_py() or 0) > MOST_EVENTS:
        return None
    days = _days(had, new)
    rows = [input_schema().empty_table(), *(_inputs(run, groups, days, events, bronze) if days else ())]
    fold = fold_groups(to_ms(now), job.settings.session_timeout_s * 1000, is_mixed=True)

    def write(folder: str) -> None:
        write_days(Layout.of(SESSIONS), folder, fold(iter(pa.concat_tables(rows).to_batches())))

    at, count = job.stage_files(SESSIONS, Schema.from_arrow(arrow_schema(SESSIONS.columns)), write)
    return at, count, job.stage_removed(SESSIONS, had.select(["session_id", "start_date"]))


def _new(run: Run) -> pa.Table | None:
    """Group and day of every record that has arrived; None when they are not few."""
    import pyarrow as pa

    schema = pa.schema([("group_id", pa.string()), ("event_date", pa.date32())])
    parts = [schema.empty_table()]
    for source, after, until in run.unseen():
        rows = few_arrivals(run.job, source.topic, after, until)
        if rows is None:
            return None
        parts.append(rows.select([source.group, "event_date"]).rename_columns(schema.names).cast(schema))
    return pa.concat_tables(parts)


def _files(run: Run) -> tuple[dict[Source, Files], dict[Source, Files]] | tuple[None, None]:
    """The files of silver's events, and of bronze."""
    events, bronze = {}, {}
    for source, until in run.until.items():
        silver_files = Files.of(run.job.path(source.events), source.events.partition_by, run.base(source) or 0)
        bronze_files = Files.of(run.job.path(source.bronze), source.bronze.partition_by, until)
        if silver_files is None or bronze_files is None:
            return None, None
        events[source], bronze[source] = silver_files, bronze_files
    return events, bronze


def _silent(run: Run, there: Files, now: datetime) -> pa.ChunkedArray:
    """Groups of open sessions whose time-out has passed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    limit = pa.scalar(now - timedelta(seconds=run.job.settings.session_timeout_s), pa.timestamp("us", tz="UTC"))

    def is_silent(rows: pa.Table) -> pa.ChunkedArray:
        return pc.and_(pc.equal(rows["end_reason"], "open"), pc.less_equal(rows["last_received_at"], limit))

    rows = there.rows(part_of(SESSIONS, ["group_id"]), ["end_reason", "last_received_at"], is_silent)
    return rows["group_id"]


def _losing(run: Run, source: Source, there: Files) -> pa.ChunkedArray:
    """Groups that lose a row."""
    import pyarrow as pa

    staged = run.events(source)
    schema = pa.schema([(source.group, pa.string())])
    if staged is None or staged.removed is None:
        return schema.empty_table()[source.group]
    return there.on(staged.dates.__contains__).having("event_id", _gone(run, source), schema)[source.group]


def _gone(run: Run, source: Source) -> pa.Array:
    """Ids of the events of which silver's row goes. It has one row an id."""
    return run.job.dataset_staged(source.events, REMOVED).to_table(["event_id"])["event_id"].combine_chunks()


def _days(had: pa.Table, new: pa.Table) -> Days | None:
    """The days in which all events of some groups lie: `batch/silver/span.py` says why. None: there is no group."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = (pc.floor_temporal(at, unit="day") for at in (had["ended_at"], pc.add(had["last_received_at"], MAX_FUTURE)))
    days = (had["start_date"], new["event_date"], *(end.cast(pa.date32()) for end in ends))
    found = [day for each in days for day in pc.min_max(each).as_py().values() if day is not None]
    return Days(min(found), max(found)) if found else None


def _inputs(
    run: Run, groups: pa.Array, days: Days, events: dict[Source, Files], bronze: dict[Source, Files]
) -> Iterator[pa.Table]:
    """Rows and tallies of all sources, under the columns of all."""
    import pyarrow as pa

    schema = input_schema()
    for source in run.until:
        for rows in (*_rows(run, source, groups, events[source].on(days.has)), _copies(source, groups, days, bronze)):
            named = rows.append_column("group_id", rows[source.group]) if source.group != "group_id" else rows
            yield pa.Table.from_arrays(columns_as(named, schema), schema=schema)


def _rows(run: Run, source: Source, groups: pa.Array, there: Files) -> Iterator[pa.Table]:
    """The groups' events as silver will have them once this stage is committed."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    staged = run.events(source)
    columns = list(dict.fromkeys((source.group, *source.columns[1:])))
    rows = there.having(source.group, groups, part_of(source.events, columns))
    if staged is not None and staged.removed is not None:
        rows = rows.filter(pc.invert(pc.is_in(rows["event_id"], _gone(run, source))))
    yield rows
    if staged is not None:
        put = run.job.dataset_staged(source.events)
        yield put.to_table(columns, filter=ds.field(source.group).isin(groups))


def _copies(source: Source, groups: pa.Array, days: Days, bronze: dict[Source, Files]) -> pa.Table:
    """How often bronze has an event, for those that it has more than once."""
    import pyarrow.compute as pc

    # A record is received no earlier than MAX_FUTURE before it happened.
    since = str(days.first - timedelta(days=1 + MAX_FUTURE.days))
    keys = (source.group, "event_id")
    rows = bronze[source].on(lambda day: day >= since).having(source.group, groups, part_of(source.bronze, keys))
    counted = rows.group_by(list(keys)).aggregate([([], "count_all")]).rename_columns([*keys, COPIES])
    return counted.filter(pc.greater(counted[COPIES], 1))
