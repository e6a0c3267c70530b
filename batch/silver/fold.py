"""The session fold inside Spark: whole groups in, rows of `silver.sessions` out, by the same code as everywhere.

`fold_groups` makes the function for `mapInArrow`. Its input must be sorted by group_id with no group on two partitions:
that costs one shuffle, where a Python call a group would cost several times as much as the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from schemas.derive import arrow_schema
from schemas.fact import FACT_COLUMNS, facts_of
from schemas.session import sessionize
from schemas.session_state import Fact
from schemas.tables.sessions import SESSIONS, session_row

if TYPE_CHECKING:
    import pyarrow as pa

    Fold = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

COPIES = "copies"
"""Set in a *tally*, a row that only says how many records of an event bronze has; null in an event."""
INPUT_COLUMNS = ("group_id", *FACT_COLUMNS)
ROWS = 1000
"""Sessions a batch of the output."""


def fold_groups(now_ms: int, timeout_ms: int) -> Fold:
    """The sessions as of received time `now_ms`."""

    def fold(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = arrow_schema(SESSIONS.columns)
        rows = []
        for facts in groups(batches):
            rows += [
                session_row(state, minutes, now_ms, timeout_ms) for state, minutes in sessionize(facts, timeout_ms)
            ]
            if len(rows) >= ROWS:
                yield pa.RecordBatch.from_pylist(rows, schema)
                rows = []
        yield pa.RecordBatch.from_pylist(rows, schema)

    return fold


def groups(batches: Iterator[pa.RecordBatch]) -> Iterator[list[Fact]]:
    """The facts of one group after the other. An event stands as often as it was sent: the fold counts the copies."""
    current: str | None = None
    facts: list[Fact] = []
    copies: dict[str, int] = {}
    for batch in batches:
        events = iter(facts_of(batch.filter(batch.column(COPIES).is_null())))
        columns = (batch.column(name).to_pylist() for name in ("group_id", "event_id", COPIES))
        for name, event_id, count in zip(*columns, strict=True):
            if name != current:
                if facts:
                    yield _repeated(facts, copies)
                current, facts, copies = name, [], {}
            if count is None:
                facts.append(next(events))
            else:
                copies[event_id] = count
    if facts:
        yield _repeated(facts, copies)


def _repeated(facts: list[Fact], copies: dict[str, int]) -> list[Fact]:
    return [fact for fact in facts for _ in range(copies.get(fact.event_id, 1))] if copies else facts
