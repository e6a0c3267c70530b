"""How the player chooses renditions: DYNAMIC, the strategy of dash.js (Spiteri, Sitaraman, Sparacio: From Theory to
Practice, MMSys 2018).

With a low buffer the rate rule decides: the bandwidth, estimated as the lower of two moving averages of downloads
(one quick, one slow), times a safety factor. With 10 s or more in the buffer BOLA does (Spiteri, Urgaonkar, Sitaraman:
BOLA, INFOCOM 2016, as BOLA-O): the rendition with the best (V × (utility + gamma p) − buffer) / size, and no step up
that the line can't sustain.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache

from streams.intake.simulation.ladder import Rendition

FAST_S, SLOW_S = 3.0, 8.0
"""Half-lives of the two averages, seconds of downloading."""
LN_2 = math.log(2)
TO_BOLA_MS = 10_000
GAMMA_P = 5.0
"""BOLA's wish to avoid stalls, beside utilities that are logarithms of size."""


@cache
def _bola(kbps: tuple[int, ...], most_ms: float) -> list[float]:
    """From which buffer on, ms, BOLA prefers each rendition to the one before: where the two score alike."""
    utilities = [math.log(one / kbps[0]) + GAMMA_P for one in kbps]
    # V is such that a full buffer takes the highest rendition.
    v = most_ms / utilities[-1]
    return [
        v * (utilities[at] * kbps[at + 1] - utilities[at + 1] * kbps[at]) / (kbps[at + 1] - kbps[at])
        for at in range(len(kbps) - 1)
    ]


class Dynamic:
    """`steps` from the lowest; `safety` of the estimate is used; `expected_kbps` is what the player believes at first,
    from sessions before."""

    def __init__(self, steps: Sequence[Rendition], safety: float, expected_kbps: float) -> None:
        self._steps, self._safety = steps, safety
        self._kbps = tuple(step.kbps for step in steps)
        # Sums of both averages and their weights, which correct for a beginning at nothing.
        self._fast = self._slow = self._fast_weight = self._slow_weight = 0.0
        self._estimate = expected_kbps
        self._average(1.0, expected_kbps)
        self._is_bola = False
        # Players begin low: the first segment has to be quick.
        self._place = min(3, self._by_rate(expected_kbps * 0.35))
        self.first = steps[self._place]

    def measured(self, kilobits: float, took_ms: int) -> None:
        """A download was finished."""
        self._average(took_ms / 1000, kilobits * 1000 / took_ms)

    def _average(self, seconds: float, kbps: float) -> None:
        """A download weighs by how long it took."""
        fast, slow = math.exp(-LN_2 * seconds / FAST_S), math.exp(-LN_2 * seconds / SLOW_S)
        self._fast += (1 - fast) * (kbps - self._fast)
        self._slow += (1 - slow) * (kbps - self._slow)
        self._fast_weight += (1 - fast) * (1 - self._fast_weight)
        self._slow_weight += (1 - slow) * (1 - self._slow_weight)
        self._estimate = min(self._fast / self._fast_weight, self._slow / self._slow_weight)

    def choose(self, buffered_ms: float, most_ms: float) -> Rendition:
        """The rendition of the next segment, with so much in the buffer, of at most `most_ms`."""
        estimate = self._estimate
        chosen = by_rate = self._by_rate(self._safety * estimate)
        # A buffer that never holds 10 s (live) leaves it to the rate.
        if most_ms > TO_BOLA_MS:
            by_buffer = bisect_right(_bola(self._kbps, most_ms), buffered_ms)
            is_full = buffered_ms >= TO_BOLA_MS
            is_above = by_buffer >= by_rate
            self._is_bola = (is_full or is_above) if self._is_bola else (is_full and is_above)
            if self._is_bola:
                chosen = by_buffer
                if by_buffer > self._place:
                    # BOLA-O: a step up that the line can't sustain would be taken back soon.
                    chosen = max(self._place, min(by_buffer, self._by_rate(estimate)))
        self._place = chosen
        return self._steps[chosen]

    def _by_rate(self, kbps: float) -> int:
        return max(0, bisect_right(self._kbps, kbps) - 1)
