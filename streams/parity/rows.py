"""Rows of quality_minute as both sides have them: their keys, their amounts, how minutes of sessions add up to them.

In between, amounts are kept by minute and all dimensions (cells): each cell goes into one row of every rollup.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from schemas.quality import DIMENSIONS, ROLLUPS, MinuteParts
from streams.parity.replay import Place

OVERALL = "total"
"""The rollup whose rows say what happened over all."""

HISTOGRAM = "startup_histogram"
Amounts = Counter[str]
"""Part, or `startup_histogram[i]`, → amount."""


class RowKey(NamedTuple):
    """A row of quality_minute. `minute_ms` is the minute's start; `dimensions` as in DIMENSIONS."""

    rollup: str
    minute_ms: int
    dimensions: tuple[str | None, ...]

    @property
    def order(self) -> tuple[int, int, tuple[str, ...]]:
        return self.minute_ms, list(ROLLUPS).index(self.rollup), tuple(value or "" for value in self.dimensions)


Rows = dict[RowKey, Amounts]
Cells = dict[tuple[int, tuple[str | None, ...]], Amounts]
"""Minute's start and DIMENSIONS → amounts."""


class LiveRow(msgspec.Struct, frozen=True, kw_only=True):
    """A published live value: a partition's share of a row, and the offset that it holds everything before."""

    place: Place
    key: RowKey
    position: int
    amounts: Amounts


def histogram_part(bucket: int) -> str:
    """A bucket of the startup histogram, as a part."""
    return f"{HISTOGRAM}[{bucket}]"


def amounts_in(parts: MinuteParts) -> Iterator[tuple[str, int]]:
    """The parts of a minute, its startup among them."""
    yield from parts.parts.items()
    if parts.startup_bucket is not None:
        yield histogram_part(parts.startup_bucket), 1


def keys_of(parts: MinuteParts) -> Iterator[RowKey]:
    """The rows, one a rollup, that a minute's parts are added to."""
    yield from _keys(parts.minute_ms, _dimensions(parts))


def add(cells: Cells, parts: MinuteParts, sign: int = 1) -> None:
    """Add a minute's parts, or take them away."""
    amounts = cells.setdefault((parts.minute_ms, _dimensions(parts)), Counter())
    for part, amount in amounts_in(parts):
        amounts[part] += sign * amount


def add_step(cells: Cells, after: Iterable[MinuteParts], before: Iterable[MinuteParts]) -> None:
    """Add what one fold gives more than another."""
    for parts in after:
        add(cells, parts)
    for parts in before:
        add(cells, parts, -1)


def rolled_up(cells: Cells) -> Rows:
    """The rows of every rollup that hold anything."""
    rows: Rows = defaultdict(Counter)
    for (minute_ms, dimensions), amounts in cells.items():
        for key in _keys(minute_ms, dimensions):
            for part, amount in amounts.items():
                rows[key][part] += amount
    return not_empty(rows)


def not_empty(rows: Rows) -> Rows:
    """Without rows in which everything is 0."""
    return {key: amounts for key, amounts in rows.items() if any(amounts.values())}


def _dimensions(parts: MinuteParts) -> tuple[str | None, ...]:
    return tuple(getattr(parts, name) for name in DIMENSIONS)


def _keys(minute_ms: int, dimensions: Sequence[str | None]) -> Iterator[RowKey]:
    for rollup, kept in ROLLUPS.items():
        of_row = (value if name in kept else None for name, value in zip(DIMENSIONS, dimensions, strict=True))
        yield RowKey(rollup, minute_ms, tuple(of_row))
