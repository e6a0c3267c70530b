"""A small table, and stages of it made without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, Schema

from batch.commit import commit_table
from batch.delta_log import create, replace_all
from batch.stage import REMOVED
from batch.staged_files import added_files, rows_of
from infra.settings import Settings
from schemas.derive import arrow_schema
from schemas.progress import Progress, commit_of
from schemas.stage import Manifest, StagedTable
from schemas.table import Column, Table

MONDAY, TUESDAY = date(2026, 1, 12), date(2026, 1, 13)
AT = datetime(2026, 1, 12, 23, 59, 59, 999_999, UTC)
SILVER = Table(
    layer="silver",
    name="visits",
    description="Visits.",
    owner="tests",
    grain=("visit_id",),
    partition_by="day",
    columns=(
        Column("visit_id", "string", "id", nullable=False),
        Column("at", "timestamp", "when"),
        Column("pages", "long", "count"),
        Column("day", "date", "day"),
    ),
)
GOLD = replace(SILVER, layer="gold", name="pages")
Row = dict[str, Any]


def row(visit_id: str | None, day: date = MONDAY, pages: int = 1) -> Row:
    return {"visit_id": visit_id, "at": AT, "pages": pages, "day": day}


def table_at(lake: Settings, table: Table) -> str:
    path = table.path(lake.lake_root)
    create(path, arrow_schema(table.columns), table.partition_by, "", {"delta.enableChangeDataFeed": "true"})
    return path


def staged(lake: Settings, table: Table, rows: Sequence[Row], stage_id: str, **more: Any) -> Manifest:
    """As `Job.stage` does it; pyarrow in Spark's place."""
    base = DeltaTable(table_at(lake, table)).version()
    version, count = _stage(lake, table, rows, stage_id)
    more = {"sources": {}, "complete": {"bronze.visits": base + 1}} | more
    found = StagedTable(version=version, rows=count, base=base, **more)
    return Manifest(stage_id=stage_id, layer=table.layer, tables={table.name: found})  # type: ignore[arg-type]


def exchange(lake: Settings, rows: Sequence[Row], gone: Sequence[Row], stage_id: str) -> Manifest:
    """A stage of silver that puts rows, and takes rows out."""
    keys = replace(SILVER, columns=tuple(column for column in SILVER.columns if column.name in ("visit_id", "day")))
    version, count = _stage(lake, keys, gone, stage_id, REMOVED)
    dates = sorted({str(one["day"]) for one in gone})
    return staged(lake, SILVER, rows, stage_id, removed=version if count else None, dates=dates)


def _stage(lake: Settings, table: Table, rows: Sequence[Row], stage_id: str, suffix: str = "") -> tuple[int, int]:
    path = Path(table.staging_path(lake.lake_root) + suffix)
    schema = arrow_schema(table.columns)
    data = pa.Table.from_pylist(list(rows), pa.schema([field.with_nullable(True) for field in schema]))
    partition = ds.partitioning(pa.schema([("day", pa.date32())]), flavor="hive")
    name = f"part-{stage_id}-{{i}}.parquet"
    ds.write_dataset(data, path / stage_id, format="parquet", partitioning=partition, basename_template=name)
    files = list(added_files(path, path / stage_id))
    replace_all(path, Schema.from_arrow(data.schema), "day", files, Progress(stage_id=stage_id).to_json())
    return int((commit_of(str(path), stage_id) or {})["version"]), rows_of(files)


class SparkAsked(Exception):
    pass


def no_spark() -> NoReturn:
    raise SparkAsked


def put(lake: Settings, table: Table, manifest: Manifest) -> int:
    return commit_table(no_spark, lake, table, manifest)


def names(lake: Settings, table: Table) -> list[str]:
    """What the newest version has."""
    return sorted(pa.table(DeltaTable(table.path(lake.lake_root)).to_pyarrow_table())["visit_id"].to_pylist())


def feed(lake: Settings, table: Table, version: int) -> list[tuple[str, str]]:
    """What a version did, as the change feed tells it."""
    told = DeltaTable(table.path(lake.lake_root)).load_cdf(starting_version=version, ending_version=version)
    rows = pa.table(told.read_all()).to_pylist()
    return sorted((one["_change_type"], one["visit_id"]) for one in rows)
