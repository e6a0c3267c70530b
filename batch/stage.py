"""Write, audit, publish: nobody sees a half-checked number. The commands, in order:

    playlake stage silver      bronze → staged silver            batch      exit 99: nothing new, stop here
    playlake quality silver    checks on what is staged          warehouse  exit 1: a fail-check failed
    playlake commit silver     staged → silver                   batch      refuses what was not audited
    playlake stage gold        silver → staged gold              batch      exit 99: nothing new, stop here
    playlake quality gold      checks on what is staged          warehouse  exit 1: a fail-check failed
    playlake publish           staged → gold, publish.json       batch      refuses what was not audited
    playlake warehouse-build   published versions → DuckDB file  warehouse

`stage` takes `--from DAY --to DAY` (both inclusive) to restate whole days in place of "what is new", or `--whole` to
make every table of the layer anew, after its definition has changed. `playlake batch` runs the whole row, `playlake
rebuild` the same with `--whole`. Each step is a process of its own; what it hands to the next lies in the lake, in
`<lake>/staging/<layer>/`:

    <table>/             Delta; each stage's files are in a folder named by its id. The rows that a commit will put: of
                         silver the new and restated rows, of gold the whole new content of the partitions named in the
                         manifest. **This is what the audit checks**, at the version that the manifest names
                         (`Table.staging_path(lake_root)`, time travel; the latest version may belong to a later stage).
                         It may have no rows: then only removals are staged.
    <table>__removed/    Delta, silver only. Keys of the rows that go: restated ones, and sessions that are no more.
    manifest.json        `schemas.stage.Manifest`: stage id, and for each table the staged version, the version of the
                         target it was computed from, source versions. Written last: what it names is complete.
    audit.json           `schemas.stage.Audit`, written by `playlake quality`: stage id and the versions it looked at
                         (`Manifest.versions()`), verdict, failed checks.

A table that is not in the manifest has nothing staged. `commit` goes on only if the audit is of exactly this stage
(`schemas.stage.require_audit`), and each target is still at the version that the stage was computed from: Delta's own
transaction identifier makes that a compare-and-set, so of two commits at once one wins, and the other finds its work
done (same stage) or is refused (another stage; stage again). Committing twice changes nothing.

A commit links the staged files into the target's folder and names them in one Delta commit (`batch/adopt.py`). Where
rows must go out of files that have others too, or the target has not all the columns, Spark writes (`batch/commit.py`).

Progress is nowhere but in the targets' Delta logs: each commit carries a `schemas.progress.Progress` in its
userMetadata, and the newest one that has it is the table's watermark.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from deltalake import Schema

from batch.day_files import WRITTEN, Layout, write_days, writing
from batch.delta_log import nullable, replace_all, schema_of
from batch.history import can_follow, log_of
from batch.spark import Session
from batch.staged_files import actions_of, added_files, clean, rows_of
from infra.errors import LakeDamaged, SettingsError
from infra.settings import Settings
from schemas.derive import arrow_schema, spark_ddl
from schemas.progress import Progress, commit_of, progress
from schemas.table import Column, Table

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger("batch.stage")

T = TypeVar("T")

REMOVED = "__removed"
FEED_COLUMNS = ("_change_type", "_commit_version", "_commit_timestamp")
KEEP_HOURS = 24
"""How long a staged version stays readable after a later one has replaced it. Longer than any job."""


@dataclass(frozen=True)
class Days:
    """Whole days, both inclusive."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.first > self.last:
            msg = f"--from must not be after --to, got {self.first} and {self.last}"
            raise SettingsError(msg)

    @classmethod
    def of(cls, dates: Iterable[str]) -> Days | None:
        """The shortest interval that holds these days; None when there are none."""
        days = [date.fromisoformat(day) for day in dates]
        return cls(min(days), max(days)) if days else None

    def widened(self, before: int, after: int) -> Days:
        return Days(self.first - timedelta(days=before), self.last + timedelta(days=after))

    def sql(self, column: str) -> str:
        """The condition that a date column lies in the interval."""
        return f"{column} BETWEEN DATE'{self.first}' AND DATE'{self.last}'"

    def has(self, day: str) -> bool:
        """Whether a day, ISO text, lies in the interval."""
        return str(self.first) <= day <= str(self.last)

    def each(self) -> list[str]:
        """Every day as ISO text."""
        return [str(self.first + timedelta(days=n)) for n in range((self.last - self.first).days + 1)]


