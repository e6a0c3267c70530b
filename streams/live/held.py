"""The events of one partition that wait for an earlier one of their session (`schemas/reorder.py`), compiled.

A pool of places with two chains: of a session, by number; of all, in the order of arrival, in which they are given up
too, since the received clock never goes back. A session without a gap has nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from infra.compiled import compiled, inlined
from schemas.reorder import REORDER_MS
from streams.live import sessions
from streams.live.events import LIVE_EVENT

FIRST_PLACES = 64

OLDEST: Final = 0
NEWEST: Final = 1
FREE: Final = 2
"""The first free place; the others are behind it, by `later`."""


class Pool(NamedTuple):
    """What the compiled code works on. Of links -1: none."""

    events: npt.NDArray[Any]
    """LIVE_EVENT."""
    rows: npt.NDArray[np.int32]
    """The session of each place, -1 for a free one."""
    behind: npt.NDArray[np.int32]
    """The session's next."""
    earlier: npt.NDArray[np.int32]
    later: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]


class Held:
    """What waits in one partition; grows as it comes."""

    def __init__(self, places: int = FIRST_PLACES) -> None:
        self.pool = _room_for(places)

    def __len__(self) -> int:
        return len(self._used())

    def _used(self) -> npt.NDArray[np.intp]:
        """Places that hold an event, in the order of arrival."""
        used = np.flatnonzero(self.pool.rows >= 0)
        return used[np.argsort(self.pool.events["offset"][used])]

    def all(self) -> npt.NDArray[Any]:
        """What waits, in the order of arrival."""
        return self.pool.events[self._used()]

    def of(self, bucket: int) -> npt.NDArray[Any]:
        """The same of one bucket."""
        events = self.all()
        return events[events["bucket"] == bucket]  # type: ignore[no-any-return]

    def names(self) -> npt.NDArray[np.int32]:
        """Codes of the names of all places, those of free ones too, as a view."""
        return self.pool.events["names"]

    def add(self, stored: Iterable[npt.NDArray[Any]], table: sessions.Table) -> None:
        """Take over stored events, whose sessions are there: of all buckets at once, for the order of arrival."""
        events = np.concatenate([np.empty(0, LIVE_EVENT), *stored])
        while len(self.pool.events) < len(events):
            self.grow()
        _put_all(self.pool, table, events[np.argsort(events["offset"])])

    def grow(self) -> None:
        """Make room."""
        old, size = self.pool, len(self.pool.events)
        new = _room_for(2 * size)
        for name in ("events", "rows", "behind", "earlier", "later"):
            getattr(new, name)[:size] = getattr(old, name)
        new.ends[:] = old.ends[OLDEST], old.ends[NEWEST], size
        new.later[-1] = old.ends[FREE]
        self.pool = new


def _room_for(places: int) -> Pool:
    rows, behind, earlier = np.full((3, places), -1, np.int32)
    later = np.arange(1, places + 1, dtype=np.int32)
    later[-1] = -1
    return Pool(np.zeros(places, LIVE_EVENT), rows, behind, earlier, later, np.array([-1, -1, 0], np.int32))


@inlined
def has_room(pool: Pool) -> bool:
    """Whether one more fits."""
    return bool(pool.ends[FREE] >= 0)


@inlined
def is_due(pool: Pool, clock_ms: int) -> bool:
    """Whether the one that has waited longest waits no longer when the received clock is there."""
    oldest = pool.ends[OLDEST]
    return bool(oldest >= 0 and pool.events[oldest].held_ms + REORDER_MS <= clock_ms)


@inlined
def _link(pool: Pool, earlier: int, later: int) -> None:
    """Let two places follow each other in the order of arrival; -1 is either end."""
    if earlier < 0:
        pool.ends[OLDEST] = later
    else:
        pool.later[earlier] = later
    if later < 0:
        pool.ends[NEWEST] = earlier
    else:
        pool.earlier[later] = earlier


@compiled
def put(pool: Pool, table: sessions.Table, row: int, event: Any, clock_ms: int) -> int:
    """Let an event of the session in a row wait; how many of that session do now. There must be room."""
    place = pool.ends[FREE]
    pool.ends[FREE] = pool.later[place]
    pool.events[place] = event
    pool.events[place].held_ms = clock_ms
    pool.rows[place] = row
    # In a replay events come that are older than loaded ones.
    earlier, later = pool.ends[NEWEST], -1
    while earlier >= 0 and pool.events[earlier].offset > event.offset:
        earlier, later = pool.earlier[earlier], earlier
    pool.earlier[place], pool.later[place] = earlier, later
    _link(pool, earlier, place)
    _link(pool, place, later)
    count, before, at = 1, -1, table.waiting[row]
    while at >= 0:
        if pool.events[at].seq <= event.seq:
            before = at
        count += 1
        at = pool.behind[at]
    if before < 0:
        pool.behind[place] = table.waiting[row]
        table.waiting[row] = place
    else:
        pool.behind[place] = pool.behind[before]
        pool.behind[before] = place
    return count


@compiled
def take(pool: Pool, table: sessions.Table, row: int) -> int:
    """Take out the first of the session in a row; its place, which holds it until the next one is put."""
    place = table.waiting[row]
    table.waiting[row] = pool.behind[place]
    _link(pool, pool.earlier[place], pool.later[place])
    pool.rows[place] = -1
    pool.later[place] = pool.ends[FREE]
    pool.ends[FREE] = place
    return place  # type: ignore[no-any-return]


@compiled
def _put_all(pool: Pool, table: sessions.Table, events: Any) -> None:
    for k in range(len(events)):
        row = sessions.find(table, events[k].group_1, events[k].group_2)
        put(pool, table, row, events[k], events[k].held_ms)
