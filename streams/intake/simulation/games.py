"""One sitting with a game: loading, playing on, levels, now and then an achievement or a purchase, leaving."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from schemas.events import games as wire
from schemas.fact import from_ms
from streams.intake.simulation.catalogue import MINUTE_MS
from streams.intake.simulation.viewers import Viewer

HEARTBEAT_MS = 30_000
FAILURE = 0.01
PRODUCTS = {"hint-pack": 0.99, "new-skin": 2.99, "season-pass": 7.99}
"""What can be bought → price, USD."""


class GamePlay:
    """Phones play natively, larger screens from the cloud. `now` is where its clock stands."""

    def __init__(self, rng: random.Random, ids: random.Random, viewer: Viewer, game_id: str, at_ms: int) -> None:
        self.now = at_ms
        self._rng, self._ids = rng, ids
        self._is_cloud = viewer.device != "mobile"
        self._labels: dict[str, Any] = viewer.labels | {
            "session_id": f"g{ids.getrandbits(80):020x}",
            "game_id": game_id,
            "delivery": "cloud" if self._is_cloud else "native",
            "game_version": "1.4.2",
            "controller": {"mobile": "touch", "web": "keyboard", "smart_tv": "phone"}[viewer.device],
        }

    def events(self) -> Iterator[tuple[int, wire.GameEvent]]:
        rng = self._rng
        yield self._event(wire.GameStart, source="home")
        load_ms = round(rng.lognormvariate(math.log(6_000 if self._is_cloud else 3_000), 0.5))
        self.now += load_ms
        if rng.random() < FAILURE:
            yield self._event(wire.GameError, error_code="NO_SERVER" if self._is_cloud else "CRASH", fatal=True)
            return
        yield self._event(wire.GameReady, load_ms=load_ms)
        began, level, dropped = self.now, 0, 0
        for _ in range(1 + round(rng.expovariate(1 / (12 * MINUTE_MS)) / HEARTBEAT_MS)):
            self.now += HEARTBEAT_MS
            dropped += rng.randint(0, 3)
            yield self._event(wire.GameHeartbeat, active_ms=rng.randint(15_000, HEARTBEAT_MS), **self._stream(dropped))
            lot = rng.random()
            if lot < 0.25:
                level += 1
                yield self._event(wire.GameProgress, level=f"level-{level}", outcome="won", score=1_000.0 * level)
            elif lot < 0.3:
                yield self._event(wire.Achievement, achievement_id=f"achievement-{rng.randint(1, 30)}")
            elif lot < 0.32:
                product = rng.choice(list(PRODUCTS))
                price = {"price": PRODUCTS[product], "currency": "USD"}
                yield self._event(wire.Purchase, product_id=product, quantity=1, **price)
        yield self._event(wire.GameEnd, played_ms=self.now - began, reason="quit")

    def _stream(self, dropped: int) -> dict[str, Any]:
        """How well it runs; only a cloud game has a stream."""
        frames = {"frames_per_second": round(self._rng.uniform(55, 60), 1), "dropped_frames": dropped}
        if not self._is_cloud:
            return frames
        return frames | {"round_trip_ms": self._rng.randint(35, 140), "bitrate_kbps": self._rng.randint(6_000, 20_000)}

    def _event(self, kind: type[wire.GameEvent], **fields: Any) -> tuple[int, wire.GameEvent]:
        event_id = f"{self._ids.getrandbits(96):024x}"
        return self.now, kind(timestamp=from_ms(self.now), event_id=event_id, **self._labels, **fields)
