"""What waits between the fetch thread and the event loop, for one assignment.

An assignment has a backlog of its own, so what was fetched for an earlier one is unreachable, not filtered. Records
wait in two stages: *raw* messages, which grow while the agent is busy, and at most one *ready* batch a partition, cut
from them when the one before was taken. That is what makes batches small when there is time and large when there is
none: whatever came while the agent worked is one batch.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from infra.errors import ProcessError
from streams.transport.batch import Batch


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a batch, and of all that is fetched ahead of the agent (raw and ready). Bytes count values only.

    A record that is larger than `batch_bytes` is a batch by itself.
    """

    batch_records: int = 20_000
    batch_bytes: int = 8_000_000
    ahead_records: int = 60_000
    ahead_bytes: int = 32_000_000


@dataclass(frozen=True, slots=True)
class Cut:
    """Raw records that become a batch."""

    partition: int
    start: int | None
    end: int
    messages: list[Any]
    size: int


@dataclass(slots=True)
class _Lane:
    """One partition."""

    start: int | None
    """Where the next batch starts."""
    end: int | None
    """Where fetching goes on."""
    raw: deque[tuple[list[Any], int, int]] = field(default_factory=deque)
    """Messages, size in bytes, end offset."""
    ready: tuple[Batch, int] | None = None

    @property
    def is_due(self) -> bool:
        return self.ready is None and self.end != self.start


class Backlog:
    """Filled by the fetch thread (`add`, `reach`, `cut`, `offer`), emptied by the event loop (`take`)."""

    def __init__(self, starts: Mapping[int, int | None], limits: Limits) -> None:
        self._limits = limits
        self._lanes = {partition: _Lane(at, at) for partition, at in starts.items()}
        self._ready: dict[int, None] = {}
        self._records = 0
        self._bytes = 0
        self._lock = threading.Lock()
        self.paused: frozenset[int] = frozenset()
        self.failure: Exception | None = None

    # The fetch thread's side.

    def positions(self) -> dict[int, int | None]:
        """Where fetching goes on, of each partition that is not paused."""
        with self._lock:
            return {partition: lane.end for partition, lane in self._lanes.items() if partition not in self.paused}

    def room(self) -> int:
        """How many more records may be fetched; 0 when records or bytes have reached their bound."""
        with self._lock:
            if self._bytes >= self._limits.ahead_bytes:
                return 0
            return max(0, self._limits.ahead_records - self._records)

    def has_raw(self) -> bool:
        """Whether records wait behind a ready batch."""
        with self._lock:
            return any(lane.raw for lane in self._lanes.values())

    def add(self, partition: int, messages: list[Any]) -> None:
        """Records that came, in order. Raises ProcessError when they are not after those before."""
        size, first, end = sum(map(len, messages)), messages[0].offset(), messages[-1].offset() + 1
        with self._lock:
            lane = self._lanes[partition]
            if first < (lane.end or 0):
                msg = f"partition {partition}: a record from offset {first} came, {lane.end} or later was expected"
                raise ProcessError(msg)
            lane.raw.append((messages, size, end))
            lane.end = end
            self._records += len(messages)
            self._bytes += size

    def reach(self, partition: int, end: int) -> None:
        """The partition is read up to `end`: there may be control records between its last record and there."""
        with self._lock:
            lane = self._lanes[partition]
            if end > (lane.end or 0):
                lane.end = end

    def cut(self) -> Cut | None:
        """The next batch to prepare, of a partition that has none ready; None when no partition needs one."""
        with self._lock:
            for partition, lane in self._lanes.items():
                if lane.is_due and partition not in self.paused:
                    return self._cut(partition, lane)
            return None

    def _cut(self, partition: int, lane: _Lane) -> Cut:
        messages: list[Any] = []
        size = 0
        start, end = lane.start, lane.end or 0
        while lane.raw:
            more, more_size, more_end = lane.raw[0]
            if len(messages) + len(more) > self._limits.batch_records or size + more_size > self._limits.batch_bytes:
                if not messages:
                    messages, size = self._split(lane)
                end = messages[-1].offset() + 1
                break
            lane.raw.popleft()
            messages = messages + more if messages else more
            size += more_size
            end = lane.end or 0 if not lane.raw else more_end
        lane.start = end
        return Cut(partition, start, end, messages, size)

    def _split(self, lane: _Lane) -> tuple[list[Any], int]:
        messages, size, end = lane.raw[0]
        sizes = list(accumulate(map(len, messages)))
        fits = min(self._limits.batch_records, bisect_right(sizes, self._limits.batch_bytes)) or 1
        if fits == len(messages):
            lane.raw.popleft()
        else:
            lane.raw[0] = messages[fits:], size - sizes[fits - 1], end
        return messages[:fits], sizes[fits - 1]

    def offer(self, batch: Batch, size: int) -> None:
        """The prepared batch of a cut of `size` bytes is ready to be taken."""
        with self._lock:
            self._lanes[batch.partition].ready = batch, size
            self._ready[batch.partition] = None

    def shed(self) -> None:
        """Forget what waits of paused partitions: they are fetched again, so that they hold no room from others."""
        with self._lock:
            for partition in self.paused:
                lane = self._lanes[partition]
                if lane.ready is not None:
                    (batch, size), lane.ready = lane.ready, None
                    del self._ready[partition]
                    lane.start = batch.start
                    self._release(batch.count, size)
                for messages, size, _ in lane.raw:
                    self._release(len(messages), size)
                lane.raw.clear()
                lane.end = lane.start

    # The event loop's side.

    def take(self, partitions: Collection[int]) -> Batch | None:
        """The batch of one of these partitions that has been ready for longest."""
        with self._lock:
            for partition in self._ready:
                lane = self._lanes[partition]
                if partition in partitions and partition not in self.paused and lane.ready is not None:
                    del self._ready[partition]
                    (batch, size), lane.ready = lane.ready, None
                    self._release(batch.count, size)
                    return batch
            return None

    def _release(self, records: int, size: int) -> None:
        self._records -= records
        self._bytes -= size
