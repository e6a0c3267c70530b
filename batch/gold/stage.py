"""Gold: the SELECT of a table's file over pinned versions of silver, for exactly the days that changed.

A table without a `-- partition:` is small, a state of things and no history: it is made anew whole. So is every table
of a run that is told to, after a definition has changed.

A table is a file of this folder (see `schemas/table.py`). Its `silver.<name>` are read at one version each, so all
that a run computes comes of the same state, whatever is committed meanwhile.
"""

from __future__ import annotations

import logging
import re
from functools import partial
from typing import TYPE_CHECKING

from batch.delta_log import create, nullable, schema_of
from batch.gold.changed import changed_days
from batch.gold.differences import DifferentDays, Misfit, definition_of, may_differ
from batch.gold.duckdb_sql import in_duckdb
from batch.gold.signed import TooMuch, changed_rows, signed
from batch.history import days_there, is_same, version
from batch.stage import Days, Job, in_dates
from infra.errors import SettingsError
from infra.settings import ROOT
from schemas.progress import Progress, progress
from schemas.stage import StagedTable
from schemas.table import Table, read_sql_table
from schemas.tables import SILVER
from schemas.tables.sessions import SESSIONS

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import DataFrame

log = logging.getLogger("batch.gold")

Staged = tuple[int, int, int, list[str]]
"""Version and rows of the stage, version of the target it was computed from, days."""
FOLDER = ROOT / "batch" / "gold"
SOURCE = re.compile(r"\b(bronze|silver|gold)\.(\w+)")


def gold_tables() -> dict[str, Table]:
    """Every gold table by name: the listing of this folder is the registry."""
    return {path.stem: read_sql_table(path) for path in sorted(FOLDER.glob("*.sql"))}


def stage_gold(job: Job, table: Table) -> StagedTable | None:
    """Stage the days of the table whose sources have changed since its last commit, or `job.days`. None: none has."""
    sources = {source.full_name: version(job.path(source)) for source in sources_of(table)}
    if any(at is None for at in sources.values()):
        return None
    read = {name: at for name, at in sources.items() if at is not None}
    done = job.done(table)
    complete = done.complete if done else {}
    seen = (_has_seen(job.path(one), complete.get(one.full_name), read[one.full_name]) for one in sources_of(table))
    if job.days is None and not job.is_whole and all(seen):
        return None
    definition = definition_of(_without_comments(table.sql))
    at, count, base, dates = _differences(job, table, done, read, definition) or _anew(job, table, complete, read)
    is_of_one = done is None or job.is_whole or done.definition == definition
    return StagedTable(
        version=at,
        rows=count,
        base=base,
        sources=read,
        dates=dates,
        definition=definition if is_of_one else "",
        **job.watermark(done, read, _now(job, table, read)),
    )


def _anew(job: Job, table: Table, complete: dict[str, int], read: dict[str, int]) -> Staged:
    """Stage the days that changed whole, out of silver."""
    dates = _dates(job, table, complete, read)
    rows = _select(job, table, read, dates)
    base = _ensure(job, table, rows)
    at, count = job.stage(table, rows)
    return at, count, base, dates


def _differences(job: Job, table: Table, done: Progress | None, read: dict[str, int], definition: str) -> Staged | None:
    """Stage the same by what has changed in silver. None where the days must be made anew whole."""
    path = job.path(table)
    base, sources = version(path), sources_of(table)
    if (
        base is None or done is None or job.days is not None or job.is_whole or len(sources) != 1
        or progress(path, base) != done or not may_differ(table, done, read, definition)
    ):  # fmt: skip
        return None
    [source] = sources
    changed = changed_rows(job, source, done.complete[source.full_name], read[source.full_name])
    if changed is None:
        return None
    select = in_duckdb(_without_comments(table.sql))
    try:
        changes = signed(changed, lambda rows: SOURCE.sub(rows, select))
        days = DifferentDays.of(table, path, base, changes)
        if days is None:
            return None
        at, count = job.stage_files(table, nullable(days.base.schema()), days.write)
    except (Misfit, TooMuch) as problem:
        log.warning("days anew: what changed does not fit: %s", problem, extra={"table": table.full_name})
        return None
    return at, count, base, days.dates


