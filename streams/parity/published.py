"""What batch has published: the rows, and of which records they are made."""

from __future__ import annotations

from datetime import datetime

import msgspec

from infra.delta_scan import query, scan
from infra.errors import LakeDamaged
from infra.settings import Settings
from schemas.progress import progress
from schemas.publication import read_published
from schemas.quality import DIMENSIONS, PARTS
from schemas.tables.sessions import SESSIONS
from streams.parity.live import amounts_of
from streams.parity.rows import HISTOGRAM, Amounts, RowKey
from streams.parity.window import Window, within_sql

QUALITY = "gold.quality_minute"


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The newest publish. `bronze`: bronze table → the version that its sessions were made of."""

    publish_id: str
    cutover_minute: datetime
    version: int
    bronze: dict[str, int]


def published(settings: Settings) -> Published | None:
    """What batch has published last; None before the first publish. Raises LakeDamaged when it can't be traced."""
    record = read_published(settings.warehouse)
    version = record.versions.get(QUALITY) if record else None
    if record is None or version is None:
        return None
    gold = f"{settings.lake_root}/{QUALITY.replace('.', '/')}"
    made_of = progress(gold, version)
    sessions = made_of.complete.get(SESSIONS.full_name) if made_of else None
    if sessions is None:
        msg = (
            f"{gold} version {version}: expected a commit that says which version of {SESSIONS.full_name} it is made of"
        )
        raise LakeDamaged(msg)
    folded = progress(SESSIONS.path(settings.lake_root), sessions)
    return Published(
        publish_id=record.publish_id,
        cutover_minute=record.cutover_minute,
        version=version,
        bronze=folded.complete if folded else {},
    )


def batch_rows(settings: Settings, publish: Published, window_ms: Window) -> dict[RowKey, Amounts]:
    """The published rows of the minutes of [window)."""
    source = scan(f"{settings.lake_root}/{QUALITY.replace('.', '/')}", publish.version)
    known = {row["column_name"] for row in query(f"DESCRIBE SELECT * FROM {source}")}
    parts = ", ".join(part for part in PARTS if part in known)  # published before a part was there: 0
    rows = query(
        f"SELECT rollup, epoch_ms(minute) AS minute_ms, {', '.join(DIMENSIONS)}, {HISTOGRAM}, {parts} "
        f"FROM {source} WHERE {within_sql('minute', window_ms)}"
    )
    return {
        RowKey(row["rollup"], row["minute_ms"], tuple(row[name] for name in DIMENSIONS)): amounts_of(row)
        for row in rows
    }
