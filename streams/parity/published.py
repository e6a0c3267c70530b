"""What batch has published: the rows, and of which records they are made."""

from __future__ import annotations

import json
from datetime import datetime

import msgspec

from infra.delta_scan import query, scan
from infra.errors import LakeDamaged
from infra.settings import Settings
from schemas.quality import DIMENSIONS, PARTS
from schemas.stage import PUBLISHED
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


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    publish_id: str
    cutover_minute: datetime
    versions: dict[str, int]


def published(settings: Settings) -> Published | None:
    """What batch has published last; None before the first publish. Raises LakeDamaged when it can't be traced."""
    path = settings.warehouse / PUBLISHED
    try:
        request = msgspec.json.decode(path.read_bytes(), type=_Request)
    except FileNotFoundError:
        return None
    version = request.versions.get(QUALITY)
    if version is None:
        return None
    gold = f"{settings.lake_root}/{QUALITY.replace('.', '/')}"
    sessions = _complete(gold, version).get(SESSIONS.full_name)
    if sessions is None:
        msg = (
            f"{gold} version {version}: expected a commit that says which version of {SESSIONS.full_name} it is made of"
        )
        raise LakeDamaged(msg)
    return Published(
        publish_id=request.publish_id,
        cutover_minute=request.cutover_minute,
        version=version,
        bronze=_complete(SESSIONS.path(settings.lake_root), sessions),
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


def _complete(path: str, version: int) -> dict[str, int]:
    """Source table → version that the table holds everything up to, as its commits say it (`batch/history.py`)."""
    from deltalake import DeltaTable

    for commit in DeltaTable(path).history():
        if commit["version"] <= version:
            note = json.loads(commit.get("userMetadata") or "{}")
            if "complete" in note:
                complete: dict[str, int] = note["complete"]
                return complete
    return {}
