"""The last hour by second, of everything: viewers, and the parts of every quality metric as they came in.

Made of what each partition's worker says of itself several times a second (`schemas/standing.py`): how many watch, up
to which offset it has come, and what all parts add up to there since the topic's beginning. What two such sums differ
by came in between them. So over any stretch the seconds add up to the sums' difference, whatever was said twice, said
again after a restart, or not said at all.

A part belongs to the second in which the broker received its event, not (as in minutes) to the time it happened. Where
a worker had fallen behind, its seconds fill while it catches up; within one step of it they are spread evenly.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.quality import PARTS
from schemas.standing import Standing

KEPT_S = 3_600
CARRIED_S = 5
"""So long does the number of viewers stand for the next seconds; a worker that is silent for longer leaves a gap."""
UNKNOWN = -1

Place = tuple[str, int]
"""Source topic and partition."""
Cells = npt.NDArray[np.int64]


class Seconds:
    """A ring of KEPT_S seconds. Not thread-safe."""

    def __init__(self) -> None:
        self._parts = np.zeros((KEPT_S, len(PARTS)), np.int64)
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
        self._watch(place, said, known)
        if known is None:
            self._counted[place] = said
            if said.applied:
                self._whole_from = max(self._whole_from, said.clock // 1000 + 1)
        elif said.position < known.position:
            if said.clock <= known.clock:
                return  # a worker that begins again where its state was durable has nothing new until it is here again
            # Later records at lower offsets: the topic was made anew.
            self._count(place)
            self._counted[place] = msgspec.structs.replace(known, position=0, parts={})
        elif said.clock // 1000 > known.clock // 1000:
            self._count(place)
        if said.position > self._counted[place].position:
            self._came_from.setdefault(place, max(said.since, self._counted[place].clock))
        self._said[place] = said

    @property
    def whole_to(self) -> int:
        """The second (of epoch) before which every partition's worker has spoken."""
        return min((said.at for said in self._said.values()), default=0) // 1000

    def table(self) -> pa.Table:
        """The whole seconds, oldest first: the columns of live.quality_second."""
        for place in self._said:
            self._count(place)
        first = max(self._whole_from, self._newest - KEPT_S + 1)
        seconds = np.arange(first, max(first, self.whole_to), dtype=np.int64)
        slots = seconds % KEPT_S
        watching = np.array([ring[slots] for ring in self._watching.values()]).reshape(len(self._watching), len(slots))
        parts = self._parts[slots]
        columns = [
            pa.array(seconds * 1_000_000).cast(pa.timestamp("us", tz="UTC")),
            pa.array(watching.sum(axis=0), mask=(watching == UNKNOWN).any(axis=0)),
            *(pa.array(parts[:, place].copy()) for place in range(len(PARTS))),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)

    def _watch(self, place: Place, said: Standing, known: Standing | None) -> None:
        """Enter the number of viewers, also for the seconds in which nothing was said since."""
        second = said.at // 1000
        since = second - known.at // 1000 if known else 0
        if known and not since and said.concurrent == known.concurrent:
            return
        self._reach(max(second, said.clock // 1000))
        ring = self._watching.setdefault(place, np.full(KEPT_S, UNKNOWN, np.int64))
        if known and 1 < since <= CARRIED_S:
            ring[np.arange(second - since + 1, second) % KEPT_S] = known.concurrent
        if second > self._newest - KEPT_S:
            ring[second % KEPT_S] = said.concurrent

    def _reach(self, second: int) -> None:
        """Make room for a second; those that fall out are forgotten."""
        if not self._newest:
            self._newest = self._whole_from = second
        if (ahead := second - self._newest) > 0:
            slots = np.arange(second - min(ahead, KEPT_S) + 1, second + 1) % KEPT_S
            self._parts[slots] = 0
            for ring in self._watching.values():
                ring[slots] = UNKNOWN
            self._newest = second

    def _count(self, place: Place) -> None:
        """Add what came since a partition was counted last, to the seconds it came in."""
        before, said = self._counted[place], self._said[place]
        start_ms, end_ms = self._came_from.pop(place, said.clock), said.clock
        came = np.array([said.parts.get(part, 0) - before.parts.get(part, 0) for part in PARTS], np.int64)
        self._counted[place] = said
        if not came.any():
            return
        self._reach(end_ms // 1000)
        start_ms = min(start_ms, end_ms) or end_ms
        first = max(start_ms // 1000, self._newest - KEPT_S + 1)
        edges_ms = np.arange(first, end_ms // 1000 + 2) * 1000
        if len(edges_ms) < 2:
            return  # it came before the ring begins
        shares = (edges_ms.clip(start_ms, end_ms) - start_ms) / max(1, end_ms - start_ms)
        until = np.floor(shares[:, None] * came + 1e-6).astype(np.int64)
        until[-1] = came
        self._parts[edges_ms[:-1] // 1000 % KEPT_S] += np.diff(until, axis=0)


SCHEMA = pa.schema(
    [("second", pa.timestamp("us", tz="UTC")), ("concurrent", pa.int64())] + [(part, pa.int64()) for part in PARTS]
)
