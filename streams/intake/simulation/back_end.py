"""Viewers whose back end reports for them: play, pause and stop only, to the second, without session or event ids."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Literal

from schemas.events import playback as wire
from schemas.fact import from_ms
from streams.intake.simulation.catalogue import MINUTE_MS, Title
from streams.intake.simulation.viewers import Viewer


class BackEndPlayback:
    """One playback as such a back end sees it. `now` is where its clock stands."""

    def __init__(self, rng: random.Random, viewer: Viewer, title: Title, at_ms: int) -> None:
        self.now = at_ms
        self._rng, self._viewer, self._title = rng, viewer, title
        self._quality: Literal["4K", "1080p", "720p"] = rng.choice(("4K", "1080p", "1080p", "720p"))

    def events(self) -> Iterator[tuple[int, wire.PlaybackEvent]]:
        left = min(self._title.duration_ms or 90 * MINUTE_MS, 5_000 + self._rng.expovariate(1 / (25 * MINUTE_MS)))
        yield self._event(wire.Play)
        while left > 0:
            played = min(left, 3_000 + self._rng.expovariate(1 / (15 * MINUTE_MS)))
            left -= played
            self.now += round(played)
            if left > 0:
                yield self._event(wire.Pause)
                self.now += 3_000 + min(20 * MINUTE_MS, round(self._rng.lognormvariate(math.log(45_000), 1.2)))
                yield self._event(wire.Play)
        self.now += 1_000
        yield self._event(wire.Stop)

    def _event(self, kind: type[wire.PlaybackEvent]) -> tuple[int, wire.PlaybackEvent]:
        return self.now, kind(
            timestamp=from_ms(self.now // 1000 * 1000),
            user_id=self._viewer.user_id,
            content_id=self._title.content_id,
            device_type=self._viewer.device,
            quality=self._quality,
        )
