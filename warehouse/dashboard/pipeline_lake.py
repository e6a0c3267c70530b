"""The lake's side of the page Pipeline: how far its tables are, its last publishes, its dead letters.

A version is the name of a file in the log, so looking costs a listing; what a version holds is read once for it, and
counted no oftener than every COUNT_EVERY_S, since bronze has a new version every second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import duckdb
import pyarrow as pa

from infra.delta_scan import cursor, scan
from infra.errors import LakeDamaged, PlaylakeError
from infra.settings import Settings
from schemas.progress import COMMITS, Progress, progress, recent
from schemas.publication import Publish
from schemas.reasons import CONTRACT_REASONS
from schemas.refusals import INTAKE_REASONS
from schemas.table import Table
from schemas.tables import BRONZE, DEAD_LETTERS, SILVER
from warehouse.dashboard.limit import limit
from warehouse.dashboard.moments import known_ms, to_ms
from warehouse.dashboard.pipeline_shapes import LetterCount, Letters, NewestLetter, PublishRun, TableState
from warehouse.quality.ledger import Ledger

T = TypeVar("T")

COUNT_EVERY_S = 30.0
LIMIT_S = 10.0
LETTER_DAYS = 2
NEWEST_LETTERS = 20
PUBLISHES = 12
OF_VIEWING = "gold/quality_minute"
"""The table that every publish commits to."""
_STAGE_STAMP = "%Y%m%dT%H%M%S"

_LETTERS = """
SELECT topic, reason, date_trunc('hour', received_at) AS hour, count(*) AS letters, max(received_at) AS newest
FROM {table} WHERE received_date >= $first GROUP BY ALL
"""
_NEWEST = f"""
SELECT topic, partition, "offset", received_at, reason, field, detail
FROM {{table}} WHERE received_date >= $first ORDER BY received_at DESC, topic, partition, "offset" DESC
LIMIT {NEWEST_LETTERS}
"""


class Counted(NamedTuple):
    """What the log says that a version holds."""

    rows: int
    size_bytes: int
    files: int


class LakeWatch:
    """Remembers what it has read of each version. Not thread-safe, but for `interrupt`."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = settings.lake_root
        self._clock = clock
        self._kept: dict[object, tuple[int, float, Any]] = {}
        self._asking: duckdb.DuckDBPyConnection | None = None

    def interrupt(self) -> None:
        """End the question that is under way, from another thread."""
        if (asking := self._asking) is not None:
            asking.interrupt()

    def tables(self, published: Publish | None) -> tuple[list[TableState], str]:
        """Every table that is there, and why some could not be read."""
        versions = {} if published is None else published.versions
        found, wrong = [], []
        for layer, name in self._names(versions):
            path = f"{self._root}/{name.replace('.', '/')}"
            newest = _newest(path)
            if newest is None:
                continue
            version, changed_at = newest
            try:
                counted = self._of_version(("rows", name), version, COUNT_EVERY_S, partial(_counted, path))
                told: Progress | None = None
                if layer != "bronze":
                    told = self._of_version(("as_of", name), version, 0, partial(progress, path))
            except (PlaylakeError, OSError) as error:
                wrong.append(f"{name}: {error}")
                continue
            found.append(
                TableState(
                    layer=layer,
                    table=name,
                    version=version,
                    published_version=versions.get(name),
                    changed_at=changed_at,
                    as_of=known_ms(told.now) if told else None,
                    rows=counted.rows,
                    size_bytes=counted.size_bytes,
                    files=counted.files,
                )
            )
        return found, "; ".join(wrong)

    def publishes(self, current: str | None, audits: Iterable[Ledger]) -> list[PublishRun]:
        """The last ones, newest first."""
        path = f"{self._root}/{OF_VIEWING}"
        newest = _newest(path)
        if newest is None:
            return []
        rows = {one.stage_id: sum(table.rows for table in one.tables) for one in audits if one.layer == "gold"}
        past = self._of_version("publishes", newest[0], 0, lambda: recent(path, PUBLISHES))
        return [
            PublishRun(
                publish_id=told.stage_id,
                committed_at=int(commit["timestamp"]),
                as_of=known_ms(told.now),
                rows=rows.get(told.stage_id),
                took_ms=_took_ms(told.stage_id, int(commit["timestamp"])),
                is_current=told.stage_id == current,
            )
            for commit, told in past
            if "timestamp" in commit
        ]

    def letters(self, now: datetime) -> Letters:
        """Dead letters of the last days. What cannot be read is a problem of the answer, none of the page."""
        last_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        first = last_hour.date() - timedelta(days=LETTER_DAYS - 1)
        hours = [
            datetime(first.year, first.month, first.day, tzinfo=UTC) + timedelta(hours=n)
            for n in range(24 * LETTER_DAYS)
            if datetime(first.year, first.month, first.day, tzinfo=UTC) + timedelta(hours=n) <= last_hour
        ]
        empty = Letters(days=LETTER_DAYS, first_hour_at=to_ms(hours[0]), counts=[], newest=[], problem="")
        path = DEAD_LETTERS.path(self._root)
        newest = _newest(path)
        if newest is None:
            return empty
        try:
            counts, last = self._of_version(("letters", first), newest[0], 0, lambda: self._ask_letters(path, first))
        except (PlaylakeError, duckdb.Error) as error:
            problem = f"bronze.dead_letters cannot be read: {str(error).splitlines()[0]}"
            return Letters(days=LETTER_DAYS, first_hour_at=empty.first_hour_at, counts=[], newest=[], problem=problem)
        return Letters(
            days=LETTER_DAYS,
            first_hour_at=empty.first_hour_at,
            counts=_by_reason(counts, hours),
            newest=[
                NewestLetter(
                    place=f"{topic}/{partition}/{offset}",
                    received_at=to_ms(received_at),
                    reason=reason,
                    field=field,
                    detail=detail,
                )
                for topic, partition, offset, received_at, reason, field, detail in last
            ],
            problem="",
        )

    def _ask_letters(self, path: str, first: date) -> tuple[list[Any], list[Any]]:
        connection = self._asking = cursor()
        try:
            with limit(connection, LIMIT_S):
                values = {"first": first}
                counts = connection.execute(_LETTERS.format(table=scan(path)), values).fetchall()
                return counts, connection.execute(_NEWEST.format(table=scan(path)), values).fetchall()
        finally:
            self._asking = None
            connection.close()

    def _names(self, versions: Iterable[str]) -> list[tuple[Literal["bronze", "silver", "gold"], str]]:
        bronze: list[Table] = [*BRONZE.values(), DEAD_LETTERS]
        gold = sorted(name for name in versions if name.startswith("gold."))
        return [
            *(("bronze", table.full_name) for table in bronze),
            *(("silver", table.full_name) for table in SILVER.values()),
            *(("gold", name) for name in gold),
        ]

    def _of_version(self, key: object, version: int, every_s: float, read: Callable[[], T]) -> T:
        """What was read of this version; of a younger one than `every_s` allows, what was read before."""
        now = self._clock()
        known = self._kept.get(key)
        if known is None or (known[0] != version and now - known[1] >= every_s):
            known = self._kept[key] = (version, now, read())
        value: T = known[2]
        return value


