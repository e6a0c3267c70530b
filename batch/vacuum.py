"""The second half of `playlake tidy`: the files of silver and gold that no reader can ask for any more go. It is
safe at any time.

Every run leaves files behind: those of the days that it has made anew, the rows of the change feed, and, where it was
killed, what it never committed. They go when they were replaced, or written in vain, KEEP_DAYS ago. Two versions keep
all their files however old they are: the newest, and the published one, which the warehouse is built from.

Delta's own vacuum tells which files those are. It is not let delete them itself, because it writes a commit when it
does, and a stage that waits for its audit would then be refused: its table would have moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable

from batch.delta_log import files_of
from batch.gold.stage import gold_tables
from infra.delta_scan import open_table
from infra.settings import Settings
from schemas.publication import read_published
from schemas.table import KEEP_DAYS, Table
from schemas.tables import SILVER
from schemas.tables.restatements import RESTATEMENTS


@dataclass(frozen=True)
class Done:
    """What was deleted of one table."""

    table: str
    files: int
    size: int
    """In bytes."""


def vacuum(settings: Settings) -> Iterator[Done]:
    """Every table of silver and gold that is there."""
    published = read_published(settings.warehouse)
    versions = published.versions if published else {}
    for table in (*SILVER.values(), *gold_tables().values(), RESTATEMENTS):
        path = table.path(settings.lake_root)
        files = _unused(path, versions.get(table.full_name))
        if files is not None:
            yield _deleted(table, Path(path), files)


def _unused(path: str, published: int | None) -> list[str] | None:
    """Paths relative to the table; None when there is none."""
    table = open_table(path)
    if table is None:
        return None
    kept = set() if published is None else set(files_of(DeltaTable(path, version=published)))
    found = table.vacuum(retention_hours=KEEP_DAYS * 24, dry_run=True, enforce_retention_duration=False, full=True)
    return [file for file in found if file not in kept]


def _deleted(table: Table, folder: Path, files: list[str]) -> Done:
    sizes = []
    for file in files:
        try:
            size = (folder / file).stat().st_size
            (folder / file).unlink()
        except FileNotFoundError:  # another vacuum was here
            continue
        sizes.append(size)
    return Done(table.full_name, len(sizes), sum(sizes))
