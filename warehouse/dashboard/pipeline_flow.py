"""Kafka's side of the page Pipeline: how far the sink and the stream workers are behind, and how fast all are."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from infra.errors import ProcessError
from infra.kafka_positions import SINK_GROUP, Place, Positions
from infra.settings import Settings
from schemas.registry import EVENT_TOPICS
from warehouse.dashboard.pipeline_shapes import Flow, PartitionFlow

OVER_S = 20.0
"""Speeds are told over about so long: the sink moves by flushes."""
AWAY_S = 10.0
"""How long a broker that did not answer is not asked again."""


class _At(NamedTuple):
    end: int
    sink: int | None
    worker: int | None


class FlowWatch:
    """Remembers the last readings. Not thread-safe."""

    def __init__(
        self, settings: Settings, positions: Positions | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._positions = positions or Positions(settings)
        self._clock = clock
        self._past: deque[tuple[float, dict[Place, _At]]] = deque()
        self._away: tuple[float, str] | None = None
        self._read_at: int | None = None

    def read(self, workers: Mapping[Place, int], now_ms: int) -> Flow:
        """As of now; the reading before with the problem, when no broker answers. `workers`: their next offsets."""
        now = self._clock()
        if self._away is None or now - self._away[0] > AWAY_S:
            try:
                self._take(workers, now)
                self._read_at, self._away = now_ms, None
            except ProcessError as error:
                self._away = (now, str(error))
        return self._flow()

    def close(self) -> None:
        """Let go of the connection."""
        self._positions.close()

    def _take(self, workers: Mapping[Place, int], now: float) -> None:
        ends = self._positions.ends(tuple(EVENT_TOPICS))
        sink = self._positions.committed(SINK_GROUP, tuple(ends))
        self._past.append((now, {place: _At(end, sink.get(place), workers.get(place)) for place, end in ends.items()}))
        while len(self._past) > 2 and now - self._past[1][0] >= OVER_S:
            self._past.popleft()

    def _flow(self) -> Flow:
        problem = self._away[1] if self._away else ""
        if not self._past:
            return Flow(read_at=None, over_ms=None, partitions=[], problem=problem)
        (first_s, first), (last_s, last) = self._past[0], self._past[-1]
        over_s = last_s - first_s
        return Flow(
            read_at=self._read_at,
            over_ms=round(over_s * 1000) if over_s else None,
            partitions=[_partition(place, at, first.get(place), over_s) for place, at in sorted(last.items())],
            problem=problem,
        )


def _partition(place: Place, at: _At, before: _At | None, over_s: float) -> PartitionFlow:
    def speed(now: int | None, then: int | None) -> float | None:
        if now is None or then is None or not over_s or now < then:  # less than before: the topic was made anew
            return None
        return (now - then) / over_s

    # A reader that has not said a word of an empty partition has nothing to say.
    said = 0 if at.end == 0 else None
    then = before or _At(at.end, None, None)
    return PartitionFlow(
        topic=place[0],
        partition=place[1],
        end=at.end,
        sink_lag=said if at.sink is None else max(0, at.end - at.sink),
        worker_lag=None if at.worker is None else max(0, at.end - at.worker),
        in_per_s=speed(at.end, then.end) if before else None,
        sink_per_s=speed(at.sink, then.sink),
        worker_per_s=speed(at.worker, then.worker),
    )
