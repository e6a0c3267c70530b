"""Stretches of time that a page may ask about, and the steps that lines over them have."""

from __future__ import annotations

from infra.errors import QueryError

SHORTEST_S = 60
LONGEST_S = 31 * 86_400
FINENESS, MOST_STALE_MS = 3_600, 30_000
POINTS = 180
"""A line has about as many."""
_STEPS_S = (60, 300, 900, 3_600, 21_600, 86_400)


def check(length_s: int) -> None:
    """Raises QueryError (refused) for a stretch that is too short or too long."""
    if not SHORTEST_S <= length_s <= LONGEST_S:
        msg = f"expected a stretch of {SHORTEST_S} to {LONGEST_S} s, got {length_s} s"
        raise QueryError(msg, "refused")


def freshness(live_at: int, span_s: int) -> int:
    """A number that changes when an answer about the last `span_s`, as of `live_at` (ms), is to be made again.

    That is when a FINENESS-th of the stretch has gone by: an hour's with every second, longer ones more seldom.
    """
    return live_at // min(MOST_STALE_MS, max(1, span_s * 1000 // FINENESS))


def step_s(length_s: float) -> int:
    """The shortest step of which a stretch has no more than POINTS."""
    return next((step for step in _STEPS_S if length_s / step <= POINTS), _STEPS_S[-1])


def first_step(start_s: int, step_s: int) -> int:
    """Where the first step begins that lies within a stretch as a whole."""
    return -(-start_s // step_s) * step_s
