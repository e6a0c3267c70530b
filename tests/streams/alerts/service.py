"""A made-up service in minute rollups: viewers by country, device, CDN, app and title, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product

import numpy as np

from schemas.quality import DIMENSIONS, PART, PARTS, ROLLUPS
from streams.alerts.minutes import WIDTH, Labels, MinuteRows

START_S = 1_760_000_040
COUNTRIES = {"US": 400, "BR": 200, "JP": 100}
NAMES = ("country", "device_type", "cdn", "app_version", "content_id")
WHO = [
    dict(zip(NAMES, values, strict=True))
    for values in product(COUNTRIES, ("tv", "web"), ("north", "east"), ("1.0", "1.1"), ("film", "match"))
]
VIEWERS = np.array([COUNTRIES[who["country"]] / 16 for who in WHO])

Bad = Callable[[int, dict[str, str]], float]
"""(minute, dimensions) → how many times as many stalls and failures as usual."""


def fine(_minute: int, _who: dict[str, str]) -> float:
    return 1.0


@lru_cache(8)
def service(minutes: int, bad: Bad = fine, seed: int = 1) -> tuple[MinuteRows, ...]:
    """One minute after the other. Failures are Poisson, stalls come in bursts of eight seconds on average."""
    rng = np.random.default_rng(seed)
    return tuple(_minute(rng, minute, bad) for minute in range(minutes))


def _minute(rng: np.random.Generator, minute: int, bad: Bad) -> MinuteRows:
    times = np.array([bad(minute, who) for who in WHO])
    cells = np.zeros((len(WHO), WIDTH), np.int64)
    viewers = cells[:, PART["active_sessions"]] = rng.poisson(VIEWERS)
    plays = cells[:, PART["plays"]] = rng.poisson(viewers * 0.1)
    watched = cells[:, PART["watched_ms"]] = viewers * 60_000
    bursts = rng.poisson(viewers * 0.01 * times)
    cells[:, PART["stall_ms"]] = np.minimum(watched, rng.gamma(np.maximum(bursts, 1e-9), 8_000))
    failures = cells[:, PART["start_failures"]] = np.minimum(plays, rng.poisson(plays * 0.01 * times))
    for place, starts in enumerate(plays - failures):
        startups_ms = rng.lognormal(7.2, 0.6, starts)
        cells[place, PART["startup_ms"]] = startups_ms.sum()
        np.add.at(cells[place], len(PARTS) + (4 * np.log2(startups_ms)).astype(int), 1)
    rows: dict[Labels, np.ndarray] = {}
    for who, mine in zip(WHO, cells, strict=True):
        for rollup, kept in ROLLUPS.items():
            labels = (rollup, *(who[name] if name in kept else None for name in DIMENSIONS))
            rows[labels] = rows.get(labels, 0) + mine
    return MinuteRows(START_S + 60 * minute, rows)
