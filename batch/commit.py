"""Commit: what is staged into its table, once, in one Delta commit that also carries the watermark.

The commit is a compare-and-set on the target's version, by Delta's transaction identifier: each version is made once.
Since the stage was computed files may have been merged or split, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from batch.adopt import TRANSACTION, adopt
from batch.history import is_same, version
from batch.spark import retry_conflicts
from batch.stage import in_dates, read_version
from infra.errors import LakeDamaged, StageRefused
from infra.settings import Settings
from schemas.progress import Progress, commit_of
from schemas.stage import Manifest, StagedTable
from schemas.table import Table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Options = Mapping[str, str]
"""Metadata and transaction of a commit by Spark."""


def commit_table(session: Callable[[], SparkSession], settings: Settings, table: Table, manifest: Manifest) -> int:
    """Put what is staged into the table, once, in one commit. Returns the version; raises StageRefused if it moved.

    `session`: a Spark session, asked for when one is needed.
    """
    path, stage_id, staged = table.path(settings.lake_root), manifest.stage_id, manifest.tables[table.name]

    def attempt() -> None:
        if commit_of(path, stage_id) is not None:
            return
        there = version(path)
        if there is None or not is_same(path, staged.base, there):
            msg = f"{table.full_name} was staged on version {staged.base} and is at {there} now; stage again"
            raise StageRefused(msg)
        note = Progress(
            stage_id=stage_id,
            complete=staged.complete,
            now=staged.now,
            sources=staged.sources,
            definition=staged.definition,
        ).to_json()
        reason = adopt(settings.lake_root, table, manifest, note)
        if reason is None:
            return
        options = {"userMetadata": note, "txnAppId": TRANSACTION, "txnVersion": str(there + 1)}
        if manifest.is_whole:
            _overwrite(session(), settings, table, staged, options)
        elif table.layer == "gold":
            _replace(session(), settings, table, staged, options)
        else:
            msg = f"{path}: what is staged does not fit the table: {reason}"
            raise LakeDamaged(msg)

    retry_conflicts(attempt)
    commit = commit_of(path, stage_id)
    if commit is None:  # Delta passed over it: another stage has the same base, and was first
        msg = f"{table.full_name}: another stage was committed on version {staged.base} first; stage again"
        raise StageRefused(msg)
    return int(commit["version"])


def _replace(spark: SparkSession, settings: Settings, table: Table, staged: StagedTable, options: Options) -> None:
    """Gold: exactly the staged partitions, all of a table without. None at all still moves the watermark."""
    rows = read_version(spark, table.staging_path(settings.lake_root), staged.version)
    writer = rows.write.format("delta").options(**options).option("mergeSchema", "true")
    if table.partition_by is None:
        writer = writer.mode("overwrite")
    elif staged.dates:
        writer = writer.mode("overwrite").option("replaceWhere", in_dates(f"{table.partition_by}", staged.dates))
    else:
        writer = writer.mode("append")
    writer.save(table.path(settings.lake_root))


def _overwrite(spark: SparkSession, settings: Settings, table: Table, staged: StagedTable, options: Options) -> None:
    """The staged rows in place of all there are.

    A gold table's columns become those that its SELECT has now. Silver's are its contract's, which staging has added;
    their types and order never change, so that whoever follows silver's changes can read on.
    """
    from pyspark.sql import functions as F

    rows = read_version(spark, table.staging_path(settings.lake_root), staged.version)
    if table.layer == "gold":
        docs = {column.name: column.doc for column in table.columns}
        rows = rows.select(
            *(F.col(f"`{name}`").alias(name, metadata={"comment": docs.get(name, "")}) for name in rows.columns)
        )
    writer = rows.write.format("delta").mode("overwrite").options(**options)
    if table.layer == "gold":
        writer = writer.option("overwriteSchema", "true")
        writer = writer.partitionBy(table.partition_by) if table.partition_by else writer
    writer.save(table.path(settings.lake_root))
