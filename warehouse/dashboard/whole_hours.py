"""Published hours in place of their minutes: the same parts, added up over 60 of them, so a question about days reads a
sixtieth of the rows. What begins or ends within an hour, and what is live, is still told by minutes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from schemas.quality import ROLLUPS

HOUR_S = 3_600
TABLE = "quality_hourly"
ROLLUPS_BY_HOUR = frozenset(name for name, kept in ROLLUPS.items() if "content_id" not in kept)
"""Rollups whose dimensions the hours have too. Titles are by the minute only."""


def within(start: int, stop: int, cutover: int | None, step_s: int = HOUR_S) -> tuple[int, int] | None:
    """The published whole hours of a stretch [start, stop), in seconds of epoch; None when there are none.

    step_s   what the answer is cut into; hours are of no use below one
    """
    first = -(-start // HOUR_S) * HOUR_S
    end = min(stop, cutover or 0) // HOUR_S * HOUR_S
    return (first, end) if first < end and step_s % HOUR_S == 0 else None


def rows(columns: Iterable[str]) -> str:
    """`(SELECT …)` of a rollup within `[$start, $stop)`: hours within `[$hours_from, $hours_to)`, else minutes."""
    told = ", ".join(columns)
    minutes = f"SELECT minute, {told} FROM metrics.quality_minute WHERE rollup = $rollup"
    return (
        f"(SELECT hour AS minute, {told} FROM warehouse.gold.{TABLE} WHERE hour >= $hours_from AND hour < $hours_to "
        f"UNION ALL {minutes} AND minute >= $start AND minute < $hours_from "
        f"UNION ALL {minutes} AND minute >= $hours_to AND minute < $stop)"
    )


def can_tell(rollup: str | None, needed: Collection[str], there: Collection[str]) -> bool:
    """Whether the published table of hours, with these columns, holds what is asked of a rollup."""
    return rollup in ROLLUPS_BY_HOUR and set(needed) <= set(there)
