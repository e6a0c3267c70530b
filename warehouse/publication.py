"""Which files of `<home>/warehouse` are in force.

    publish.json          what batch has published: Delta versions and the cut-over minute (the order to build)
    gold-<id>.duckdb      immutable: the published tables of one publish
    current.json          what readers use: the record of the newest *built* publish, swapped by rename
    warehouse.duckdb      the same for people: a symbolic link to the newest file
    live.duckdb           the minutes since the cut-over, rewritten twice a second by the server

publish.json is batch's (`schemas/publication.py`). current.json has the same fields and `files`, the names of the files
built from it.
"""

from __future__ import annotations

from pathlib import Path

from schemas.publication import Publish, read_record

CURRENT = "current.json"
LINK = "warehouse.duckdb"
LIVE = "live.duckdb"


class Publication(Publish, frozen=True, kw_only=True):
    """One publish, and the files that were built from it."""

    files: list[str]

    def is_same(self, other: Publish) -> bool:
        """Whether both show the same rows."""
        mine = (self.publish_id, self.cutover_minute, self.versions)
        return mine == (other.publish_id, other.cutover_minute, other.versions)

    def file(self, folder: Path) -> Path:
        """The DuckDB file that holds it."""
        return folder / self.files[0]


def current(folder: Path) -> Publication | None:
    """What readers use; None before the first build."""
    return read_record(folder / CURRENT, Publication)


def live_file(folder: Path) -> Path | None:
    """The live file, if a server has written one."""
    path = folder / LIVE
    return path if path.exists() else None
