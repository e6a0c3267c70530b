"""What a viewer does on the screens around playback: rows that are seen, a search, a click, a list, a rating; and the
account: it begins, changes its plan, ends.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from schemas.events import ui as wire
from schemas.fact import from_ms
from streams.intake.simulation.catalogue import Catalogue, Title
from streams.intake.simulation.viewers import PLANS, Viewer

Reported = Iterator[tuple[int, wire.UiEvent]]
ROWS = ("continue-watching", "trending", "because-you-watched", "new", "live-now", "my-list")
CHANNELS = ("web", "tv-app", "partner", "gift")
SIGN_UP, PLAN_CHANGE, CANCELLATION = 0.03, 0.02, 0.015
"""Shares of the visits with such a step."""
WORDS = ("love", "night", "city", "space", "history of", "detective", "football", "cooking", "the last", "island")


class Browser:
    """The app's screens in one visit. `now` is where its clock stands."""

    def __init__(
        self, rng: random.Random, ids: random.Random, viewer: Viewer, catalogue: Catalogue, at_ms: int
    ) -> None:
        self.now = at_ms
        self._rng, self._ids, self._catalogue = rng, ids, catalogue
        self._labels = viewer.labels
        self._profiles = viewer.user_id
        self._plan = viewer.plan

    def open(self) -> Reported:
        """The visit begins; for some with a new account or another plan, and some choose another profile first."""
        lot = self._rng.random()
        if lot < SIGN_UP:
            yield self._event(wire.SignUp, screen="sign-up", plan=self._plan, channel=self._rng.choice(CHANNELS))
            self._pass(2_000, 9_000)
        elif lot < SIGN_UP + PLAN_CHANGE:
            before = self._rng.choice([plan for plan in PLANS if plan != self._plan])
            yield self._event(wire.PlanChange, screen="account", plan=self._plan, from_plan=before)
            self._pass(2_000, 9_000)
        if self._rng.random() < 0.08:
            yield self._event(wire.ProfileSwitch, screen="profiles", from_profile_id=f"{self._profiles}-p1")

    def choose(self, title: Title) -> Reported:
        """From the screen to the click that plays `title`."""
        rng, request = self._rng, f"r{self._ids.getrandbits(48):012x}"
        screen = "home"
        if rng.random() < 0.15:
            screen = "search"
            self._pass(3_000, 12_000)
            yield self._event(wire.Search, screen=screen, query=rng.choice(WORDS), result_count=rng.randint(0, 40))
        row = rng.randrange(len(ROWS))
        for place in range(rng.randint(2, 12)):
            self._pass(300, 4_000)
            seen = self._catalogue.pick(rng).content_id
            yield self._event(wire.Impression, content_id=seen, position=place, **_where(screen, row, request))
        place = rng.randint(0, 5)
        self._pass(200, 2_500)
        where = _where(screen, row, request)
        yield self._event(wire.Impression, content_id=title.content_id, position=place, **where)
        if rng.random() < 0.06:
            self._pass(500, 2_500)
            yield self._event(wire.MyList, screen=screen, content_id=title.content_id, action="add")
        self._pass(600, 6_000)
        yield self._event(wire.Click, content_id=title.content_id, target="play", position=place, **where)
        self._pass(20, 120)

    def leave(self) -> Reported:
        """The visit ends; for a few the account does, too."""
        if self._rng.random() < CANCELLATION:
            self._pass(3_000, 20_000)
            reason = self._rng.choice(("price", "nothing-to-watch", "technical"))
            yield self._event(wire.Cancellation, screen="account", plan=self._plan, reason=reason)

    def rate(self, title: Title) -> Reported:
        """Few say what they thought of it."""
        if self._rng.random() < 0.05:
            self._pass(1_000, 8_000)
            stars = float(self._rng.choice((1, 2, 3, 4, 4, 5, 5)))
            yield self._event(wire.Rating, screen="end-card", content_id=title.content_id, rating=stars)

    def _pass(self, least_ms: int, most_ms: int) -> None:
        self.now += self._rng.randint(least_ms, most_ms)

    def _event(self, kind: type[wire.UiEvent], **fields: Any) -> tuple[int, wire.UiEvent]:
        event_id = f"{self._ids.getrandbits(96):024x}"
        return self.now, kind(timestamp=from_ms(self.now), event_id=event_id, **self._labels, **fields)


def _where(screen: str, row: int, request: str) -> dict[str, Any]:
    return {"screen": screen, "row_id": ROWS[row], "row_index": row, "request_id": request}
