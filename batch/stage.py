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

    <table>/             Delta. The rows that a commit will put: of silver the new and restated rows, of gold the whole
                         new content of the partitions named in the manifest. **This is what the audit checks**, at the
                         version that the manifest names (`Table.staging_path(lake_root)`, time travel; the latest
                         version may belong to a later stage). It may have no rows: then only removals are staged.
    <table>__removed/    Delta, silver only. Keys of the rows that go: restated ones, and sessions that are no more.
    manifest.json        `schemas.stage.Manifest`: stage id, and for each table the staged version, the version of the
                         target it was computed from, source versions. Written last: what it names is complete.
    audit.json           `schemas.stage.Audit`, written by `playlake quality`: stage id and the versions it looked at
                         (`Manifest.versions()`), verdict, failed checks.

A table that is not in the manifest has nothing staged. `commit` goes on only if the audit is of exactly this stage
(`schemas.stage.require_audit`), and each target is still at the version that the stage was computed from: Delta's own
transaction identifier makes that a compare-and-set, so of two commits at once one wins, and the other finds its work
done (same stage) or is refused (another stage; stage again). Committing twice changes nothing.

Progress is nowhere but in the targets' Delta logs: each commit carries a `Progress` (schemas) in its userMetadata,
and the newest one that has it is the table's watermark.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, TypedDict

from batch.history import can_follow
from batch.spark import retry_conflicts
from infra.errors import LakeDamaged, SettingsError
from infra.settings import Settings
from schemas.progress import Progress, commit_of, progress
from schemas.table import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger("batch.stage")

REMOVED = "__removed"
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


@dataclass(frozen=True)
class Job:
    """One run of one layer's staging: of what is new, of the days to restate, or of all as if nothing were there."""

    spark: SparkSession
    settings: Settings
    stage_id: str
    days: Days | None = None
    is_whole: bool = False

    def path(self, table: Table) -> str:
        return table.path(self.settings.lake_root)

    def done(self, table: Table) -> Progress | None:
        """How far the table has come, as this run sees it."""
        return None if self.is_whole else progress(self.path(table))

    def read(self, table: Table, at: int) -> DataFrame:
        """A table as it was at one version."""
        return read_version(self.spark, self.path(table), at)

    def read_staged(self, table: Table, at: int, suffix: str = "") -> DataFrame:
        return read_version(self.spark, table.staging_path(self.settings.lake_root) + suffix, at)

    def stage(
        self, table: Table, rows: DataFrame, suffix: str = "", partition_by: Sequence[str] = ()
    ) -> tuple[int, int]:
        """Put rows into the table's staging table, in one commit. Returns its version and the number of rows."""
        from deltalake import DeltaTable

        path = table.staging_path(self.settings.lake_root) + suffix

        def write() -> None:
            if commit_of(path, self.stage_id) is None:
                writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
                writer = writer.partitionBy(*partition_by) if partition_by else writer
                writer.option("userMetadata", Progress(stage_id=self.stage_id).to_json()).save(path)

        retry_conflicts(write)
        commit = commit_of(path, self.stage_id)
        if commit is None:
            msg = f"{path}: expected the commit of stage {self.stage_id} in its log, found none"
            raise LakeDamaged(msg)
        DeltaTable(path).vacuum(retention_hours=KEEP_HOURS, enforce_retention_duration=False, dry_run=False)
        return int(commit["version"]), int(commit["operationMetrics"]["numOutputRows"])

    def watermark(self, done: Progress | None, complete: dict[str, int], now: datetime | None) -> Watermark:
        """How far the target has come after this stage. Restating days takes it no further."""
        if self.days is None:
            return Watermark(complete=complete, now=now)
        return Watermark(complete=done.complete, now=done.now) if done else Watermark(complete={}, now=None)

    def stage_removed(self, table: Table, gone: DataFrame) -> Removed:
        """Stage the keys of rows that go. `gone` has the table's key and its partition column."""
        from deltalake import DeltaTable

        at, count = self.stage(table, gone, REMOVED, [f"{table.partition_by}"])
        if not count:
            return Removed()
        listed = DeltaTable(table.staging_path(self.settings.lake_root) + REMOVED, version=at).partitions()
        return Removed(at, sorted(str(partition[f"{table.partition_by}"]) for partition in listed))


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


FEED_COLUMNS = ("_change_type", "_commit_version", "_commit_timestamp")
