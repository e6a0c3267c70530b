"""What came between two versions of a gold table: records of bronze and events of silver, by the day they happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from batch.gold.stage import sources_of
from batch.history import files_brought
from infra.delta_scan import query, quoted
from schemas.progress import Progress, commits, progress
from schemas.table import Table
from schemas.tables import BRONZE, SILVER_EVENTS

if TYPE_CHECKING:
    from batch.restate.compare import Day

SILVER_OF = {BRONZE[topic].full_name: table for topic, table in SILVER_EVENTS.items()}
"""Bronze table → the silver table of its events."""
BRONZE_OF = {table.full_name: table for table in BRONZE.values()}

ByDay = Counter[date]


@dataclass(frozen=True)
class Arrived:
    """What came, by day; None where log or files of that time are gone."""

    records: ByDay | None
    events: ByDay | None
    silver_stage_id: str | None = None

    def of(self, day: Day) -> tuple[int | None, int | None]:
        """Records and events of a day; of all days when it is None."""
        records, events = (
            None if found is None else found.total() if day is None else found[day]
            for found in (self.records, self.events)
        )
        return records, events


def arrived(lake_root: str, table: Table, old: Progress | None, new: Progress | None) -> Arrived:
    """What lies between two commits of a gold table, by the versions of silver that they were made of.

    After days were restated by hand, their records are told again by the next commit: it reads on from its watermark.
    """
    if old is None or new is None:
        return Arrived(None, None)
    records: ByDay | None = Counter()
    events: ByDay | None = Counter()
    stages = []
    for source in sources_of(table):
        path = source.path(lake_root)
        before, after = old.complete.get(source.full_name), new.read.get(source.full_name)
        silver = None if after is None else progress(path, after)
        if before is None or silver is None or (known := progress(path, before)) is None:
            return Arrived(None, None)
        stages.append(silver.stage_id)
        for bronze, until in silver.read.items():
            since = known.complete.get(bronze)
            if since is None or until > since:
                records = _plus(records, _records(lake_root, bronze, since, until))
                events = _plus(events, _events(lake_root, bronze, since, until))
    return Arrived(records, events, max(stages, default=None))


def _plus(one: ByDay | None, other: ByDay | None) -> ByDay | None:
    """Counter's own sum would drop what is negative."""
    if one is None or other is None:
        return None
    found = Counter(one)
    found.update(other)
    return found


@lru_cache(maxsize=64)  # each table of a publish asks for the same
def _records(lake_root: str, bronze: str, since: int | None, until: int) -> ByDay | None:
    files = files_brought(BRONZE_OF[bronze].path(lake_root), -1 if since is None else since, until)
    if not files:
        return None if files is None else Counter()
    listed = ", ".join(quoted(file) for file in files)
    rows = query(
        "SELECT CAST(occurred_at AS DATE) AS day, count(*) AS records "
        f"FROM read_parquet([{listed}], hive_partitioning = false) GROUP BY ALL"
    )
    return Counter({row["day"]: row["records"] for row in rows})


@lru_cache(maxsize=64)
def _events(lake_root: str, bronze: str, since: int | None, until: int) -> ByDay | None:
    """By the rows that the log says files have: no data is read."""
    table = SILVER_OF[bronze]
    path = table.path(lake_root)
    found = Counter[date]()
    for sign, at in ((1, until), (-1, since)):
        if at is None:
            continue
        holding = _version_holding(path, bronze, at)
        rows = None if holding is None else _rows(path, holding, f"{table.partition_by}")
        if rows is None:
            return None
        found.update({day: sign * count for day, count in rows.items()})
    return found


def _version_holding(path: str, bronze: str, at: int) -> int | None:
    """The newest version of a silver table that was made of version `at` of its bronze table, or of one before."""
    made_of = ((number, found.read.get(bronze)) for number, (_, found) in commits(path).items() if found)
    return max((number for number, read in made_of if read is not None and read <= at), default=None)


def _rows(path: str, at: int, partition: str) -> ByDay | None:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        actions = pa.table(DeltaTable(path, version=at).get_add_actions(flatten=True))
    except DeltaError:  # a version whose log is gone
        return None
    days, rows = (actions[name].to_pylist() for name in (f"partition.{partition}", "num_records"))
    if None in rows:
        return None
    found = Counter[date]()
    for day, count in zip(days, rows, strict=True):
        found[day] += count
    return found
