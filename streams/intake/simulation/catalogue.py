"""What can be watched: films, series, live channels (a few very popular, most hardly at all) and games."""

from __future__ import annotations

import itertools
import random
from bisect import bisect
from dataclasses import dataclass

GENRES = ("drama", "comedy", "thriller", "documentary", "animation", "action", "romance", "science-fiction", "reality")
ZIPF = 0.95
"""Exponent of the popularity's long tail."""
LIVE_SHARE = 0.1
"""Share of plays that are of a live channel."""
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Title:
    """One thing to watch. A live channel has no duration; an episode names the one after it."""

    content_id: str
    genre: str
    duration_ms: int | None
    following: str | None = None

    @property
    def is_live(self) -> bool:
        return self.duration_ms is None


class Catalogue:
    """Titles with a popularity each."""

    def __init__(self, seed: int, films: int = 600, series: int = 150, channels: int = 15, games: int = 12) -> None:
        rng = random.Random(f"catalogue/{seed}")
        lead_ins = [*(_film(rng, n) for n in range(1, films + 1))]
        self.titles: dict[str, Title] = {}
        for n in range(1, series + 1):
            episodes = _series(rng, n)
            self.titles.update((episode.content_id, episode) for episode in episodes)
            # A series is come back to in its middle as well; each of the first episodes competes for itself.
            lead_ins += episodes[:3]
        rng.shuffle(lead_ins)
        self._on_demand = lead_ins
        self._live = [Title(f"live-{n:02d}", "live", None) for n in range(1, channels + 1)]
        self.titles.update((title.content_id, title) for title in (*lead_ins, *self._live))
        self.games = [f"game-{n:02d}" for n in range(1, games + 1)]
        self._on_demand_weights = _zipf(len(self._on_demand))
        self._live_weights = _zipf(len(self._live))

    @property
    def match(self) -> Title:
        """The live channel with the match that many come for."""
        return self._live[0]

    def pick(self, rng: random.Random) -> Title:
        """A title as viewers choose: the popular ones most often."""
        if rng.random() < LIVE_SHARE:
            return self._live[bisect(self._live_weights, rng.random() * self._live_weights[-1])]
        return self._on_demand[bisect(self._on_demand_weights, rng.random() * self._on_demand_weights[-1])]

    def after(self, title: Title) -> Title | None:
        """The next episode."""
        return self.titles[title.following] if title.following else None


def _film(rng: random.Random, number: int) -> Title:
    minutes = min(200.0, max(60.0, rng.gauss(105, 20)))
    return Title(f"film-{number:04d}", rng.choice(GENRES), round(minutes * MINUTE_MS))


def _series(rng: random.Random, number: int) -> list[Title]:
    genre, length, count = rng.choice(GENRES), rng.choice((22, 28, 45, 52)), rng.randint(6, 24)
    names = [f"series-{number:03d}-e{episode:02d}" for episode in range(1, count + 1)]
    return [
        Title(name, genre, round((length + rng.uniform(-2, 2)) * MINUTE_MS), following)
        for name, following in itertools.zip_longest(names, names[1:])
    ]


def _zipf(count: int) -> list[float]:
    return list(itertools.accumulate(1 / rank**ZIPF for rank in range(1, count + 1)))