def _has_seen(path: str, known: int | None, at: int) -> bool:
    """Whether a version of a source has nothing that is not in version `known`."""
    return known is not None and is_same(path, known, at)


def sources_of(table: Table) -> list[Table]:
    """The silver tables that a gold table reads. Raises SettingsError for any other."""
    names = {f"{layer}.{name}" for layer, name in SOURCE.findall(_without_comments(table.sql))}
    known = {silver.full_name: silver for silver in SILVER.values()}
    if unknown := names - known.keys() or (not names and {"nothing"}):
        msg = f"{table.full_name} must read tables of {', '.join(sorted(known))}; it reads {', '.join(sorted(unknown))}"
        raise SettingsError(msg)
    return [known[name] for name in sorted(names)]


def _dates(job: Job, table: Table, complete: dict[str, int], read: dict[str, int]) -> list[str]:
    """The partitions to replace; none are named of a table that is made anew whole."""
    if table.partition_by is None or job.is_whole:
        return []
    return job.days.each() if job.days else _touched(job, table, complete, read)


def _touched(job: Job, table: Table, complete: dict[str, int], read: dict[str, int]) -> list[str]:
    """The days on which rows have come, gone or changed since the table's last commit."""
    days: set[str] = set()
    for source in sources_of(table):
        after, until = complete.get(source.full_name), read[source.full_name]
        if after is None or after < until:
            found = _changed(job, source, after, until)
            if found is None:
                log.warning("all days anew: a table no longer tells what changed", extra={"table": source.full_name})
                days |= days_there(job.path(table), f"{table.partition_by}")  # rows of theirs may have gone
                found = _changed(job, source, None, until)
            days |= found or set()
    return sorted(days)


def _changed(job: Job, source: Table, after: int | None, until: int) -> set[str] | None:
    key = (changed_days, source.full_name, after, until)
    return job.memory.once(key, partial(changed_days, job.path(source), source, after, until))


def _takes_part(source: Table, days: Days) -> str:
    """The condition that a row takes part in some of these days."""
    if source is SESSIONS:
        return f"start_date <= DATE'{days.last}' AND ended_at >= TIMESTAMP'{days.first} 00:00:00'"
    return days.sql(f"{source.partition_by}")


def _select(job: Job, table: Table, read: dict[str, int], dates: list[str]) -> DataFrame:
    """The rows of the given days. Sources are cut to what takes part in them, so that files are skipped.

    A table that is made anew whole gets all its rows.
    """
    span, is_whole = Days.of(dates), table.partition_by is None or job.is_whole

    def pinned(match: re.Match[str]) -> str:
        source = SILVER[match[2]]
        where = "true" if is_whole else _takes_part(source, span) if span else "false"
        return f"(SELECT * FROM delta.`{job.path(source)}@v{read[source.full_name]}` WHERE {where})"

    rows = job.spark.sql(SOURCE.sub(pinned, _without_comments(table.sql)))
    return rows if is_whole else rows.where(in_dates(f"{table.partition_by}", dates))


def _ensure(job: Job, table: Table, rows: DataFrame) -> int:
    """Create the target with the columns of its SELECT when it is not there; returns its version."""
    path = job.path(table)
    if (there := version(path)) is not None:
        return there
    docs = {column.name: column.doc for column in table.columns}
    create(path, nullable(schema_of(rows, docs)), table.partition_by, table.description)
    return version(path) or 0


def _now(job: Job, table: Table, read: dict[str, int]) -> datetime | None:
    """Received time up to which all sources hold everything, as of the versions that are read."""
    found = [progress(job.path(source), read[source.full_name]) for source in sources_of(table)]
    moments = [one.now if one else None for one in found]
    return None if None in moments else min(moment for moment in moments if moment is not None)


def _without_comments(sql: str) -> str:
    return re.sub(r"--.*$", "", sql, flags=re.MULTILINE)
