"""The session fold inside Spark: whole groups in, rows of `silver.sessions` out, by the same code as everywhere.

`fold_groups` makes the function for `mapInArrow`. In its input a group's rows follow each other, and no group is on two
partitions: that costs one shuffle and a sort, where a Python call a group would cost several times as much as the fold.
Where it is known how many rows a partition has, Arrow sorts them, which is quicker than Spark and can't spill.
A group's rows are playback events, players' reports (which are translated first, all of a session at once), and tallies
of both. Events stay columns (`schemas/whole`); only reports and tallies, which are few, become Python's objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from schemas.cmcd.order import translate
from schemas.cmcd.report import REPORT_COLUMNS, Report, reports_of
from schemas.derive import arrow_schema
from schemas.fact import FACT_COLUMNS, rows_of
from schemas.session_state import Fact
from schemas.tables.sessions import SESSIONS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Fold = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
    Copies = Mapping[int, Mapping[str, int]]

COPIES = "copies"
"""Set in a *tally*, a row that only says how many records of an event bronze has; null in an event."""
REPORTED = "target"
"""Set in a player's report; null in a playback event."""
INPUT_COLUMNS = ("group_id", *FACT_COLUMNS)
REPORT_INPUT_COLUMNS = ("group_id", *REPORT_COLUMNS)
ROWS = 50_000
"""Rows folded at once, or more where a group has more: what Python spends on each column is then spread thin."""


def fold_groups(now_ms: int, timeout_ms: int, *, is_mixed: bool = False) -> Fold:
    """The sessions as of received time `now_ms`. `is_mixed`: a group's rows may be anywhere on their partition."""

    def fold(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        yield pa.RecordBatch.from_pylist([], arrow_schema(SESSIONS.columns))
        for rows in whole_groups(grouped(batches) if is_mixed else batches):
            yield fold_rows(rows, now_ms, timeout_ms)

    return fold


def grouped(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All rows again, those of a group after each other. They are in memory together, twice for a moment."""
    import pyarrow as pa
    import pyarrow.compute as pc

    held = [batch for batch in batches if batch.num_rows]
    if held:
        rows = pa.Table.from_batches(held)
        held.clear()
        yield from rows.take(pc.sort_indices(rows.column("group_id"))).to_batches(max_chunksize=ROWS)


def whole_groups(batches: Iterator[pa.RecordBatch], at_least: int = ROWS) -> Iterator[pa.RecordBatch]:
    """The rows again, cut where a group ends."""
    import pyarrow as pa
    import pyarrow.compute as pc

    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        names = batch.column("group_id")
        last = pc.equal(names, names[-1]).true_count
        is_open = last == batch.num_rows and (not held or held[-1].column("group_id")[-1] == names[-1])
        held.append(batch)
        count += batch.num_rows
        if count < at_least or is_open:
            continue
        done = batch.num_rows - last
        yield pa.concat_batches([*held[:-1], batch.slice(0, done)])
        held, count = [batch.slice(done)], last
    if held:
        yield pa.concat_batches(held)


def fold_rows(rows: pa.RecordBatch, now_ms: int, timeout_ms: int) -> pa.RecordBatch:
    """The sessions of whole groups of rows."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from schemas.whole.rows import Grouping, sessions_of

    ends = pc.run_end_encode(rows.column("group_id")).run_ends.to_numpy()
    groups = np.repeat(np.arange(len(ends), dtype=np.int32), np.diff(ends, prepend=0))
    is_tally, is_report = rows.column(COPIES).is_valid(), rows.column(REPORTED).is_valid()
    copies = _copies(rows.filter(is_tally), groups[_flags(is_tally)])
    if is_tally.true_count or is_report.true_count:
        is_event = pc.invert(pc.or_(is_tally, is_report))
        events, of_events = rows.filter(is_event), groups[_flags(is_event)]
    else:
        events, of_events = rows, groups
    events = events.select(INPUT_COLUMNS)
    received = np.ones(len(of_events), np.int32)
    if copies:
        ids = events.column("event_id")
        more = pc.is_in(ids, pa.array({event_id for of_group in copies.values() for event_id in of_group}, ids.type))
        for i in np.flatnonzero(_flags(more)):
            received[i] = copies.get(int(of_events[i]), {}).get(ids[int(i)].as_py(), 1)
    repeated: dict[int, int] = {}
    if is_report.true_count:
        told, of_told, repeated = _told(rows.filter(is_report), groups[_flags(is_report)], copies, events.schema)
        events = pa.concat_batches([events, told])
        of_events = np.concatenate([of_events, of_told])
        received = np.concatenate([received, np.ones(len(of_told), np.int32)])
    return sessions_of(events, Grouping(of_events, received, repeated), now_ms, timeout_ms)


def _flags(column: pa.BooleanArray) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = column.to_numpy(zero_copy_only=False)
    return flags


def _copies(tallies: pa.RecordBatch, groups: npt.NDArray[np.int32]) -> dict[int, dict[str, int]]:
    """Group → event id → how often it was received."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    ids, counts = (tallies.column(name).to_pylist() for name in ("event_id", COPIES))
    for group, event_id, count in zip(groups.tolist(), ids, counts, strict=True):
        found[group][event_id] = count
    return found


def _told(
    rows: pa.RecordBatch, groups: npt.NDArray[np.int32], copies: Copies, schema: pa.Schema
) -> tuple[pa.RecordBatch, npt.NDArray[Any], dict[int, int]]:
    """What reports tell: rows of events, their groups, and how many reports of a group came again."""
    import numpy as np

    reports: dict[int, list[Report]] = defaultdict(list)
    for group, report in zip(groups.tolist(), reports_of(rows), strict=True):
        reports[group].append(report)
    facts: list[Fact] = []
    of_facts: list[int] = []
    repeated = {}
    for group, of_group in reports.items():
        told = translate(of_group, copies.get(group, {}))
        facts += told.facts
        of_facts += [group] * len(told.facts)
        repeated[group] = told.duplicates
    return rows_of(facts, [fact.group_id for fact in facts], schema), np.array(of_facts, np.int32), repeated
