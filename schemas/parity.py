"""What a comparison of live numbers with batch's is: made by `playlake parity`, remembered in a table, shown on a page.

The table lies beside the lake's layers, a row a comparison; its columns are the fields of `Comparison`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from infra.delta_scan import query, scan

CAUSES = {
    "late": "came when the live minute was frozen",
    "duplicate": "copies that live took for new ones: it remembers few ids, and only within a session",
    "split": "the session's records are in several partitions or topics, which live folds apart",
    "reopened": "the session went on after the time-out: live had closed it",
    "order": "records that overtook each other by more than live waits, and those that it waits for",
    "not live yet": "batch has the records, the stream has not read them",
    "still open": "the stream has the records, no published batch holds them yet",
}
"""Cause → what it is, in the order in which they are taken. Dead letters are in neither side: they move no number."""
UNEXPLAINED = "unexplained"


class PartParity(msgspec.Struct, frozen=True, kw_only=True):
    """A part (`schemas.quality.PARTS`) on both sides. live + all causes + unexplained = batch.

    live_unexplained    published live − what the records give in live's way
    batch_unexplained   published batch − what the records give in batch's
    """

    part: str
    live: int
    batch: int
    causes: dict[str, int]
    live_unexplained: int = 0
    batch_unexplained: int = 0

    @property
    def difference(self) -> int:
        return self.batch - self.live

    @property
    def unexplained(self) -> int:
        """What the causes leave of the difference. Both sides may be wrong alike: `is_explained` tells."""
        return self.batch_unexplained - self.live_unexplained

    @property
    def is_explained(self) -> bool:
        return not self.live_unexplained and not self.batch_unexplained


class MetricParity(msgspec.Struct, frozen=True, kw_only=True):
    """A metric on both sides. None: its denominator is 0, or that side holds nothing.

    metric   as it is called: the macro, its parts, its arguments
    title    for people
    causes   those that change any of the parts that it is made of, and UNEXPLAINED; none where the sides are equal
    """

    metric: str
    title: str
    unit: str
    live: float | None
    batch: float | None
    causes: list[str]

    @property
    def difference(self) -> float | None:
        return None if self.live is None or self.batch is None else self.batch - self.live


class RowParity(msgspec.Struct, frozen=True, kw_only=True):
    """A row of quality_minute in which the sides differ, or one of them is not what its own records give.

    dimensions   the rollup's own (`schemas.quality.ROLLUPS`) → value
    parts        those that differ or are unexplained
    metrics      those that differ; none while only one side holds the minute whole
    """

    minute: datetime
    rollup: str
    dimensions: dict[str, str | None]
    parts: list[PartParity]
    metrics: list[MetricParity]

    @property
    def is_explained(self) -> bool:
        return all(part.is_explained for part in self.parts)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. Rows are those of every rollup; parts are over all (rollup `total`).

    publish_id     the publish that was compared; None: nothing has been published yet
    rows_equal     rows in which every part is the same on both sides
    whole_rows     rows of minutes before the cut-over, which both sides hold whole; `whole_rows_equal`: of these
    unexplained    values that the records do not give
    metrics        over the minutes before the cut-over
    dead_letters   received in the window, by reason: they are in neither side
    differing      rows in which the sides differ; of a remembered comparison those that tell most
    """

    made_at: datetime
    first_minute: datetime
    end_minute: datetime
    publish_id: str | None
    cutover_minute: datetime | None
    rows: int
    rows_equal: int
    whole_rows: int
    whole_rows_equal: int
    unexplained: int
    parts: list[PartParity]
    metrics: list[MetricParity]
    dead_letters: dict[str, int]
    differing: list[RowParity] = []

    @property
    def holds(self) -> bool:
        return not self.unexplained


def history_path(lake_root: str) -> str:
    """Where the table lies."""
    return f"{lake_root}/parity/history"


def has_history(lake_root: str) -> bool:
    """Whether any comparison was remembered yet."""
    return (Path(history_path(lake_root)) / "_delta_log").is_dir()


def recent(lake_root: str, count: int, *, whole: bool = False) -> list[Comparison]:
    """The last comparisons, oldest first; with the rows that differ only if `whole`."""
    if not has_history(lake_root):
        return []
    columns = "*" if whole else "* EXCLUDE (differing)"
    rows = query(f"SELECT {columns} FROM {scan(history_path(lake_root))} ORDER BY made_at DESC LIMIT {int(count)}")
    return msgspec.convert(rows[::-1], list[Comparison])
