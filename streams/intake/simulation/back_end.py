"""Viewers whose back end reports for them: play, pause and stop only, to the second, without session or event ids.

Such a back end knows nothing of stalls, and times in whole seconds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Literal

from schemas.events import playback as wire
from schemas.fact import from_ms
from streams.intake.simulation.catalogue import MINUTE_MS, Title
from streams.intake.simulation.truth import STOP, Truth
from streams.intake.simulation.viewers import Viewer


class BackEndPlayback:
    """One playback as such a back end sees it. `now` is where its clock stands."""

    def __init__(self, rng: random.Random, viewer: Viewer, title: Title, at_ms: int, scale: float = 1.0) -> None:
        self.now = -(-at_ms // 1000) * 1000
        self.truth = Truth(
            session_id=None,
            user_id=viewer.user_id,
            content_id=title.content_id,
            device_type=viewer.device,
            country="",
            app_version="",
            started_ms=self.now,
        )
        self._scale = scale
        self._rng, self._viewer, self._title = rng, viewer, title
        self._quality: Literal["4K", "1080p", "720p"] = rng.choice(("4K", "1080p", "1080p", "720p"))

    def events(self) -> Iterator[tuple[int, wire.PlaybackEvent]]:
        rng, truth, scale = self._rng, self.truth, self._scale * MINUTE_MS
        left = min(self._title.duration_ms or 90 * MINUTE_MS, 5_000 + rng.expovariate(1 / (25 * scale)))
        truth.is_started = True
        yield self._event(wire.Play)
        while left > 0:
            played = min(left, 3_000 + rng.expovariate(1 / (15 * scale)))
            left -= played
            began, self.now = self.now, self.now + 1_000 + round(played) // 1000 * 1000
            truth.playing_ms += self.now - began
            truth.media_ms += self.now - began
            truth.watch(began, self.now, is_stall=False)
            if left > 0:
                truth.pause_count += 1
                yield self._event(wire.Pause)
                paused = 3_000 + min(20 * MINUTE_MS, round(rng.lognormvariate(math.log(45_000), 1.2))) // 1000 * 1000
                self.now += paused
                truth.paused_ms += paused
                yield self._event(wire.Play)
        truth.end_reason, truth.ended_ms = STOP, self.now
        yield self._event(wire.Stop)

    def _event(self, kind: type[wire.PlaybackEvent]) -> tuple[int, wire.PlaybackEvent]:
        self.truth.event_count += 1
        return self.now, kind(
            timestamp=from_ms(self.now),
            user_id=self._viewer.user_id,
            content_id=self._title.content_id,
            device_type=self._viewer.device,
            quality=self._quality,
        )
