"""Cohorts: who is looked at together. All cells of the named rollups, and the margins of each.

country × device gives every country, every device and every pair; CDN × app version × country their cells, pairs and
singles; then titles, and everything together. Nothing beyond that is known live (`schemas/quality.py` says why).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

from schemas.quality import DIMENSIONS, ROLLUPS
from streams.alerts.minutes import Cells, MinuteRows

Cohort = tuple[tuple[str, str | None], ...]
"""Dimension and value (None: unknown), in the order of DIMENSIONS; () is everything."""
EVERYTHING: Cohort = ()


def _margins() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each set of dimensions once, with the first rollup that has it."""
    seen: set[tuple[str, ...]] = set()
    for rollup, kept in ROLLUPS.items():
        for size in range(len(kept), -1, -1):
            for names in combinations(kept, size):
                ordered = tuple(name for name in DIMENSIONS if name in names)
                if ordered not in seen and (ordered or rollup == "total"):
                    seen.add(ordered)
                    yield rollup, ordered


_OF_ROLLUP: dict[str, list[tuple[tuple[str, int], ...]]] = {}
for _rollup, _names in _margins():
    _places = tuple((name, 1 + DIMENSIONS.index(name)) for name in _names)
    _OF_ROLLUP.setdefault(_rollup, []).append(_places)


def cohorts(minute: MinuteRows) -> dict[Cohort, Cells]:
    """What every cohort adds up to in a minute."""
    found: dict[Cohort, Cells] = {}
    for labels, cells in minute.rows.items():
        for places in _OF_ROLLUP.get(str(labels[0]), ()):
            cohort = tuple((name, labels[place]) for name, place in places)
            found[cohort] = found[cohort] + cells if cohort in found else cells
    return found


def dimensions(cohort: Cohort) -> tuple[str, ...]:
    """Which dimensions it is told by."""
    return tuple(name for name, _ in cohort)


def contains(broad: Cohort, narrow: Cohort) -> bool:
    """Whether all of the narrow one's viewers are the broad one's."""
    return set(broad) <= set(narrow)


def overlap(one: Cohort, other: Cohort) -> Cohort | None:
    """The cohort of those who are in both; None: nobody can be."""
    both = dict(one) | dict(other)
    if any(both[name] != value for name, value in one):
        return None
    return make(both.items())


def make(pairs: Iterable[tuple[str, str | None]]) -> Cohort:
    """Pairs in their order."""
    return tuple(sorted(pairs, key=lambda pair: DIMENSIONS.index(pair[0])))


def text(cohort: Cohort) -> str:
    """`country=BR cdn=north`, for logs and people."""
    return " ".join(f"{name}={'unknown' if value is None else value}" for name, value in cohort) or "everything"
