"""How often a key may ask: requests a minute (the moving window of the library `limits`) and queries at once."""

from __future__ import annotations

import math
import time
from collections import Counter

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from infra.errors import RequestRefused


class Pace:
    """Counts of every key since the server started. To be used from one thread."""

    def __init__(self) -> None:
        self._window = MovingWindowRateLimiter(MemoryStorage())
        self._open: Counter[str] = Counter()

    def take(self, who: str, per_minute: int, at_once: int) -> None:
        """Count one query as begun; `leave` ends it. 0: no limit. Raises RequestRefused: too_fast, too_many."""
        if at_once and self._open[who] >= at_once:
            msg = f"{at_once} queries of this key are running already; wait for one, or cancel it"
            raise RequestRefused(reason="too_many", detail=msg, retry_after_s=1.0)
        if per_minute:
            limit = RateLimitItemPerMinute(per_minute)
            if not self._window.hit(limit, who):
                wait_s = max(1, math.ceil(self._window.get_window_stats(limit, who).reset_time - time.time()))
                msg = f"this key may ask {per_minute} queries a minute; again in {wait_s} s"
                raise RequestRefused(reason="too_fast", detail=msg, retry_after_s=wait_s)
        self._open[who] += 1

    def leave(self, who: str) -> None:
        """One of its queries has ended."""
        self._open[who] -= 1
        if not self._open[who]:
            del self._open[who]
