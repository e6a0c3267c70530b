"""Silver events of few new records, without Spark: the same rows that `batch/silver/events.py` would put."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from batch.silver.arrivals import Arrived
from batch.silver.copies import PLACE
from batch.silver.few.rows import Files, part_of
from batch.silver.known import NEAR_DAYS
from batch.stage import Days
from schemas.event import MAX_SKEW
from schemas.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

    from batch.stage import Job


@dataclass(frozen=True)
class News:
    """What is to be done about new records."""

    seen: Arrived
    put: pa.Table
    """Rows that silver is to have."""
    gone: pa.Table
    """event_id and event_date of silver's rows that a copy received earlier replaces."""


def news_of(job: Job, table: Table, base: int, new: pa.Table) -> News | None:
    """`base`: version of the table that is looked at. None when its files alone do not tell its rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    seen, first = _look(new), first_copies(new)
    schema = part_of(table, (*PLACE, f"{table.partition_by}"))
    there = schema.empty_table()
    if seen.days is not None:
        files = Files.of(job.path(table), table.partition_by, base)
        if files is None:
            return None
        near = seen.days.widened(NEAR_DAYS, NEAR_DAYS)
        parts = [files.on(near.has).having("event_id", first["event_id"].combine_chunks(), schema)]
        if seen.has_moved:
            moved = first_copies(new.filter(_moved(new)))["event_id"].combine_chunks()
            parts.append(files.on(lambda day: not near.has(day)).having("event_id", moved, schema))
        there = pa.concat_tables(parts)
    known = {row["event_id"]: row for row in there.to_pylist()}
    is_known = pc.is_in(first["event_id"], there["event_id"].combine_chunks())
    earlier = [
        row["event_id"] for row in first.select(PLACE).filter(is_known).to_pylist()
        if _place(row) < _place(known[row["event_id"]])
    ]  # fmt: skip
    replacing = pa.array(earlier, pa.string())
    put = first.filter(pc.or_(pc.invert(is_known), pc.is_in(first["event_id"], replacing)))
    gone = there.filter(pc.is_in(there["event_id"], replacing)).select(["event_id", f"{table.partition_by}"])
    return News(seen, put, gone)


def first_copies(records: pa.Table) -> pa.Table:
    """Of the records that share an event_id the first received one."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = records.take(pc.sort_indices(records, [(name, "ascending") for name in PLACE]))
    ids = rows["event_id"].combine_chunks()
    is_first = np.ones(len(ids), np.bool_)
    is_first[1:] = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    return rows.filter(pa.array(is_first))


def _place(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in PLACE[1:])


def _look(new: pa.Table) -> Arrived:
    """See `batch.silver.arrivals.look`."""
    import pyarrow.compute as pc

    if not len(new):
        return Arrived(0, None, has_moved=False, now=None)
    days: dict[str, date] = pc.min_max(new["event_date"]).as_py()
    newest = pc.max(new["received_at"]).as_py()
    return Arrived(len(new), Days(days["min"], days["max"]), bool(pc.any(_moved(new)).as_py()), newest)


def _moved(rows: pa.Table) -> pa.ChunkedArray:
    """Whether a record's stamp was not believed, or corrected: `known.MOVED`."""
    import pyarrow.compute as pc

    skew = pc.abs(pc.subtract(rows["received_at"], rows["sent_at"]).cast("int64"))
    is_corrected = pc.fill_null(pc.greater_equal(skew, MAX_SKEW.seconds * 1_000_000), fill_value=False)
    return pc.or_(rows["is_clock_suspect"], is_corrected)
