"""The work that every contestant does, for those written in Python, and the clock that runs beside it.

A flow decodes an event with its types checked, folds it into its session and adds what it brought to the row of its
minute, country and device. The time between two events of a session belongs to what the first of them began, and to
the minute of the second. Runs in the peers' environment, so nothing of the platform is imported.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
from memory import peak_mb

if TYPE_CHECKING:
    from confluent_kafka import Consumer

Kind = Literal[
    "play", "first_frame", "heartbeat", "quality_change", "stall_start", "stall_end", "pause", "resume", "stop"
]
PLAYING = frozenset(("first_frame", "heartbeat", "quality_change", "stall_end", "resume"))
PARTS = ("events", "stalls", "stall_ms", "playing_ms", "bits")


class Event(msgspec.Struct, rename="camel"):
    """One event. Fields that are not named here are dropped, which is less work than to keep them."""

    event_id: str
    event_type: Kind
    timestamp: datetime
    user_id: str
    session_id: str
    content_id: str
    device_type: Literal["smart_tv", "mobile", "web"]
    country: str
    bitrate_kbps: int
    seq: int
    position_ms: int


decode: Callable[[bytes], Event] = msgspec.json.Decoder(Event).decode


class Brought(NamedTuple):
    """What an event adds to a row. The row is `place` = country/device/minute."""

    place: str
    parts: tuple[int, int, int, int, int]


Session = list[int | str]
"""first ms, last ms, PARTS, kind and bitrate of the last event; JSON can hold it."""


def fold(session: Session | None, event: Event) -> tuple[Session, Brought]:
    """The session with the event in it, and what that adds to the minute."""
    at = round(event.timestamp.timestamp() * 1000)
    if session is None:
        session = [at, at, 0, 0, 0, 0, 0, "", 0]
    first, last, events, stalls, stall_ms, playing_ms, bits, kind, bitrate = session
    gap = at - last
    stalled = gap if kind == "stall_start" else 0
    played = gap if kind in PLAYING else 0
    brought = (1, int(event.event_type == "stall_start"), stalled, played, played * bitrate)
    folded: Session = [
        first, at, events + 1, stalls + brought[1], stall_ms + stalled, playing_ms + played, bits + brought[4],
        event.event_type, event.bitrate_kbps,
    ]  # fmt: skip
    return folded, Brought(f"{event.country}/{event.device_type}/{at // 60_000}", brought)


def row(parts: list[int]) -> bytes:
    """A minute's row as it is published."""
    return json.dumps(dict(zip(PARTS, parts, strict=True))).encode()


class Meter:
    """Counts the events that are through and says at the end how long they took.

    The clock starts with the first event that is read (`begin`), or, where nobody can see that, when `after` of all are
    through; only those that come later are counted then.
    """

    def __init__(self, events: int, *, after: float = 0.0, cpu: Callable[[], float] = time.process_time) -> None:
        self.events = events
        self.done = 0
        self.through: Callable[[], None] = lambda: None
        """Called once, when the last event is through."""
        self._cpu = cpu
        self._after = after * events
        self._mark = 0
        self._begin: tuple[float, float] | None = None
        self._end: tuple[float, float] | None = None

    def begin(self) -> None:
        """An event was read; only the first call counts."""
        if self._begin is None:
            self._begin = (time.perf_counter(), self._cpu())

    def add(self, count: int = 1) -> None:
        """So many more events are through."""
        self.reach(self.done + count)

    def reach(self, done: int) -> None:
        """So many events are through in all."""
        self.done = done
        if self._begin is None and done > self._after:
            self._mark = done
            self.begin()
        if self._end is None and done >= self.events:
            self._end = (time.perf_counter(), self._cpu())
            self.through()

    def report(self, rss_mb: float | None = None) -> None:
        """Print the one line that the harness reads. `rss_mb`: of another process than this one, at its highest."""
        if self._begin is None or self._end is None or self._mark == self.events:
            sys.exit(f"expected {self.events} events to come through one after another, {self.done} did")
        line = {
            "events": self.events - self._mark,
            "seconds": self._end[0] - self._begin[0],
            "cpu_seconds": self._end[1] - self._begin[1],
            "rss_mb": rss_mb or peak_mb(os.getpid()),
        }
        print("\n" + json.dumps(line), flush=True)


def subscribed(asked: argparse.Namespace, more: Mapping[str, int] | None = None) -> Consumer:
    """A consumer of the input from its beginning, for those that use librdkafka as it is; they commit themselves."""
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": asked.bootstrap,
            "group.id": asked.out,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            # By default the client rests for a second whenever its queue is full: that would be what is measured.
            # The platform's consumers say so too (`infra/kafka.py`), which cannot be imported here.
            "fetch.queue.backoff.ms": 10,
            **(more or {}),
        }
    )
    consumer.subscribe([asked.topic])
    return consumer


def arguments() -> argparse.Namespace:
    """What the harness tells a flow."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True, help="input, 4 partitions")
    parser.add_argument("--events", type=int, required=True, help="how many records the topic holds")
    parser.add_argument("--out", required=True, help="topic of the minutes' rows")
    parser.add_argument("--home", required=True, help="an empty folder of this run")
    parser.add_argument("--parallelism", type=int, default=1)
    parser.add_argument("--jar", default="", help="Flink's Kafka connector")
    parser.add_argument("--sums-only", action="store_true", help="Flink: no pairing of events, so no times")
    return parser.parse_args()
