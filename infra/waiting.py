"""Waiting for something that happens elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(
    what: str,
    is_true: Callable[[], object],
    limit_s: float,
    *,
    every_s: float = 0.1,
    seen: Callable[[], object] | None = None,
) -> float:
    """Ask every `every_s` until it is true; returns the seconds that took.

    Raises TimeoutError after `limit_s`, which says `what` was expected and what was `seen` instead.
    """
    began = time.monotonic()
    while not is_true():
        if time.monotonic() - began > limit_s:
            msg = f"expected within {limit_s:.0f} s: {what}" + (f"; seen: {seen()}" if seen else "")
            raise TimeoutError(msg)
        time.sleep(every_s)
    return time.monotonic() - began
