"""What sessions are made of: playback events and players' reports, as one run reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.history import rows_in, version
from batch.silver.fold import COPIES, INPUT_COLUMNS, REPORT_INPUT_COLUMNS
from batch.stage import Job
from schemas.derive import arrow_schema
from schemas.registry import CMCD, PLAYBACK
from schemas.stage import StagedTable
from schemas.table import Table
from schemas.tables import BRONZE, SILVER_EVENTS
from schemas.topic import EventTopic

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Source:
    """A topic that sessions are made of."""

    topic: EventTopic
    group: str
    """The column of its tables that tells the group of a row."""
    columns: tuple[str, ...]
    """What the fold needs of a row."""

    @property
    def bronze(self) -> Table:
        return BRONZE[self.topic.name]

    @property
    def events(self) -> Table:
        return SILVER_EVENTS[self.topic.name]

    @property
    def group_id(self) -> str:
        return f"{self.group} AS group_id"


SOURCES = (Source(PLAYBACK, "group_id", INPUT_COLUMNS), Source(CMCD, "session_id", REPORT_INPUT_COLUMNS))


@dataclass(frozen=True)
class Run:
    """One run: what it reads, of each source that has any record."""

    job: Job
    staged: Mapping[str, StagedTable]
    """Table name → what this run stages of the events themselves."""
    after: Mapping[Source, int | None]
    until: Mapping[Source, int]

    def unseen(self) -> list[tuple[Source, int | None, int]]:
        """The sources that have brought something, with the versions after which, and up to which, it came."""
        found = ((source, self.after[source], until) for source, until in self.until.items())
        return [one for one in found if self.job.days is not None or one[1] is None or one[1] < one[2]]

    def events(self, source: Source) -> StagedTable | None:
        return self.staged.get(source.events.name)

    def count(self) -> int:
        """How many events silver will have once this stage is committed, or somewhat more."""
        staged = sum(events.rows for source in self.until if (events := self.events(source)))
        if self.job.is_whole:
            return staged
        return staged + sum(rows_in(self.job.path(source.events), self.base(source)) for source in self.until)

    def base(self, source: Source) -> int | None:
        """Version of the silver table of events that this run builds on."""
        events = self.events(source)
        return events.base if events else version(self.job.path(source.events))


def input_schema() -> pa.Schema:
    """The columns of the fold's input: every source's, whether or not the source is there."""
    import pyarrow as pa

    schema = {COPIES: pa.int64(), "group_id": pa.string()}
    for source in SOURCES:
        there = arrow_schema(source.events.columns)
        schema |= {name: there.field(name).type for name in source.columns if name in there.names}
    return pa.schema(list(schema.items()))
