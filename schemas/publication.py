"""What batch has published: which versions belong together, and from which minute on live answers.

Batch writes the record as `<home>/warehouse/publish.json` (by rename) before it runs `playlake warehouse-build`:

    {"publish_id": "20260115T203000-7f3a", "published_at": "2026-01-15T20:30:45Z",
     "cutover_minute": "2026-01-15T20:00:00Z",
     "versions": {"gold.quality_minute": 12, "gold.title_daily": 4, "silver.sessions": 31},
     "as_of": {"gold.quality_minute": "2026-01-15T20:28:10Z", "gold.title_daily": "2026-01-15T20:28:10Z"}}
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from infra.disk import replace_file
from infra.errors import LakeDamaged

PUBLISHED = "publish.json"


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """One publish. Stamps carry an offset.

    versions   table → version of its Delta table
    as_of      gold table → received time up to which it holds every record
    """

    publish_id: str
    published_at: datetime
    cutover_minute: datetime
    versions: dict[str, int]
    as_of: dict[str, datetime] = {}


AnyPublish = TypeVar("AnyPublish", bound=Publish)


def read_published(folder: Path) -> Publish | None:
    """What batch has published last; None before the first publish. Raises LakeDamaged."""
    return read_record(folder / PUBLISHED, Publish)


def read_record(path: Path, kind: type[AnyPublish]) -> AnyPublish | None:
    """A record in a file; None where there is none. Raises LakeDamaged for anything else."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=kind)
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


def write_record(path: Path, record: Publish) -> None:
    """Put a record in place of the one before: readers see either, whole."""
    content = msgspec.json.format(msgspec.json.encode(record))
    replace_file(path, lambda fresh: fresh.write_bytes(content))