def new_stage_id() -> str:
    """Sortable by time, unique: `20260115T203045-7f3a91`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def in_dates(column: str, dates: Iterable[str]) -> str:
    """The condition that a date column is one of `dates`, as literals: these prune files and spare conflicts."""
    listed = ", ".join(f"DATE'{day}'" for day in dates)
    return f"{column} IN ({listed})" if listed else "false"


@dataclass(frozen=True)
class Removed:
    """Version of the staged list of keys that go (None: no key goes), and the partitions they lie in."""

    version: int | None = None
    dates: list[str] = field(default_factory=list)


class Watermark(TypedDict):
    """Fields of a StagedTable and of a Progress."""

    complete: dict[str, int]
    now: datetime | None


class Memory:
    """What the tables of one run have in common: found once, by whoever asks first, and given back in the end."""

    def __init__(self) -> None:
        self.kept = ExitStack()
        """Closed when the run ends."""
        self._lock = Lock()
        self._found: dict[Hashable, Future[Any]] = {}

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        """What `find` gives, or gave the first time that this was asked. Any thread may ask."""
        with self._lock:
            is_first = key not in self._found
            future: Future[T] = self._found.setdefault(key, Future())
        if is_first:
            try:
                future.set_result(find())
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()


@dataclass(frozen=True)
class Job:
    """One run of one layer's staging: of what is new, of the days to restate, or of all as if nothing were there."""

    session: Session
    settings: Settings
    stage_id: str
    days: Days | None = None
    is_whole: bool = False
    memory: Memory = field(default_factory=Memory)

    @property
    def spark(self) -> SparkSession:
        """Opened when it is first asked for: a run to which little has come may do without."""
        return self.session()

    def path(self, table: Table) -> str:
        return table.path(self.settings.lake_root)

    def done(self, table: Table) -> Progress | None:
        """How far the table has come, as this run sees it."""
        return None if self.is_whole else progress(self.path(table))

    def read(self, table: Table, at: int) -> DataFrame:
        """A table as it was at one version."""
        return read_version(self.spark, self.path(table), at)

    def read_staged(self, table: Table, suffix: str = "") -> DataFrame:
        """What this run has staged of a table: its files lie together, so no log need be asked."""
        columns, folder = self._staged(table, suffix)
        folder.mkdir(parents=True, exist_ok=True)  # nobody has made it where there were no rows
        return self.spark.read.schema(spark_ddl(columns)).parquet(str(folder))

    def dataset_staged(self, table: Table, suffix: str = "") -> ds.Dataset:
        """The same, to be read by Arrow."""
        import pyarrow as pa
        import pyarrow.dataset as ds

        columns, folder = self._staged(table, suffix)
        schema = arrow_schema(columns)
        days = ds.partitioning(pa.schema([schema.field(f"{table.partition_by}")]), flavor="hive")
        files = [str(file) for file in sorted(folder.rglob("*.parquet"))]
        return ds.dataset(files, schema, format="parquet", partitioning=days, partition_base_dir=str(folder))

    def _staged(self, table: Table, suffix: str) -> tuple[list[Column], Path]:
        """The columns, and the folder, of what this run has staged of a table, or of its removed keys."""
        names = (table.grain[0], table.partition_by) if suffix == REMOVED else [column.name for column in table.columns]
        folder = Path(table.staging_path(self.settings.lake_root) + suffix, self.stage_id)
        return [column for column in table.columns if column.name in names], folder

    def stage(self, table: Table, rows: DataFrame | pa.Table, suffix: str = "") -> tuple[int, int]:
        """Put rows into the table's staging table, in one commit. Returns its version and the number of rows."""
        import pyarrow as pa

        if isinstance(rows, pa.Table):
            layout = Layout(f"{table.partition_by}", ()) if suffix else Layout.of(table)
            schema = nullable(Schema.from_arrow(rows.schema))
            return self.stage_files(table, schema, lambda folder: write_days(layout, folder, rows.to_batches()), suffix)

        def write(folder: str) -> None:
            if table.partition_by and any(kind.startswith("array") for _, kind in rows.dtypes):
                # Spark writes a list element by element, and most of a histogram's are zeros.
                rows.mapInArrow(writing(Layout.of(table, by_contract=False), folder), WRITTEN).collect()
                return
            writer = rows.write.mode("overwrite").option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
            writer = writer.partitionBy(table.partition_by) if table.partition_by else writer
            writer.parquet(folder)

        return self.stage_files(table, schema_of(rows), write, suffix)

    def stage_files(
        self, table: Table, schema: Schema, write: Callable[[str], object], suffix: str = ""
    ) -> tuple[int, int]:
        """The same of what `write` writes to the folder that it is given, in a folder for each partition."""
        path = Path(table.staging_path(self.settings.lake_root) + suffix)
        folder = path / self.stage_id
        write(str(folder))
        files = list(added_files(path, folder))
        note = Progress(stage_id=self.stage_id).to_json()
        before = replace_all(path, schema, table.partition_by, files, note)
        clean(path, (file.path for file in files), before, KEEP_HOURS * 3600)
        commit = commit_of(str(path), self.stage_id)
        if commit is None:
            msg = f"{path}: expected the commit of stage {self.stage_id} in its log, found none"
            raise LakeDamaged(msg)
        return int(commit["version"]), rows_of(files)

    def watermark(self, done: Progress | None, complete: dict[str, int], now: datetime | None) -> Watermark:
        """How far the target has come after this stage. Restating days takes it no further."""
        if self.days is None:
            return Watermark(complete=complete, now=now)
        return Watermark(complete=done.complete, now=done.now) if done else Watermark(complete={}, now=None)

    def stage_removed(self, table: Table, gone: DataFrame | pa.Table) -> Removed:
        """Stage the keys of rows that go. `gone` has the table's key and its partition column."""
        at, count = self.stage(table, gone, REMOVED)
        if not count:
            return Removed()
        listed = actions_of(log_of(Path(table.staging_path(self.settings.lake_root) + REMOVED), at))
        return Removed(at, sorted({f"{file.partition_values[f'{table.partition_by}']}" for file in listed}))


def read_version(spark: SparkSession, path: str, at: int) -> DataFrame:
    """A Delta table as it was at one version."""
    return spark.read.format("delta").option("versionAsOf", at).load(path)


def changes(spark: SparkSession, path: str, after: int | None, until: int) -> DataFrame:
    """Rows that versions `(after, until]` put into a table; all rows when `after` is None.

    All rows, too, when the log no longer tells those versions apart: whoever asks knows a row that it has already.
    """
    if after is None:
        return read_version(spark, path, until)
    if not can_follow(path, after, until):
        log.warning("reading all of a table: its log does not go back so far", extra={"table": path, "after": after})
        return read_version(spark, path, until)
    feed = spark.read.format("delta").option("readChangeFeed", "true")
    rows = feed.option("startingVersion", after + 1).option("endingVersion", until).load(path)
    return rows.where("_change_type IN ('insert', 'update_postimage')").drop(*FEED_COLUMNS)
