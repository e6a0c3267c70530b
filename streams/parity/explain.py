"""Why live and batch differ, as an equation: live + the sum of the causes = batch, for every part of every row.

What is checked is both ends: the published live value must be the one that its records give when they are folded in
live's way, and so must batch's in batch's (`streams/parity/steps.py`). Where they are not, the row is unexplained.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.parity import PartParity
from schemas.quality import MinuteParts
from streams.parity.replay import Place
from streams.parity.rows import Amounts, LiveRow, RowKey, Rows, amounts_in, keys_of, not_empty, rolled_up
from streams.parity.steps import Evidence, steps
from streams.parity.window import Window


class Difference(PartParity, frozen=True, kw_only=True):
    """A part of a row in which the sides differ, or one of them is not what its own records give."""

    key: RowKey


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Both sides at the cut, and what differs.

    causes   cause → its rows, those too in which several causes make up for each other
    keys     of the rows that there are on either side, or on the way
    """

    live: Rows
    batch: Rows
    causes: dict[str, Rows]
    keys: set[RowKey]
    differences: list[Difference]

    @property
    def equal(self) -> set[RowKey]:
        """Rows in which every part is the same on both sides."""
        return self.keys - {one.key for one in self.differences if one.difference}

    @property
    def unexplained(self) -> list[Difference]:
        return [one for one in self.differences if not one.is_explained]


def compare(
    evidence: Evidence,
    live_rows: Iterable[LiveRow],
    batch_rows: Mapping[RowKey, Amounts],
    window_ms: Window,
) -> Compared:
    """Compare what both sides publish of the minutes of [window). `live_rows`: newest values only."""
    found = steps(evidence)
    published = _published(live_rows, found.ahead)
    replayed_live, replayed_batch = rolled_up(found.live), rolled_up(found.batch)
    causes = {cause: rolled_up(cells) for cause, cells in found.causes.items()}
    first, end = window_ms
    keys = {
        key
        for rows in (published, batch_rows, replayed_live, replayed_batch, *causes.values())
        for key in rows
        if first <= key.minute_ms < end
    }
    differences: list[Difference] = []
    for key in sorted(keys, key=lambda key: key.order):
        live, batch = published.get(key, Counter()), batch_rows.get(key, Counter())
        of_live, of_batch = replayed_live.get(key, Counter()), replayed_batch.get(key, Counter())
        of_cause = {cause: rows[key] for cause, rows in causes.items() if key in rows}
        for part in sorted({part for side in (live, batch, of_live, of_batch, *of_cause.values()) for part in side}):
            said = {cause: amounts[part] for cause, amounts in of_cause.items() if amounts[part]}
            one = Difference(
                key=key,
                part=part,
                live=live[part],
                batch=batch[part],
                causes=said,
                live_unexplained=live[part] - of_live[part],
                batch_unexplained=batch[part] - of_batch[part],
            )
            if one.difference or not one.is_explained:
                differences.append(one)
    return Compared(
        live={key: published[key] for key in keys & published.keys()},
        batch={key: batch_rows[key] for key in keys & batch_rows.keys()},
        causes={cause: {key: rows[key] for key in keys & rows.keys()} for cause, rows in causes.items()},
        keys=keys,
        differences=differences,
    )


def _published(live_rows: Iterable[LiveRow], ahead: Iterable[tuple[Place, int, MinuteParts]]) -> Rows:
    """The live rows over all partitions, without what records behind the cut had already added to them."""
    rows: Rows = defaultdict(Counter)
    positions: dict[tuple[Place, RowKey], int] = {}
    for row in live_rows:
        positions[row.place, row.key] = row.position
        for part, amount in row.amounts.items():
            rows[row.key][part] += amount
    for place, offset, parts in ahead:
        for key in keys_of(parts):
            if offset < positions.get((place, key), 0):
                for part, amount in amounts_in(parts):
                    rows[key][part] -= amount
    return not_empty(rows)
