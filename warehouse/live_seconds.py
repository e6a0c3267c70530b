"""The last hour by second, of everything: viewers, and the parts of every quality metric as they came in.

Made of what each partition's worker says of itself several times a second (`schemas/standing.py`): how many watch, up
to which offset it has come, and what all parts add up to there since the topic's beginning. What two such sums differ
by came in between them. So over any stretch the seconds add up to the sums' difference, whatever was said twice, said
again after a restart, or not said at all.

A part belongs to the second in which the broker received its event, not (as in minutes) to the time it happened. What
a worker takes in one step, and when it had fallen behind that may be much, is spread evenly over the step's seconds.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.quality import PARTS
from schemas.standing import Standing
from warehouse.attach import SECOND_COLUMNS

KEPT_S = 3_600
SLOTS = KEPT_S + 600
"""Seconds of which something is held: of partitions that are ahead of others more than is shown."""
CARRIED_S = 5
"""So long does the number of viewers stand for the next seconds; a worker that is silent for longer leaves a gap."""
SILENT_S = 60
"""A partition of which nothing was heard for so long is not waited for."""
UNKNOWN = -1

Place = tuple[str, int]
"""A topic and the number of its partition."""
Cells = npt.NDArray[np.int64]


class LastHour:
    """A ring of SLOTS seconds. Not thread-safe."""

    def __init__(self) -> None:
        self._parts = np.zeros((SLOTS, len(PARTS)), np.int64)
        self._watching: dict[Place, Cells] = {}
        self._said: dict[Place, Standing] = {}
        self._counted: dict[Place, Standing] = {}
        self._came_from: dict[Place, int] = {}
        """The broker's stamp, ms, of the first record that is not counted yet."""
        self._newest = 0
        """The last second of the ring; 0: nothing was said yet."""
        self._whole_from = 0
        """Of seconds before it, not every partition is known."""

    def take(self, place: Place, said: Standing) -> None:
        """Take in what a partition's worker said."""
        known = self._said.get(place)
        if known is None:
            self._watch(place, said, said)
            self._counted[place] = said
            if said.applied:
                self._whole_from = max(self._whole_from, said.clock // 1000 + 1)
        elif (said.clock, said.position, said.at) < (known.clock, known.position, known.at):
            # Read again, or of a worker that has begun where its state was durable: nothing new until it is here again.
            self._said[place] = msgspec.structs.replace(known, at=max(known.at, said.at), since=said.since)
            return
        else:
            self._watch(place, said, known)
            if said.position < known.position:  # later records at lower offsets: the topic was made anew
                self._count(place)
                self._counted[place] = msgspec.structs.replace(known, position=0, parts={})
            elif said.clock // 1000 > known.clock // 1000:
                self._count(place)
        if said.position > self._counted[place].position:
            self._came_from.setdefault(place, max(said.since, self._counted[place].clock))
        self._said[place] = said

    @property
    def whole_to(self) -> int:
        """The second (of epoch) before which every partition's worker has taken everything, as far as it says."""
        newest_ms = max((said.at for said in self._said.values()), default=0)
        told = (said for said in self._said.values() if said.at > newest_ms - 1000 * SILENT_S)
        # One that has just taken something may have more to take; one that has not, has come to the end.
        return min((said.clock if said.since else said.at for said in told), default=0) // 1000

    def table(self) -> pa.Table:
        """The whole seconds, oldest first: the columns of live.quality_second."""
        for place in self._said:
            self._count(place)
        to = self.whole_to
        seconds = np.arange(max(self._whole_from, to - KEPT_S), to, dtype=np.int64)
        slots = seconds % SLOTS
        heard = [ring[slots] for ring in self._watching.values() if (ring != UNKNOWN).any()]
        watching = np.array(heard, np.int64).reshape(len(heard), len(slots))
        parts = self._parts[slots]
        columns = {
            "second": pa.array(seconds * 1_000_000).cast(pa.timestamp("us", tz="UTC")),
            "concurrent": pa.array(watching.sum(axis=0), mask=(watching == UNKNOWN).any(axis=0)),
            **{part: pa.array(parts[:, place].copy()) for place, part in enumerate(PARTS)},
        }
        return pa.table(columns).select(list(SECOND_COLUMNS))

    def _watch(self, place: Place, said: Standing, known: Standing) -> None:
        """Enter the number of viewers, also for the seconds in which nothing was said since `known`."""
        second, since = said.at // 1000, said.at // 1000 - known.at // 1000
        if place in self._watching and not since and said.concurrent == known.concurrent:
            return
        self._reach(second)
        ring = self._watching.setdefault(place, np.full(SLOTS, UNKNOWN, np.int64))
        if 1 < since <= CARRIED_S:
            ring[np.arange(second - since + 1, second) % SLOTS] = known.concurrent
        if second > self._newest - SLOTS:
            ring[second % SLOTS] = said.concurrent

    def _reach(self, second: int) -> None:
        """Make room for a second; those that fall out are forgotten."""
        if not self._newest:
            self._newest = self._whole_from = second
        if (ahead := second - self._newest) > 0:
            slots = np.arange(second - min(ahead, SLOTS) + 1, second + 1) % SLOTS
            self._parts[slots] = 0
            for ring in self._watching.values():
                ring[slots] = UNKNOWN
            self._newest = second

    def _count(self, place: Place) -> None:
        """Add what came since a partition was counted last, to the seconds it came in."""
        before, said = self._counted[place], self._said[place]
        end_ms = said.clock
        start_ms = min(self._came_from.pop(place, end_ms), end_ms) or end_ms  # 0: its worker does not know since when
        came = np.array([said.parts.get(part, 0) - before.parts.get(part, 0) for part in PARTS], np.int64)
        self._counted[place] = said
        if not came.any() or (came < 0).any():
            return  # nothing, or state that was deleted and is being made anew: a new beginning
        self._reach(end_ms // 1000)
        first = max(start_ms // 1000, self._newest - SLOTS + 1)
        edges_ms = np.arange(first, end_ms // 1000 + 2) * 1000
        if len(edges_ms) < 2:
            return  # it came before the ring begins
        shares = (edges_ms.clip(start_ms, end_ms) - start_ms) / max(1, end_ms - start_ms)
        until = np.floor(shares[:, None] * came + 1e-6).astype(np.int64)  # a third of 30 is 10, not 9.999…
        until[-1] = came
        self._parts[edges_ms[:-1] // 1000 % SLOTS] += np.diff(until, axis=0)
