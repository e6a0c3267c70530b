"""Which files of `<home>/warehouse` are in force.

    publish.json          what batch has published: Delta versions and the cut-over minute (the order to build)
    gold-<id>.duckdb      immutable: the published tables of one publish
    current.json          what readers use: the record of the newest *built* publish, swapped by rename
    warehouse.duckdb      the same for people: a symbolic link to the newest file
    live.duckdb           the minutes since the cut-over, rewritten twice a second by the server

publish.json, written by batch (by rename) before it runs `playlake warehouse-build`:

    {"publish_id": "20260115T203000-7f3a", "published_at": "2026-01-15T20:30:45Z",
     "cutover_minute": "2026-01-15T20:00:00Z",
     "versions": {"gold.quality_minute": 12, "gold.title_daily": 4, "silver.sessions": 31},
     "as_of": {"gold.quality_minute": "2026-01-15T20:28:10Z", "gold.title_daily": "2026-01-15T20:28:10Z"}}

current.json has the same fields and `files`, the names of the files built from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from infra.disk import sync
from infra.errors import LakeDamaged
from schemas.stage import PUBLISHED

CURRENT = "current.json"
LINK = "warehouse.duckdb"
LIVE = "live.duckdb"


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """One publish. Stamps carry an offset.

    versions   table → version of its Delta table
    as_of      gold table → received time up to which it holds every record
    """

    publish_id: str
    published_at: datetime
    cutover_minute: datetime
    versions: dict[str, int]
    as_of: dict[str, datetime] = {}
    files: list[str] = []

    def is_same(self, other: Publication) -> bool:
        """Whether both show the same rows."""
        mine = (self.publish_id, self.cutover_minute, self.versions)
        return mine == (other.publish_id, other.cutover_minute, other.versions)

    def file(self, folder: Path) -> Path:
        """The DuckDB file that holds it."""
        return folder / self.files[0]


def requested(folder: Path) -> Publication | None:
    """What batch has published last; None before the first publish."""
    return _read(folder / PUBLISHED)


def current(folder: Path) -> Publication | None:
    """What readers use; None before the first build."""
    return _read(folder / CURRENT)


def live_file(folder: Path) -> Path | None:
    """The live file, if a server has written one."""
    path = folder / LIVE
    return path if path.exists() else None


def _read(path: Path) -> Publication | None:
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Publication)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        msg = f"{path.name}: expected a publish record (publish_id, published_at, cutover_minute, versions): {error}"
        raise LakeDamaged(msg) from None
    stamps = {"published_at": record.published_at, "cutover_minute": record.cutover_minute}
    for name, stamp in (stamps | {f"as_of of {table}": moment for table, moment in record.as_of.items()}).items():
        if stamp.tzinfo is None:
            msg = f"{path.name}: {name} must carry an offset, e.g. 2026-01-15T20:30:45Z; got {stamp}"
            raise LakeDamaged(msg)
    return record


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Write beside `path`, bring it to the disk, then rename: readers see the old content or the new, never a part."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(fresh)
        sync(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync(path.parent)
