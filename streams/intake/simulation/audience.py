"""Everybody's visits on one time axis: the events of a window, in the order in which they happen."""

from __future__ import annotations

import heapq
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from schemas.event import Event
from schemas.registry import EVENT_TOPICS
from streams.intake.simulation.back_end import BackEndPlayback
from streams.intake.simulation.browsing import Browser
from streams.intake.simulation.catalogue import Catalogue, Title
from streams.intake.simulation.experiments import exposure
from streams.intake.simulation.games import GamePlay
from streams.intake.simulation.incidents import Incident, Trouble
from streams.intake.simulation.network import CONNECTIONS, Line, Network
from streams.intake.simulation.player import Player
from streams.intake.simulation.publishing import Publishing
from streams.intake.simulation.traces import Traces
from streams.intake.simulation.truth import Truth
from streams.intake.simulation.viewers import Viewer, interest, viewer

GOES_ON = 0.55
"""Chance of one more title after one that was seen to its end; half of it otherwise."""
AUTOPLAY = 0.6
"""Chance that the next episode starts by itself."""

MATCH_SHARE = 0.06
"""Share of viewers who come for a match: a live channel, within minutes of its beginning."""
MATCH_AT, MATCH_SPREAD_MS = 0.4, 90_000
"""Where in the window it begins, and how far around that they come (standard deviation)."""
PLAYS_A_GAME = {"mobile": 0.08, "web": 0.03, "smart_tv": 0.03}
"""Chance that a visit ends with a game."""

_TOPIC_OF: dict[type[Event], str] = {event: topic.name for topic in EVENT_TOPICS.values() for event in topic.events}


class Sent(NamedTuple):
    """One event on its way: when, where to, and the record."""

    at_ms: int
    topic: str
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Audience:
    """`viewers` accounts of the population `seed`, each of whom visits once between `start_ms` and `end_ms`."""

    seed: int
    viewers: int
    start_ms: int
    end_ms: int
    scale: float = 1.0
    """How long everything takes that takes minutes, titles included; 1 is life. Short sessions are quicker to judge."""
    traces: Traces | None = None
    """Recorded bandwidth that lines have in place of the model's."""
    incidents: tuple[Incident, ...] = ()
    """What goes wrong. Whom it does not hit does the same with and without."""
    only: Collection[int] | None = None
    """Only these of the accounts come, at their time and doing what they do anyway."""

    def events(self, truths: list[Truth] | None = None, *, to_the_end: bool = False) -> Iterator[Sent]:
        """All events in order of time, up to `end_ms` or until the last viewer is gone.

        `truths` gets what happens in each session, as its player knows it; one that is not over by then stays open.
        """
        encode = msgspec.json.Encoder().encode
        catalogue = Catalogue(self.seed)
        accounts = range(self.viewers) if self.only is None else self.only
        arrivals = iter(sorted((self._arrival(number), number) for number in accounts))
        coming = next(arrivals, None)
        # Who is here: the time of the next event, who, the event, and the visit that goes on from it.
        here: list[tuple[int, int, Event, Iterator[tuple[int, Event]]]] = []
        while here or coming:
            while coming and (not here or coming[0] <= here[0][0]):
                at_ms, number = coming
                visit = self._visit(viewer(self.seed, number), catalogue, at_ms, truths)
                first_ms, first = next(visit)
                heapq.heappush(here, (first_ms, number, first, visit))
                coming = next(arrivals, None)
            at_ms, number, event, visit = here[0]
            if at_ms >= self.end_ms and not to_the_end:
                return
            following = next(visit, None)
            if following is None:
                heapq.heappop(here)
            else:
                heapq.heapreplace(here, (following[0], number, following[1], visit))
            yield Sent(at_ms, _TOPIC_OF[type(event)], event.key.encode(), encode(event))

    def catalogue(self) -> Iterator[Sent]:
        """What is announced of the titles that they watch: all of them at the beginning, then what changes."""
        encode = msgspec.json.Encoder().encode
        for at_ms, event in Publishing(self.seed, self.start_ms, self.end_ms).events():
            yield Sent(at_ms, _TOPIC_OF[type(event)], event.key.encode(), encode(event))

    def _arrival(self, number: int) -> int:
        """When this viewer comes: more likely when it is evening there, or when a match begins."""
        rng = random.Random(f"arrival/{self.seed}/{number}")
        if self._comes_for_match(number):
            begins = self.start_ms + MATCH_AT * (self.end_ms - self.start_ms)
            return min(self.end_ms - 1, max(self.start_ms, round(rng.gauss(begins, MATCH_SPREAD_MS))))
        country = viewer(self.seed, number).country
        for _ in range(100):
            at_ms = rng.randrange(self.start_ms, self.end_ms)
            if rng.random() < interest(country, at_ms):
                break
        return at_ms

    def _comes_for_match(self, number: int) -> bool:
        return random.Random(f"match/{self.seed}/{number}").random() < MATCH_SHARE

    def _scaled(self, title: Title) -> Title:
        if self.scale == 1 or title.duration_ms is None:
            return title
        return replace(title, duration_ms=round(title.duration_ms * self.scale))

    def _line(self, rng: random.Random, who: Viewer, trouble: Trouble) -> Line:
        if self.traces is not None:
            return self.traces.line(rng, CONNECTIONS[who.connection].rtt_ms, trouble.limit)
        return Network(rng, CONNECTIONS[who.connection], who.line, trouble.limit)

    def _visit(
        self, who: Viewer, catalogue: Catalogue, at_ms: int, truths: list[Truth] | None
    ) -> Iterator[tuple[int, Event]]:
        rng = random.Random(f"visit/{self.seed}/{who.number}")
        # Another window is another visit: its ids must not be those of an earlier run with the same seed.
        ids = random.Random(f"ids/{self.seed}/{who.number}/{self.start_ms}/{self.end_ms}")
        if who.is_back_end:
            seen = BackEndPlayback(rng, who, self._scaled(catalogue.pick(rng)), at_ms, self.scale)
            if truths is not None:
                truths.append(seen.truth)
            yield from seen.events()
            return
        browser = Browser(rng, ids, who, catalogue, at_ms)
        yield from browser.open()
        title = catalogue.match if self._comes_for_match(who.number) else catalogue.pick(rng)
        yield from browser.choose(title)
        while True:
            trouble = Trouble(self.incidents, who, title)
            line = self._line(rng, who, trouble)
            player = Player(
                rng, ids, who, self._scaled(title), browser.now, line=line, scale=self.scale, trouble=trouble
            )
            if truths is not None:
                truths.append(player.truth)
            yield browser.now, exposure(ids, who, f"{player.truth.session_id}", title.content_id, browser.now)
            yield from player.events()
            browser.now = player.now + 1
            yield from browser.rate(title)
            if rng.random() > (GOES_ON if player.saw_the_end else GOES_ON / 2):
                break
            following = catalogue.after(title) if player.saw_the_end and rng.random() < AUTOPLAY else None
            if following is not None:
                title = following
                browser.now += 5_000
            else:
                title = catalogue.pick(rng)
                yield from browser.choose(title)
        if rng.random() < PLAYS_A_GAME[who.device]:
            game = GamePlay(rng, ids, who, rng.choice(catalogue.games), browser.now + 4_000)
            yield from game.events()
            browser.now = game.now + 1
        yield from browser.leave()
