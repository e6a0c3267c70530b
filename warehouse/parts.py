"""Of which files a publish is made: one of the newest days, one for each month before them.

    current           the newest CURRENT_DAYS days: an event may still come for any of them, and mostly some have
    month_2026_10     the other days of a month: the same file until one of them is restated, or one joins them

A part's file is named after what it is made of, the files of Delta that hold its days. So a part that has not changed
is there already, as is one of a build that was killed after it, and no name ever stands for two contents.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from infra.errors import LakeDamaged
from infra.settings import ROOT
from schemas.event import MAX_PAST
from schemas.publication import PUBLISHED
from schemas.table import Table, read_sql_table
from schemas.tables import SILVER
from schemas.tables.restatements import RESTATEMENTS

if TYPE_CHECKING:
    from deltalake import DeltaTable

FORM = "2"
"""Of a part's file. Another one when the same files of Delta make another content: every month is then built anew."""
CURRENT_DAYS = MAX_PAST.days + 1
"""Today, and as many days before it as an event may be late."""


@dataclass(frozen=True, eq=False)
class Source:
    """A published version of a Delta table.

    name        as it is asked for, e.g. gold.title_daily
    contract    what its definition says; None: it has none
    files       day → its files, as the log names them; none of a table that is not split by days
    """

    name: str
    path: str
    version: int
    contract: Table | None
    files: dict[date | None, tuple[str, ...]]

    @property
    def day(self) -> str | None:
        """Its partition column."""
        return self.contract.partition_by if self.contract else None

    @property
    def newest(self) -> date | None:
        return max((day for day in self.files if day is not None), default=None)


@dataclass(frozen=True, eq=False)
class Part:
    """Days `[first, until)` of some tables, which one file holds. No `until`: and whatever has no day."""

    alias: str
    first: date
    until: date | None
    sources: tuple[Source, ...]

    def holds(self, day: date | None) -> bool:
        if day is None:
            return self.until is None
        return self.first <= day and (self.until is None or day < self.until)

    def where(self, source: Source) -> str:
        """Its rows of a table, in SQL."""
        day = source.day
        if self.until is None:
            return f"({day} >= DATE '{self.first}' OR {day} IS NULL)"
        return f"{day} >= DATE '{self.first}' AND {day} < DATE '{self.until}'"

    @property
    def file_name(self) -> str:
        content = hashlib.sha256(f"{FORM} {self.alias} {self.first} {self.until}".encode())
        for source in sorted(self.sources, key=lambda one: one.name):
            files = sorted(file for day, found in source.files.items() if self.holds(day) for file in found)
            content.update("\n".join(["", source.name, str(source.day), *files]).encode())
        return f"{self.alias}-{content.hexdigest()[:16]}.duckdb"


def read_source(lake_root: str, name: str, version: int) -> Source:
    """A version as its log describes it. Raises LakeDamaged when it is not there."""
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    layer, _, table_name = name.partition(".")
    if layer not in ("gold", "silver") or not table_name.isidentifier():
        msg = f"{PUBLISHED}: expected tables like gold.title_daily or silver.sessions, got {name!r}"
        raise LakeDamaged(msg)
    contract, path = _contract(name), f"{lake_root}/{layer}/{table_name}"
    try:
        table = DeltaTable(path, version=version)
    except DeltaError as error:
        msg = f"version {version} of {name} can't be read from {path}: {error}"
        raise LakeDamaged(msg) from error
    day = contract.partition_by if contract else None
    files: dict[date | None, list[str]] = defaultdict(list)
    if day is not None and day in table.metadata().partition_columns:
        deletions = _deletions(table)
        for action in pa.table(table.get_add_actions()).select(["path", "partition"]).to_pylist():
            path_and_deletions = f"{action['path']} {deletions.get(_bare(action['path']), '')}"
            files[action["partition"][day]].append(path_and_deletions)
    return Source(name, path, version, contract, {one: tuple(found) for one, found in files.items()})


def _contract(name: str) -> Table | None:
    """What a table's definition says, for comments and the partition column."""
    layer, _, table = name.partition(".")
    path = ROOT / "batch" / "gold" / f"{table}.sql"
    if name == RESTATEMENTS.full_name:
        return RESTATEMENTS
    if layer == "gold":
        return read_sql_table(path) if path.exists() else None
    return SILVER.get(table)


def plan(sources: Iterable[Source], recent_days: int) -> list[Part]:
    """The parts of these versions, the current one first; none when no table has days.

    Sessions, and whatever else is silver, are in every part that reaches into the `recent_days` newest days.
    """
    dated = [source for source in sources if source.newest is not None]
    newest = max((source.newest for source in dated if source.newest), default=None)
    if newest is None:
        return []
    current_from = newest - timedelta(days=CURRENT_DAYS - 1)
    parts = [Part("current", current_from, None, tuple(dated))]
    months = {day.replace(day=1) for source in dated for day in source.files if day is not None and day < current_from}
    for first in sorted(months, reverse=True):
        until = min(current_from, (first + timedelta(days=31)).replace(day=1))
        held = [s for s in dated if any(day is not None and first <= day < until for day in s.files)]
        kept = tuple(s for s in held if (since := shown_from(s, recent_days)) is None or since < until)
        if kept:
            parts.append(Part(f"month_{first:%Y_%m}", first, until, kept))
    return parts


def shown_from(source: Source, recent_days: int) -> date | None:
    """First day of a table that readers see; None: all."""
    if source.name.startswith("gold.") or source.newest is None:
        return None
    return source.newest - timedelta(days=recent_days - 1)


def _deletions(table: DeltaTable) -> dict[str, str]:
    """File → the rows of it that are deleted, where some are."""
    import pyarrow as pa

    if "deletionVectors" not in (table.protocol().reader_features or []):
        return {}
    found = pa.table(table.deletion_vectors()).to_pylist()
    return {_bare(one["filepath"]): hashlib.sha256(bytes(one["selection_vector"])).hexdigest()[:16] for one in found}


def _bare(path: str) -> str:
    """A data file's own name, which no other has."""
    return path.rpartition("/")[2]
