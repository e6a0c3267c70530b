"""The session fold inside Spark: whole groups in, rows of `silver.sessions` out, by the same code as everywhere.

`fold_groups` makes the function for `mapInArrow`. Its input must be sorted by group_id with no group on two partitions:
that costs one shuffle, where a Python call a group would cost several times as much as the fold. A group's rows are
playback events, players' reports (which are translated first, all of a session at once), and tallies of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schemas.cmcd.order import translate
from schemas.cmcd.report import REPORT_COLUMNS, Report, reports_of
from schemas.derive import arrow_schema
from schemas.fact import FACT_COLUMNS, facts_of
from schemas.quality import MinuteParts
from schemas.session_row import session_row
from schemas.session_state import Fact, SessionState
from schemas.sessionize import sessionize
from schemas.tables.sessions import SESSIONS

if TYPE_CHECKING:
    import pyarrow as pa

    Fold = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

COPIES = "copies"
"""Set in a *tally*, a row that only says how many records of an event bronze has; null in an event."""
REPORTED = "target"
"""Set in a player's report; null in a playback event."""
INPUT_COLUMNS = ("group_id", *FACT_COLUMNS)
REPORT_INPUT_COLUMNS = ("group_id", *REPORT_COLUMNS)
ROWS = 1000
"""Sessions a batch of the output."""


@dataclass
class Group:
    """What is known of one group. An event stands as often as it was sent: the fold counts the copies."""

    facts: list[Fact] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    copies: dict[str, int] = field(default_factory=dict)

    def sessions(self, timeout_ms: int) -> Iterator[tuple[SessionState, list[MinuteParts]]]:
        """The group's sessions, each with what it adds to which minutes."""
        facts, copies, repeated = self.facts, self.copies, 0
        if copies:
            facts = [fact for fact in facts for _ in range(copies.get(fact.event_id, 1))]
        if self.reports:
            told = translate(self.reports, copies)
            facts, repeated = facts + told.facts, told.duplicates
        for state, minutes in sessionize(facts, timeout_ms):
            # Reports have session ids, so there is one session.
            state.duplicate_event_count += repeated
            yield state, minutes


def fold_groups(now_ms: int, timeout_ms: int) -> Fold:
    """The sessions as of received time `now_ms`."""

    def fold(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = arrow_schema(SESSIONS.columns)
        rows = []
        for group in groups(batches):
            rows += [session_row(state, minutes, now_ms, timeout_ms) for state, minutes in group.sessions(timeout_ms)]
            if len(rows) >= ROWS:
                yield pa.RecordBatch.from_pylist(rows, schema)
                rows = []
        yield pa.RecordBatch.from_pylist(rows, schema)

    return fold


def groups(batches: Iterator[pa.RecordBatch]) -> Iterator[Group]:
    """One group after the other."""
    import pyarrow.compute as pc

    current: str | None = None
    group = Group()
    for batch in batches:
        is_event, is_report = batch.column(COPIES).is_null(), batch.column(REPORTED).is_valid()
        facts = iter(facts_of(batch.filter(pc.and_not(is_event, is_report))))
        reports = iter(reports_of(batch.filter(is_report)) if is_report.true_count else ())
        columns = [batch.column(name).to_pylist() for name in ("group_id", "event_id", COPIES)]
        for name, event_id, count, reported in zip(*columns, is_report.to_pylist(), strict=True):
            if name != current:
                if current is not None:
                    yield group
                current, group = name, Group()
            if count is not None:
                group.copies[event_id] = count
            elif reported:
                group.reports.append(next(reports))
            else:
                group.facts.append(next(facts))
    if current is not None:
        yield group
