"""Live minutes as a stream worker publishes them: those since the cut-over, then the running one each second."""

from __future__ import annotations

import random
import threading
import time
from datetime import datetime

import msgspec
from confluent_kafka import Producer

from benchmarks.serving.files import CDNS, COUNTRIES, DEVICES, VERSIONS, WATCHED_TITLES
from infra.kafka import producer_config
from infra.settings import Settings
from schemas.live_minute import minute_key
from schemas.quality import DIMENSIONS, PARTS, STARTUP_BUCKETS
from schemas.registry import LIVE_QUALITY, PLAYBACK
from schemas.standing import Standing

MINUTES = 20
"""Between the cut-over and the first now."""


class LiveMinutes(threading.Thread):
    """Publishes from when it is started on until it is stopped. Its clock begins MINUTES after the cut-over."""

    def __init__(self, settings: Settings, cutover: datetime) -> None:
        super().__init__(daemon=True)
        self._producer = Producer(producer_config(settings))
        self._cutover_s = int(cutover.timestamp())
        self._stopping = threading.Event()
        self._position = 0

    def run(self) -> None:
        for minute in range(MINUTES):
            self._publish(self._cutover_s + 60 * minute)
        began = time.monotonic()
        while not self._stopping.is_set():
            at_s = self._cutover_s + 60 * MINUTES + time.monotonic() - began
            self._publish(int(at_s) // 60 * 60)
            self._say_now(at_s)
            self._producer.flush(10)
            self._stopping.wait(1)

    def stop(self) -> None:
        """Return when it publishes no more."""
        self._stopping.set()
        self.join(20)

    def _publish(self, minute_s: int) -> None:
        """All rows of a minute, as they stand."""
        self._position += 1
        drawn = random.Random(minute_s + self._position)
        for rollup, names, viewers in _COHORTS:
            told = dict(zip(DIMENSIONS, names, strict=True))
            watched = viewers * 54_400
            parts = dict.fromkeys(PARTS, 0) | {
                "events": viewers * 14, "plays": 1 + viewers // 30, "starts": 1 + viewers // 30,
                "watched_ms": watched, "stall_ms": watched // drawn.randrange(90, 200), "active_sessions": viewers,
            }  # fmt: skip
            parts["playing_ms"] = watched - parts["stall_ms"]
            startups = [0] * STARTUP_BUCKETS
            startups[drawn.randrange(34, 46)] = parts["plays"]
            row = {"rollup": rollup, "topic": PLAYBACK.name, "partition": 0, "minute": minute_s, **told, **parts} | {
                "startup_histogram": startups, "frozen": False, "position": self._position,
            }  # fmt: skip
            key = minute_key(rollup, PLAYBACK.name, 0, minute_s, "/".join(name or "" for name in names))
            self._producer.produce(LIVE_QUALITY.name, msgspec.json.encode(row), key)
        self._producer.flush(10)

    def _say_now(self, at_s: float) -> None:
        at, events = int(at_s * 1000), 1_000_000
        key, value = Standing(
            topic=PLAYBACK.name, partition=0, at=at, clock=at, position=self._position, concurrent=20_000,
            open_sessions=25_000, events=events, applied=events, parts={"plays": self._position * 11},
        ).record()  # fmt: skip
        self._producer.produce(LIVE_QUALITY.name, value, key)


def _cohorts() -> list[tuple[str, tuple[str | None, ...], int]]:
    """Rollup, dimensions, viewers."""
    found: list[tuple[str, tuple[str | None, ...], int]] = [("total", (None,) * 5, 20_000)]
    found += [("country_device", (None, c, d, None, None), 550) for c in COUNTRIES for d in DEVICES]
    found += [("cdn_app_country", (None, c, None, n, v), 110) for c in COUNTRIES for n in CDNS for v in VERSIONS]
    return found + [("title", (f"title-{n * 2}", None, None, None, None), 50) for n in range(WATCHED_TITLES)]


_COHORTS = _cohorts()
