"""Ad breaks as the ad server's books have them: one call, the ads of its answer, how far each was played.

Ads come over the same line as the content: one whose media is late stands still, as the player tells the session.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from schemas.events import ads as wire
from schemas.fact import from_ms
from streams.intake.simulation.network import Line
from streams.intake.simulation.truth import Truth

NO_FILL = 0.08
"""Share of calls that bring no ad."""
FAILURE, SKIP, CLICK = 0.02, 0.06, 0.015
"""Shares of the ads that can't be played, are skipped, are followed."""
SKIPPABLE_AFTER_MS = 5_000
AHEAD_MS = 5_000
"""A mid-roll is fetched so long before its moment."""
CAMPAIGNS = 24
KBPS, CHUNK_MS = 2_000, 5_000
"""An ad is one file of this bitrate, fetched in pieces while the ad before it plays."""
QUARTILES = {
    "first_quartile": "ad_first_quartiles",
    "midpoint": "ad_midpoints",
    "third_quartile": "ad_third_quartiles",
}
ERRORS = (401, 402, 403, 405)
"""VAST: not found, time-out, no file that the player takes, can't be displayed."""


class Ad(NamedTuple):
    """One ad of an answer. `sequence` is its place, from 1."""

    campaign: int
    creative: int
    duration_ms: int
    cpm: float
    sequence: int


class Stall(NamedTuple):
    """An ad stands still: from when to when, Unix ms."""

    begin_ms: int
    end_ms: int


class AdBreak:
    """A break that is due at `at_ms`. `labels` is what every event of the session says; `truth` gets what is billed."""

    def __init__(
        self,
        rng: random.Random,
        ids: random.Random,
        line: Line,
        truth: Truth,
        *,
        labels: Mapping[str, Any],
        at_ms: int,
        position: Literal["pre_roll", "mid_roll"],
    ) -> None:
        self._rng, self._ids, self._line, self._truth = rng, ids, line, truth
        self.response_ms = round(rng.uniform(150, 700))
        # A mid-roll is asked for ahead, so that the answer is there when its moment comes.
        self._answered_ms = at_ms + (self.response_ms if position == "pre_roll" else 0)
        self._fetched_ms = at_ms if position == "pre_roll" else at_ms - AHEAD_MS
        self._chunks: list[int] = []
        count = 0 if rng.random() < NO_FILL else rng.randint(1, 2)
        self.ads = [self._ad(place) for place in range(1, count + 1)]
        names = ("user_id", "profile_id", "device_type", "country", "region", "app_version", "experiments")
        self._labels = {name: labels[name] for name in (*names, "session_id", "content_id")} | {
            "ad_request_id": f"a{ids.getrandbits(64):016x}",
            "break_id": position.replace("_", "-"),
            "break_position": position,
            "insertion": "client",
            "ad_system": "adserver.example",
        }

    def request(self) -> tuple[int, wire.AdEvent]:
        """The call, reported when its answer is there."""
        at_ms = self._answered_ms
        told = {"break_duration_ms": 30_000, "ad_count": len(self.ads), "response_ms": self.response_ms}
        self._truth.ad_requests += 1
        self._truth.ad_requests_filled += bool(self.ads)
        return at_ms, self._event(wire.Request, at_ms, **told)

    def ready_ms(self) -> int:
        """When the first ad has enough to begin; until then a pre-roll is waited for."""
        self._fetch()
        return max(self._answered_ms, self._fetched_ms)

    def play(self, ad: Ad, at_ms: int, until_ms: int) -> Iterator[tuple[int, wire.AdEvent | Stall]]:
        """What is reported of an ad that begins at `at_ms`, in order; the last event is its end, or nobody saw it.

        `until_ms`: when the viewer leaves. Nothing is reported after that.
        """
        rng, truth = self._rng, self._truth
        lot = rng.random()
        if lot < FAILURE:
            failed_ms = at_ms + rng.randint(200, 3_000)
            if failed_ms < until_ms:
                code = rng.choice(ERRORS)
                yield failed_ms, self._event(wire.Error, failed_ms, ad_id=_ad_id(ad), vast_error_code=code)
            return
        end_ms = ad.duration_ms if lot > FAILURE + SKIP else rng.randint(SKIPPABLE_AFTER_MS, ad.duration_ms - 1)
        clicked_ms = rng.randrange(1, end_ms) if rng.random() < CLICK else None
        price = {"price": ad.cpm, "currency": "USD", "pricing_model": "cpm"}
        steps: list[tuple[int, type[wire.ShownAd], dict[str, Any], str]] = [
            (0, wire.Impression, price, "ad_impressions"),
            *(
                (ad.duration_ms * quarters // 4, wire.Quartile, {"quartile": name, "viewability": "viewable"}, part)
                for quarters, (name, part) in enumerate(QUARTILES.items(), 1)
                if ad.duration_ms * quarters // 4 < end_ms
            ),
        ]
        if clicked_ms is not None:
            steps = sorted([*steps, (clicked_ms, wire.Click, {}, "ad_clicks")], key=lambda step: step[0])
        is_whole = end_ms == ad.duration_ms
        last = (wire.Complete, "ad_completes") if is_whole else (wire.Skip, "ad_skips")
        steps.append((end_ms, last[0], {"viewability": "viewable"}, last[1]))
        stalls = self._stalls(at_ms, end_ms)
        offsets = [offset for offset, _ in stalls]
        told = 0
        for after_ms, kind, more, part in steps:
            # What has stood still before this point of the ad moved it.
            passed = bisect(offsets, after_ms if after_ms else -1)
            for _, stall in stalls[told:passed]:
                if stall.begin_ms < until_ms:
                    yield stall.begin_ms, Stall(stall.begin_ms, min(stall.end_ms, until_ms))
            told = passed
            now_ms = at_ms + after_ms + sum(stall.end_ms - stall.begin_ms for _, stall in stalls[:passed])
            if now_ms >= until_ms:
                return
            setattr(truth, part, getattr(truth, part) + 1)
            yield self._shown(kind, ad, now_ms, after_ms, **more)

    def _stalls(self, at_ms: int, length_ms: int) -> list[tuple[int, Stall]]:
        """Where in the ad, of which `length_ms` are played, its media is late, and from when to when that takes."""
        found: list[tuple[int, Stall]] = []
        here = at_ms
        for place, offset in enumerate(range(0, length_ms, CHUNK_MS)):
            if place == len(self._chunks):
                self._fetch()
            if self._chunks[place] > here:
                found.append((offset, Stall(here, self._chunks[place])))
                here = self._chunks[place]
            here += CHUNK_MS
        self._chunks = []
        return found

    def _fetch(self) -> None:
        self._fetched_ms += self._line.download_ms(self._fetched_ms, KBPS * CHUNK_MS / 1000)
        self._chunks.append(self._fetched_ms)

    def _ad(self, sequence: int) -> Ad:
        campaign = self._rng.randrange(CAMPAIGNS)
        return Ad(campaign, self._rng.randint(1, 3), 15_000, 8 + campaign * 0.75, sequence)

    def _shown(
        self, kind: type[wire.ShownAd], ad: Ad, at_ms: int, after_ms: int, **fields: Any
    ) -> tuple[int, wire.AdEvent]:
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
