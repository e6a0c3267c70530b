"""The days on which a silver table has changed, by its log and its change feed. No Spark: the answer is a few dates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from batch.history import is_feed_whole
from infra.errors import LakeDamaged
from schemas.table import Table
from schemas.tables.sessions import SESSIONS

if TYPE_CHECKING:
    import pyarrow as pa

END = "ended_at"
"""A session takes part in every day from that of its partition to that of its end."""


def changed_days(path: str, table: Table, after: int | None, until: int) -> set[str] | None:
    """The days that rows take part in which versions `(after, until]` have put in or taken out.

    All days that version `until` has when `after` is None; None when the table no longer tells what has changed.
    """
    if after is not None and not is_feed_whole(path, after, until):
        return None
    spans = _of_files(path, table, until) if after is None else _of_feed(path, table, after, until)
    return {str(first + timedelta(days=n)) for first, last in spans for n in range((last - first).days + 1)}


def _of_files(path: str, table: Table, until: int) -> Iterator[tuple[date, date]]:
    """First and last day of each file: one of its rows reaches from its day to the latest end that it has."""
    import pyarrow as pa

    files = pa.table(DeltaTable(path, version=until).get_add_actions(flatten=True))
    for file in files.to_pylist():
        first = file[f"partition.{table.partition_by}"]
        latest = file.get(f"max.{END}") if table is SESSIONS else None
        if table is SESSIONS and latest is None:
            yield from _of_rows(path, table, until)
            return
        yield first, first if latest is None else latest.date()


def _of_rows(path: str, table: Table, until: int) -> Iterator[tuple[date, date]]:
    """The same of each row, where the log does not tell."""
    rows = DeltaTable(path, version=until).to_pyarrow_dataset().to_batches(columns=_columns(table))
    for batch in rows:
        yield from _spans(batch, table)


def _of_feed(path: str, table: Table, after: int, until: int) -> Iterator[tuple[date, date]]:
    import pyarrow as pa

    feed = DeltaTable(path, version=until).load_cdf(after + 1, until, columns=_columns(table))
    for batch in feed:
        yield from _spans(pa.record_batch(batch), table)


def _columns(table: Table) -> list[str]:
    return [f"{table.partition_by}", *([END] if table is SESSIONS else [])]


def _spans(rows: pa.RecordBatch, table: Table) -> set[tuple[date, date]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    first = rows.column(f"{table.partition_by}").cast(pa.date32())
    last = pc.cast(pc.floor_temporal(rows.column(END), unit="day"), pa.date32()) if table is SESSIONS else first
    if first.null_count or last.null_count:
        msg = f"{table.full_name}: expected a day in every row, found none in some"
        raise LakeDamaged(msg)
    pairs = pa.table({"first": first, "last": last}).group_by(["first", "last"]).aggregate([])
    return set(zip(pairs["first"].to_pylist(), pairs["last"].to_pylist(), strict=True))
