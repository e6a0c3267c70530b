"""`playlake maintain`: what the tables that delta-rs writes need every hour. Safe at any time, beside a running sink.

In this order, each step harmless when the one after it does not come:

1. audit: a damaged table is left as it is;
2. small files are merged that were written an hour ago or earlier (`streams/delta_compact.py`);
3. a checkpoint; of those older than a day one a day stays, for they are as large as the table has files (an append a
   second makes 860 a day);
4. log files older than KEEP_DAYS go, up to the last checkpoint before that: every version since then can still be read;
5. files that a merge took out of the table KEEP_DAYS ago are deleted (vacuum; never a full one, which would take the
   files of an append that is under way for waste).

What a process wrote and, being killed, never committed stays: nothing refers to it, and it is little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from infra.disk import sync
from infra.errors import ProcessError
from infra.settings import Settings
from schemas.registry import EVENT_TOPICS
from schemas.table import KEEP_DAYS, Table
from schemas.tables import BRONZE, DEAD_LETTERS
from schemas.tables.replays import REPLAYED_LETTERS
from streams.bronze_rows import sorted_by
from streams.delta_audit import audit
from streams.delta_compact import compact
from streams.delta_log import PROPERTIES, DeltaLog, PositionMoved
from streams.delta_sink import local_path

DAY_S = 86_400
TABLES: Mapping[str, tuple[Table, tuple[str, ...]]] = {
    table.name: (table, order)
    for table, order in (
        *((BRONZE[name], sorted_by(topic)) for name, topic in EVENT_TOPICS.items()),
        (DEAD_LETTERS, ("topic", "partition", "offset")),
        (REPLAYED_LETTERS, ("topic", "partition", "offset")),
    )
}
"""Table's name → the table, and the order of the rows in its files."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What was done to one table, in numbers of files."""

    table: str
    merged: int
    into: int
    log_files: int
    deleted: int

    def __str__(self) -> str:
        return (
            f"{self.table:<32}{self.merged:>8,} files merged into {self.into:,}, {self.log_files:,} old log files and "
            f"{self.deleted:,} replaced files deleted"
        )


def maintain(settings: Settings, now_s: float | None = None) -> Iterator[Done]:
    """Every table that is there, one after another. `now_s`: what is old.

    Raises LakeDamaged, and ProcessError when another maintenance is at work.
    """
    for table, order in TABLES.values():
        path = local_path(table, settings.lake_root)
        if (path / "_delta_log").is_dir():
            yield maintain_table(path, table, order, time.time() if now_s is None else now_s)


def maintain_table(
    path: Path, table: Table, order: tuple[str, ...], now_s: float, step: Callable[[str], None] = lambda _name: None
) -> Done:
    """One table. `step` is told the name of each act that a crash may come before or after."""
    audit(path)
    log = DeltaLog(path, table.full_name)
    log.set_properties(PROPERTIES)
    try:
        merged, into = compact(log, table.partition_by or "", order, int(now_s * 1000), step)
    except PositionMoved as error:
        msg = f"another `playlake maintain` is at work on {path}; let it come to its end ({error})"
        raise ProcessError(msg) from error
    step("before checkpoint")
    _checkpoint(log)
    step("before clean-up")
    before = _log_files(path)
    _thin_checkpoints(path, now_s)
    log.handle.cleanup_metadata()
    sync(path / "_delta_log")
    step("before vacuum")
    deleted = _vacuum(log)
    return Done(
        table=table.full_name,
        merged=merged,
        into=into,
        log_files=len(before - _log_files(path)),
        deleted=len(deleted),
    )


def _checkpoint(log: DeltaLog) -> None:
    log.reopen()
    if not (log.path / "_delta_log" / f"{log.version:020}.checkpoint.parquet").exists():
        log.handle.create_checkpoint()
    for name in (f"{log.version:020}.checkpoint.parquet", "_last_checkpoint"):
        sync(log.path / "_delta_log" / name)
    sync(log.path / "_delta_log")


def _thin_checkpoints(path: Path, now_s: float) -> None:
    """Of the checkpoints older than a day keep the last of each day."""
    kept: set[date] = set()
    for file in sorted((path / "_delta_log").glob("*.checkpoint.parquet"), reverse=True)[1:]:
        written = file.stat().st_mtime
        day = datetime.fromtimestamp(written, UTC).date()
        if written < now_s - DAY_S and day in kept:
            file.unlink()
        kept.add(day)


def _vacuum(log: DeltaLog) -> list[str]:
    from deltalake import PostCommitHookProperties

    log.reopen()
    deleted = log.handle.vacuum(
        retention_hours=KEEP_DAYS * 24,
        dry_run=False,
        # The log remembers removed files for longer than they are kept (PROPERTIES says why).
        enforce_retention_duration=False,
        full=False,
        post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
    )
    log.reopen()
    log.flush()
    return deleted


def _log_files(path: Path) -> set[str]:
    return {file.name for file in (path / "_delta_log").iterdir() if file.name[0].isdigit()}
