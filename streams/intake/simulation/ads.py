"""Ad breaks as the ad server's books have them: one call, the ads of its answer, how far each was played."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from schemas.events import ads as wire
from schemas.fact import from_ms

NO_FILL = 0.08
"""Share of calls that bring no ad."""
FAILURE, SKIP, CLICK = 0.02, 0.06, 0.015
"""Shares of the ads that can't be played, are skipped, are followed."""
SKIPPABLE_AFTER_MS = 5_000
CAMPAIGNS = 24
ERRORS = (401, 402, 403, 405)
"""VAST: not found, time-out, no file that the player takes, can't be displayed."""


class Ad(NamedTuple):
    """One ad of an answer. `sequence` is its place, from 1."""

    campaign: int
    creative: int
    duration_ms: int
    cpm: float
    sequence: int


class AdBreak:
    """A pre-roll, asked for at `at_ms`. `labels` is what every event of the session says."""

    def __init__(self, rng: random.Random, ids: random.Random, labels: Mapping[str, Any], at_ms: int) -> None:
        self._rng, self._ids = rng, ids
        self._asked_ms = at_ms
        self.response_ms = round(rng.uniform(150, 700))
        count = 0 if rng.random() < NO_FILL else rng.randint(1, 2)
        self.ads = [self._ad(place) for place in range(1, count + 1)]
        names = ("user_id", "profile_id", "device_type", "country", "region", "app_version", "experiments")
        self._labels = {name: labels[name] for name in (*names, "session_id", "content_id")} | {
            "ad_request_id": f"a{ids.getrandbits(64):016x}",
            "break_id": "pre-roll",
            "break_position": "pre_roll",
            "insertion": "client",
            "ad_system": "adserver.example",
        }

    def request(self) -> tuple[int, wire.AdEvent]:
        """The call, reported when its answer is there."""
        at_ms = self._asked_ms + self.response_ms
        told = {"break_duration_ms": 30_000, "ad_count": len(self.ads), "response_ms": self.response_ms}
        return at_ms, self._event(wire.Request, at_ms, **told)

    def play(self, ad: Ad, at_ms: int) -> Iterator[tuple[int, wire.AdEvent]]:
        """What is reported of an ad that begins at `at_ms`; the last event is its end."""
        rng = self._rng
        lot = rng.random()
        if lot < FAILURE:
            at_ms += rng.randint(200, 3_000)
            yield at_ms, self._event(wire.Error, at_ms, ad_id=_ad_id(ad), vast_error_code=rng.choice(ERRORS))
            return
        end_ms = ad.duration_ms if lot > FAILURE + SKIP else rng.randint(SKIPPABLE_AFTER_MS, ad.duration_ms - 1)
        clicked_ms = rng.randrange(end_ms) if rng.random() < CLICK else None
        price = {"price": ad.cpm, "currency": "USD", "pricing_model": "cpm"}
        yield self._shown(wire.Impression, ad, at_ms, 0, **price)
        steps: list[tuple[int, str]] = [
            (ad.duration_ms // 4, "first_quartile"),
            (ad.duration_ms // 2, "midpoint"),
            (ad.duration_ms * 3 // 4, "third_quartile"),
        ]
        if clicked_ms is not None:
            steps = sorted([*steps, (clicked_ms, "click")])
        for after_ms, what in steps:
            if after_ms < end_ms:
                more = {} if what == "click" else {"quartile": what, "viewability": "viewable"}
                yield self._shown(wire.Click if what == "click" else wire.Quartile, ad, at_ms, after_ms, **more)
        is_whole = end_ms == ad.duration_ms
        yield self._shown(wire.Complete if is_whole else wire.Skip, ad, at_ms, end_ms, viewability="viewable")

    def _ad(self, sequence: int) -> Ad:
        campaign = self._rng.randrange(CAMPAIGNS)
        return Ad(campaign, self._rng.randint(1, 3), 15_000, 8 + campaign * 0.75, sequence)

    def _shown(
        self, kind: type[wire.ShownAd], ad: Ad, began_ms: int, after_ms: int, **fields: Any
    ) -> tuple[int, wire.AdEvent]:
        at_ms = began_ms + after_ms
        return at_ms, self._event(
            kind,
            at_ms,
            ad_id=_ad_id(ad),
            creative_id=f"{_ad_id(ad)}-{ad.creative}",
            campaign_id=f"campaign-{ad.campaign:02d}",
            advertiser=f"advertiser-{ad.campaign % 9}.example",
            sequence=ad.sequence,
            ad_duration_ms=ad.duration_ms,
            position_ms=after_ms,
            **fields,
        )

    def _event(self, kind: type[wire.AdEvent], at_ms: int, **fields: Any) -> wire.AdEvent:
        event_id = f"{self._ids.getrandbits(96):024x}"
        return kind(timestamp=from_ms(at_ms), event_id=event_id, **self._labels, **fields)


def _ad_id(ad: Ad) -> str:
    return f"ad-{ad.campaign:02d}"
