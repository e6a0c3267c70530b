"""The line between a CDN and a player: bandwidth that changes by itself, as a Markov chain of conditions.

A session has a base rate, lognormal around its connection's median. The line is good, congested or poor for a while
each, and wobbles within; a download takes as long as the bandwidth over its time allows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

MAX_KBPS = 150_000.0
MIN_KBPS = 60.0


@dataclass(frozen=True, slots=True)
class Link:
    """A kind of connection: median bandwidth, how much sessions and moments differ (sigma of the logarithm), round trip
    and the chance that a good spell ends in a worse one."""

    kbps: float
    between: float
    within: float
    rtt_ms: float
    trouble: float


CONNECTIONS = {
    "ethernet": Link(kbps=70_000, between=0.6, within=0.10, rtt_ms=14, trouble=0.04),
    "wifi": Link(kbps=32_000, between=0.9, within=0.30, rtt_ms=24, trouble=0.18),
    "5g": Link(kbps=45_000, between=0.9, within=0.45, rtt_ms=30, trouble=0.25),
    "4g": Link(kbps=10_000, between=0.8, within=0.50, rtt_ms=55, trouble=0.40),
    "3g": Link(kbps=2_200, between=0.6, within=0.45, rtt_ms=120, trouble=0.45),
}

CONDITIONS: dict[str, tuple[float, float]] = {"good": (1.0, 60.0), "congested": (0.25, 15.0), "poor": (0.025, 8.0)}
"""Condition → its share of the base rate, and how long it lasts on average, seconds."""


class Network:
    """One session's line. Time must not go back between downloads."""

    def __init__(self, rng: random.Random, link: Link, factor: float = 1.0) -> None:
        self._rng = rng
        self._link = link
        self._base = min(MAX_KBPS, link.kbps * factor * rng.lognormvariate(0, link.between))
        self.rtt_ms = link.rtt_ms * rng.lognormvariate(0, 0.4)
        self._condition = "good"
        self._until_ms = -1.0
        self._kbps = self._base

    @property
    def base_kbps(self) -> float:
        """What the line gives when nothing is wrong."""
        return self._base

    def download_ms(self, at_ms: int, kilobits: float) -> int:
        """How long a download of this size takes when it begins at `at_ms`."""
        done = at_ms + self.rtt_ms
        while True:
            if done >= self._until_ms:
                self._change(done)
            # kbit/s is bit/ms: a thousandth of a kilobit each ms.
            fits = (self._until_ms - done) * self._kbps / 1000
            if kilobits <= fits:
                return max(1, round(done + kilobits * 1000 / self._kbps - at_ms))
            kilobits -= fits
            done = self._until_ms

    def _change(self, at_ms: float) -> None:
        rng = self._rng
        if self._condition == "good":
            if rng.random() < self._link.trouble:
                self._condition = "congested" if rng.random() < 0.7 else "poor"
        else:
            self._condition = "good" if rng.random() < 0.8 else "congested"
        share, seconds = CONDITIONS[self._condition]
        self._kbps = min(MAX_KBPS, max(MIN_KBPS, self._base * share * rng.lognormvariate(0, self._link.within)))
        self._until_ms = at_ms + max(500.0, rng.expovariate(1 / seconds) * 1000)
