"""A small published warehouse, made the real way: Delta tables by delta-rs, then the build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import deltalake
import pyarrow as pa

from infra.settings import Settings
from schemas.piece import startup_bucket
from schemas.publication import PUBLISHED, Publish, write_record
from schemas.quality import DIMENSIONS, PARTS, STARTUP_BUCKETS
from schemas.tables.restatements import RESTATEMENTS
from warehouse import build

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
STAMP = pa.timestamp("us", tz="UTC")

QUALITY_SCHEMA = pa.schema(
    [("play_date", pa.date32()), ("rollup", pa.string()), ("minute", STAMP)]
    + [(name, pa.string()) for name in DIMENSIONS]
    + [(name, pa.int64()) for name in PARTS]
    + [("startup_histogram", pa.list_(pa.int64()))]
)
SESSIONS_SCHEMA = pa.schema(
    [
        ("session_id", pa.string()),
        ("user_id", pa.string()),
        ("started_at", STAMP),
        ("startup_ms", pa.int64()),
        ("minutes", pa.list_(pa.struct([("minute", STAMP), ("watched_ms", pa.int64())]))),
        ("start_date", pa.date32()),
    ]
)


def quality_row(minute: datetime, rollup: str = "total", startups: Iterable[int] = (), **values: Any) -> dict[str, Any]:
    """A row of quality_minute: parts that are not given are 0, dimensions null."""
    histogram = [0] * STARTUP_BUCKETS
    for startup_ms in startups:
        histogram[startup_bucket(startup_ms)] += 1
    row = dict.fromkeys(DIMENSIONS) | dict.fromkeys(PARTS, 0)
    row |= {"play_date": minute.date(), "rollup": rollup, "minute": minute, "startup_histogram": histogram}
    return row | values


def session_row(number: int, day: date) -> dict[str, Any]:
    started = datetime(day.year, day.month, day.day, 10, tzinfo=UTC)
    return {
        "session_id": f"s{number}",
        "user_id": f"u{number % 3}",
        "started_at": started,
        "startup_ms": 100 * number,
        "minutes": [{"minute": started, "watched_ms": 60_000}],
        "start_date": day,
    }


@dataclass
class Lake:
    """Delta tables in a temporary lake, and publishing of them."""

    settings: Settings

    def write(self, table: str, rows: list[dict[str, Any]], schema: pa.Schema) -> int:
        """Replace a table's content; its new version."""
        path = f"{self.settings.lake_root}/{table.replace('.', '/')}"
        days = {"play_date", "start_date"}.intersection(schema.names if table != RESTATEMENTS.full_name else ())
        data = pa.Table.from_pylist(rows, schema=schema)
        deltalake.write_deltalake(path, data, mode="overwrite", schema_mode="overwrite", partition_by=[*days] or None)
        return deltalake.DeltaTable(path).version()

    def request(
        self,
        publish_id: str,
        versions: Mapping[str, int],
        cutover: datetime = NOON,
        as_of: Mapping[str, datetime] | None = None,
    ) -> None:
        """What batch does at the end of a publish."""
        self.settings.warehouse.mkdir(parents=True, exist_ok=True)
        record = Publish(
            publish_id=publish_id,
            published_at=cutover + timedelta(minutes=5),
            cutover_minute=cutover,
            versions=dict(versions),
            as_of=dict(as_of or {}),
        )
        write_record(self.settings.warehouse / PUBLISHED, record)

    def publish(self, publish_id: str, plays: int = 10, minutes: int = 60, cutover: datetime = NOON) -> None:
        """An hour before the cut-over with `plays` plays a minute, and three sessions on two days far apart."""
        quality = []
        for back in range(1, minutes + 1):
            minute = cutover - timedelta(minutes=back)
            values = {
                "plays": plays,
                "first_frames": plays,
                "watched_ms": 600_000,
                "playing_ms": 600_000,
                "stall_ms": 0,
            }
            quality.append(quality_row(minute, startups=[500] * plays, **values))
            quality.append(quality_row(minute, "title", content_id="title-a", **values))
        sessions = [
            session_row(1, date(2025, 11, 1)),
            session_row(2, date(2026, 1, 15)),
            session_row(3, date(2026, 1, 14)),
        ]
        versions = {
            "gold.quality_minute": self.write("gold.quality_minute", quality, QUALITY_SCHEMA),
            "silver.sessions": self.write("silver.sessions", sessions, SESSIONS_SCHEMA),
        }
        self.request(publish_id, versions, cutover)
        build.build(self.settings)
