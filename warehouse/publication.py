"""Which files of `<home>/warehouse` are in force.

    publish.json                   what batch has published: Delta versions, the cut-over minute (the order to build)
    current-<content>.duckdb       immutable: the newest days of every table that has days
    month_2026_10-<content>.duckdb immutable: days of a month before them
    gold-<id>.duckdb               immutable, small: views that join those, tables without days, the publish record
    current.json                   what readers use: the record of the newest *built* publish, swapped by rename
    warehouse.sql                  the same for people: SQL that opens those files on any DuckDB connection
    live.duckdb                    the minutes since the cut-over, rewritten twice a second by the server

publish.json is batch's (`schemas/publication.py`). current.json has the same fields and `files`, the names of the files
that show it, first the one with the views, and `parts`, what those with rows hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec

from infra.delta_scan import quoted
from infra.disk import replace_file
from schemas.publication import Publish, read_record

CURRENT = "current.json"
SCRIPT = "warehouse.sql"
LIVE = "live.duckdb"


class PartFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the rows of some days, `[first, until)`, of some tables. `form`: of the code that made it."""

    file: str
    form: str
    first: date
    until: date | None
    tables: list[str]


class Publication(Publish, frozen=True, kw_only=True):
    """One publish, and the files that show it."""

    files: list[str]
    parts: dict[str, PartFile] = {}  # noqa: RUF012 - msgspec gives each its own
    """What a file with rows is attached as → what it holds."""

    def is_same(self, other: Publish) -> bool:
        """Whether both show the same rows."""
        mine = (self.publish_id, self.cutover_minute, self.versions)
        return mine == (other.publish_id, other.cutover_minute, other.versions)

    def paths(self, folder: Path) -> list[Path]:
        """Its files, the one with the views first."""
        return [folder / name for name in self.files]


def current(folder: Path) -> Publication | None:
    """What readers use; None before the first build."""
    return read_record(folder / CURRENT, Publication)


def cutover_s(folder: Path) -> int:
    """First minute that what readers use does not answer, seconds of epoch; 0 before the first build."""
    record = current(folder)
    return int(record.cutover_minute.timestamp()) if record else 0


def live_file(folder: Path) -> Path | None:
    """The live file, if a server has written one."""
    path = folder / LIVE
    return path if path.exists() else None


def alias_of(path: Path) -> str:
    """What a published file is attached as: the views of the first one name the others by it."""
    return "warehouse" if path.name.startswith("gold-") else path.name.partition("-")[0]


def attach_statements(paths: Sequence[Path]) -> list[str]:
    """SQL that opens the files of a publish."""
    return [f"ATTACH {quoted(path)} AS {alias_of(path)} (READ_ONLY)" for path in reversed(paths)]


def write_script(folder: Path, record: Publication) -> None:
    """Put the script in place that opens a publish: it names files that are never changed, so all of it or none."""
    paths = [path.resolve() for path in record.paths(folder)]
    lines = [
        f"-- Opens publish {record.publish_id} on any DuckDB connection. History only: live minutes are the server's.",
        *(f"{statement};" for statement in attach_statements(paths)),
        "SET TimeZone = 'UTC';",
        "USE warehouse;",
    ]
    text, script = "\n".join(lines) + "\n", folder / SCRIPT
    if not script.exists() or script.read_text() != text:
        replace_file(script, lambda fresh: fresh.write_text(text))
