"""The line between a CDN and a player: bandwidth that changes by itself, fitted to recorded lines.

A session has a base rate, lognormal around its connection's median. Around that the line moves through conditions, and
remembers its last value within each (`fitting.py` describes the model and fits it; docs/simulator.md says to which
recordings, and how well). A download takes as long as the bandwidth over its time allows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

STEP_S = 4.0
"""How long a line keeps its bandwidth."""
MAX_KBPS = 150_000.0
MIN_KBPS = 10.0
OTHERS = ((1, 2), (0, 2), (0, 1))
MOST_STEPS = 15
"""After a minute without a download a line has forgotten most of what it was like."""


Limit = Callable[[float, float], float]
"""(Unix ms, kbit/s that a line would give) → what it gives."""


def unlimited(_at_ms: float, kbps: float) -> float:
    """Nothing is wrong beyond the line."""
    return kbps


class Line(Protocol):
    """What a player downloads over."""

    rtt_ms: float

    @property
    def usual_kbps(self) -> float:
        """What the line gives when nothing is wrong."""

    def download_ms(self, at_ms: int, kilobits: float) -> int:
        """How long a download of this size takes when it begins at `at_ms`."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a line behaves for a while: the level it is drawn to (share of its median), how much it remembers of its last
    value, its spread (of the logarithm, each step), seconds on average, and what follows: the chance of the first of
    the two others."""

    level: float
    memory: float
    spread: float
    seconds: float
    first_follows: float
    pull: float = field(init=False)
    """What the level adds to the logarithm at each step."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pull", (1 - self.memory) * math.log(self.level))


@dataclass(frozen=True, slots=True)
class Link:
    """A kind of connection: median bandwidth, how much sessions differ (sigma of the logarithm), round trip, and the
    conditions it goes through."""

    kbps: float
    between: float
    rtt_ms: float
    conditions: tuple[Condition, Condition, Condition]


# Fitted; see docs/simulator.md.
_FIXED = (
    Condition(1.049, 0.97, 0.05, 42, 0.703),
    Condition(1.002, 0.91, 0.23, 29, 0.479),
    Condition(0.649, 0.41, 0.67, 13, 0.250),
)
_WIFI = (
    Condition(1.038, 0.35, 0.11, 49, 0.759),
    Condition(0.913, 0.22, 0.33, 36, 0.651),
    Condition(0.729, 0.19, 1.10, 23, 0.000),
)
_4G = (
    Condition(1.008, 0.56, 0.22, 166, 0.401),
    Condition(1.055, 0.22, 0.42, 97, 0.135),
    Condition(0.653, 0.10, 0.85, 38, 0.143),
)
_3G = (
    Condition(1.188, 0.91, 0.12, 25, 0.000),
    Condition(1.373, 0.46, 0.24, 7, 0.556),
    Condition(0.424, 0.85, 0.25, 17, 0.003),
)
CONNECTIONS = {
    "ethernet": Link(kbps=70_000, between=0.52, rtt_ms=14, conditions=_FIXED),
    "wifi": Link(kbps=23_158, between=1.05, rtt_ms=24, conditions=_WIFI),
    "5g": Link(kbps=45_000, between=0.72, rtt_ms=30, conditions=_4G),
    "4g": Link(kbps=7_392, between=0.72, rtt_ms=55, conditions=_4G),
    "3g": Link(kbps=1_040, between=0.44, rtt_ms=120, conditions=_3G),
}
"""Chosen: the medians of ethernet and 5G, and all round trips. The rest is fitted, 5G's behaviour to 4G."""


class Network:
    """One session's line. Time must not go back between downloads."""

    def __init__(self, rng: random.Random, link: Link, factor: float = 1.0, limit: Limit = unlimited) -> None:
        self._rng = rng
        self._limit = limit
        self._conditions = link.conditions
        self._base = min(MAX_KBPS, link.kbps * factor * rng.lognormvariate(0, link.between))
        self.rtt_ms = link.rtt_ms * rng.lognormvariate(0, 0.4)
        self._place = rng.choices((0, 1, 2), [one.seconds for one in link.conditions])[0]
        self._log = math.log(link.conditions[self._place].level)
        self._kbps = self._base
        self._until_ms: float | None = None

    @property
    def usual_kbps(self) -> float:
        return self._base

    def download_ms(self, at_ms: int, kilobits: float) -> int:
        done = at_ms + self.rtt_ms
        while True:
            if self._until_ms is None or done >= self._until_ms:
                self._until_ms = self._change(done)
            # kbit/s is bit/ms: a thousandth of a kilobit each ms.
            kbps = self._limit(done, self._kbps)
            fits = (self._until_ms - done) * kbps / 1000
            if kilobits <= fits:
                return max(1, round(done + kilobits * 1000 / kbps - at_ms))
            kilobits -= fits
            done = self._until_ms

    def _change(self, at_ms: float) -> float:
        """Go on to the step that `at_ms` is in; returns its end."""
        rng = self._rng
        behind = 0.0 if self._until_ms is None else (at_ms - self._until_ms) / (STEP_S * 1000)
        for _ in range(min(MOST_STEPS, int(behind) + 1)):
            now = self._conditions[self._place]
            if rng.random() * now.seconds < STEP_S:
                first, second = OTHERS[self._place]
                self._place = first if rng.random() < now.first_follows else second
                now = self._conditions[self._place]
            self._log = now.memory * self._log + now.pull + now.spread * rng.gauss(0, 1)
        self._kbps = min(MAX_KBPS, max(MIN_KBPS, self._base * math.exp(self._log)))
        return at_ms + STEP_S * 1000 * (1 - behind % 1)