def _newest(path: str) -> tuple[int, int] | None:
    """Newest version of a table in the log's listing, and when it was written (ms); None where there is no table."""
    try:
        with os.scandir(Path(path) / "_delta_log") as entries:
            last = max((entry.name for entry in entries if fnmatch(entry.name, COMMITS)), default=None)
            return None if last is None else (int(last[:20]), _changed_ms(Path(path) / "_delta_log" / last))
    except FileNotFoundError:
        return None


def _changed_ms(file: Path) -> int:
    return file.stat().st_mtime_ns // 1_000_000


def _counted(path: str) -> Counted:
    """Raises LakeDamaged."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        files = pa.table(DeltaTable(path).get_add_actions(flatten=True))
    except DeltaError as error:
        msg = f"its log cannot be read: {error}"
        raise LakeDamaged(msg) from error
    sizes = [sum(size or 0 for size in files[name].to_pylist()) for name in ("num_records", "size_bytes")]
    return Counted(rows=sizes[0], size_bytes=sizes[1], files=files.num_rows)


def _took_ms(stage_id: str, committed_ms: int) -> int | None:
    """A stage's id begins with the moment at which it began."""
    try:
        began = datetime.strptime(stage_id.partition("-")[0], _STAGE_STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    return max(0, committed_ms - to_ms(began))


def _by_reason(counts: Iterable[Any], hours: list[datetime]) -> list[LetterCount]:
    found: dict[tuple[str, str], tuple[dict[datetime, int], datetime]] = {}
    for topic, reason, hour, letters, newest in counts:
        by_hour, last = found.setdefault((topic, reason), ({}, newest))
        by_hour[hour] = letters
        found[topic, reason] = (by_hour, max(last, newest))
    meanings = {**INTAKE_REASONS, **CONTRACT_REASONS}
    told = [
        LetterCount(
            topic=topic,
            reason=reason,
            meaning=meanings.get(reason, ""),
            total=sum(by_hour.values()),
            hours=[by_hour.get(hour, 0) for hour in hours],
            newest_at=to_ms(newest),
        )
        for (topic, reason), (by_hour, newest) in found.items()
    ]
    return sorted(told, key=lambda one: (-one.total, one.topic, one.reason))
