"""The catalogue's own system: it says what there is before anybody watches, and goes on changing a little."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schemas.events import catalog as wire
from schemas.fact import from_ms
from streams.intake.simulation.catalogue import GENRES, Catalogue, Title

LEAVING = 6
"""Films whose licence ends within the window. Nobody watches them any more."""
CHANGING = 0.01
"""Share of the titles that get another artwork within the window."""
DAY_MS = 86_400_000
FIRST_WORDS = ("Last", "Silent", "Golden", "Broken", "Distant", "Hidden", "Second", "Burning", "Empty", "Northern")
SECOND_WORDS = ("Island", "Detective", "Summer", "City", "Promise", "Garden", "Signal", "Harbour", "Winter", "Road")
LANGUAGES = {"en": 55, "es": 12, "ko": 8, "de": 7, "fr": 7, "hi": 6, "ja": 5}
RATINGS = ("0+", "6+", "12+", "16+", "18+")


@dataclass(frozen=True)
class Publishing:
    """The catalogue that `seed` makes, as it is announced at `start_ms` and changes until `end_ms`."""

    seed: int
    start_ms: int
    end_ms: int

    def events(self) -> Iterator[tuple[int, wire.CatalogEvent]]:
        """All titles first, then what changes, in order of time."""
        catalogue = Catalogue(self.seed)
        leaving = {
            f"film-{number}": Title(f"film-{number}", "drama", 6_000_000) for number in range(9001, 9001 + LEAVING)
        }
        listed = map(_described, (*catalogue.titles.values(), *leaving.values()))
        later: list[tuple[int, wire.CatalogEvent]] = []
        for content_id, told in (*listed, *_unplayed(catalogue)):
            rng = random.Random(f"published/{self.seed}/{content_id}")
            state = {"title": _name(content_id), "artwork_id": f"{content_id}-a", **self._details(rng), **told}
            yield self.start_ms, self._event(wire.TitleUpsert, self.start_ms, content_id, **state)
            at_ms = random.Random(f"changes/{content_id}/{self.start_ms}").randrange(self.start_ms, self.end_ms)
            if content_id in leaving:
                later.append((at_ms, self._event(wire.TitleRetraction, at_ms, content_id, reason="licence_ended")))
            elif rng.random() < CHANGING:
                state["artwork_id"] = f"{content_id}-b"
                later.append((at_ms, self._event(wire.TitleUpsert, at_ms, content_id, **state)))
        yield from sorted(later, key=lambda one: one[0])

    def _details(self, rng: random.Random) -> dict[str, Any]:
        from_day = self.start_ms // DAY_MS * DAY_MS - rng.randint(1, 900) * DAY_MS
        return {
            "genres": [rng.choice(GENRES)],
            "original_language": rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0],
            "release_year": rng.randint(1985, 2025),
            "maturity_rating": rng.choice(RATINGS),
            "available_from": from_ms(from_day),
            "available_until": from_ms(from_day + 1_000 * DAY_MS) if rng.random() < 0.2 else None,
        }

    def _event(self, what: type[wire.CatalogEvent], at_ms: int, content_id: str, **fields: Any) -> wire.CatalogEvent:
        # Another window announces it anew: that is another event.
        named = f"{self.seed}/{content_id}/{self.start_ms}/{at_ms}/{what.__name__}"
        event_id = hashlib.blake2b(named.encode(), digest_size=12).hexdigest()
        return what(timestamp=from_ms(at_ms), event_id=event_id, content_id=content_id, **fields)


def _unplayed(catalogue: Catalogue) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is in a catalogue and is not played itself as a title: series, and games."""
    for series in dict.fromkeys(title.content_id.rpartition("-")[0] for title in catalogue.titles.values()):
        if series.startswith("series-"):
            yield series, {"kind": "series"}
    for game in catalogue.games:
        yield game, {"kind": "game"}


def _described(title: Title) -> tuple[str, dict[str, Any]]:
    """Content id and what follows from it."""
    series, _, episode = title.content_id.rpartition("-e")
    told: dict[str, Any] = {"duration_ms": title.duration_ms, "genres": [title.genre]}
    if series:
        number = int(episode)
        part = {"parent_id": series, "season_number": 1, "episode_number": number}
        return title.content_id, {"kind": "episode", "title": f"{_name(series)}: {number}", **part, **told}
    return title.content_id, {"kind": "channel" if title.is_live else "film", **told}


def _name(content_id: str) -> str:
    """The same name for a title in every window."""
    digest = hashlib.blake2b(content_id.encode(), digest_size=4).digest()
    words = f"The {FIRST_WORDS[digest[0] % 10]} {SECOND_WORDS[digest[1] % 10]}"
    return f"{words} {1 + digest[2] % 3}" if digest[3] % 3 == 0 else words
