"""Token buckets: how fast events may come, for each of many names, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_BUCKETS = 100_000
BURST_S = 10.0
"""A bucket holds what comes in at its rate in that time."""


class Buckets:
    """A bucket a name. One that nobody has asked about for longest is forgotten, which is in its favour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        """Name → tokens at a time."""

    def wait_s(self, name: str, rate: float) -> float:
        """Seconds until the name may send; 0: now. `rate` is tokens a second, 0 without a limit."""
        if not rate:
            return 0.0
        tokens = self._tokens(name, rate)
        return 0.0 if tokens > 0 else (1 - tokens) / rate

    def charge(self, name: str, rate: float, tokens: int) -> None:
        """What was sent. A batch may overdraw the bucket: it is known to be large only when it is there."""
        if not rate:
            return
        left = self._tokens(name, rate) - tokens
        self._buckets.pop(name, None)
        self._buckets[name] = (left, self._clock())
        if len(self._buckets) > MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]

    def _tokens(self, name: str, rate: float) -> float:
        now = self._clock()
        tokens, at = self._buckets.get(name, (rate * BURST_S, now))
        return min(rate * BURST_S, tokens + (now - at) * rate)
