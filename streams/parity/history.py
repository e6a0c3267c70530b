"""The trend: one row a comparison and part, in a Delta table beside the lake's layers.

A comparison that runs twice leaves two rows: they were made at two moments.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from infra.delta_scan import query, scan
from infra.settings import Settings
from streams.parity.explain import CAUSES
from streams.parity.report import Report


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of the past. `events` are those of live; `causes` what they lacked, by cause."""

    made_at: datetime
    publish_id: str | None
    rows: int
    rows_equal: int
    unexplained: int
    events: int
    causes: dict[str, int]

    @property
    def share_equal(self) -> float | None:
        return self.rows_equal / self.rows if self.rows else None


def path(settings: Settings) -> str:
    """Where the table lies."""
    return f"{settings.lake_root}/parity/history"


def remember(settings: Settings, report: Report) -> None:
    """Append a comparison."""
    import pyarrow as pa
    from deltalake import write_deltalake

    stamp = pa.timestamp("us", tz="UTC")
    counts = ("rows", "rows_equal", "unexplained", "live", "batch", *map(column_of, CAUSES), "part_unexplained")
    schema = pa.schema(
        [("made_at", stamp), ("publish_id", pa.string()), ("cutover_minute", stamp), ("first_minute", stamp)]
        + [("end_minute", stamp), ("part", pa.string())]
        + [(name, pa.int64()) for name in counts]
    )
    write_deltalake(path(settings), pa.Table.from_pylist(list(_rows(report)), schema=schema), mode="append")


def recent(settings: Settings, count: int) -> list[Past]:
    """The last comparisons, oldest first."""
    if not (Path(path(settings)) / "_delta_log").exists():
        return []
    rows = query(f"SELECT * FROM {scan(path(settings))} WHERE part = 'events' ORDER BY made_at DESC LIMIT {int(count)}")
    return [
        Past(
            made_at=row["made_at"],
            publish_id=row["publish_id"],
            rows=row["rows"],
            rows_equal=row["rows_equal"],
            unexplained=row["unexplained"],
            events=row["live"],
            causes={cause: row[column_of(cause)] for cause in CAUSES if row[column_of(cause)]},
        )
        for row in reversed(rows)
    ]


def column_of(cause: str) -> str:
    """The column of a cause."""
    return cause.replace(" ", "_")


def as_text(past: list[Past]) -> str:
    """A comparison a line."""
    if not past:
        return "no comparison is remembered yet"
    return "\n".join(
        f"{one.made_at:%Y-%m-%d %H:%M}Z  {one.rows_equal:,} of {one.rows:,} rows equal"
        f"{'' if one.share_equal is None else f' ({one.share_equal:.1%})'}, {one.unexplained:,} unexplained; "
        f"events {one.events:,}{''.join(f', {cause} {amount:+,}' for cause, amount in one.causes.items())}"
        for one in past
    )


def _rows(report: Report) -> Iterator[dict[str, Any]]:
    for part in report.parts:
        yield {
            "made_at": report.made_at,
            "publish_id": report.publish_id,
            "cutover_minute": report.cutover_minute,
            "first_minute": report.first_minute,
            "end_minute": report.end_minute,
            "part": part.part,
            "rows": report.rows,
            "rows_equal": report.rows_equal,
            "unexplained": report.unexplained,
            "live": part.live,
            "batch": part.batch,
            **{column_of(cause): part.causes.get(cause, 0) for cause in CAUSES},
            "part_unexplained": part.unexplained,
        }
