"""Records without end: a short simulation, over and over, each time as other viewers with other ids.

A record is put together by one formatting of bytes, because at 300,000 a second nothing else is quick enough.
"""

from __future__ import annotations

import json
import time
from typing import NamedTuple

from schemas.fact import from_ms
from schemas.registry import EVENT_TOPICS
from streams.intake.simulation.audience import Audience, Sent

MINUTES = 10
STALE_S = 30.0
"""Times of events are moved up to now when they were set so long ago."""


Record = tuple[str, bytes, bytes]
"""Topic, key and value."""


class Template(NamedTuple):
    """A record with places for its number (`%x`) and for the round (`%b`, or `%.0b` where it has no such id)."""

    topic: str
    key: bytes
    """With one place for the round."""
    head: bytes
    """With places for the number and twice the round."""
    tail: bytes
    at_ms: int


class Pool:
    """The records of process `process` of the run called `run`, made of about `size` simulated events."""

    def __init__(self, run: str, process: int, seed: int, size: int) -> None:
        self.process = process
        self._prefix = f"{run}-{process:x}-"
        self._end_ms = round(time.time() * 1000)
        self._templates = [self._template(*sent) for sent in _simulated(seed + process, self._end_ms, size)]
        self._ready: list[Record] = []
        self._next = self._round = self._number = 0
        self._stamped_at = 0.0

    def take(self, count: int) -> list[Record]:
        """The next records, `count` of them or fewer, at least one. They are numbered on from those before."""
        if self._next == len(self._ready):
            self._next = 0
            self._round += 1
            if time.time() - self._stamped_at > STALE_S:
                self._stamped_at = time.time()
                self._ready = self._stamped(round(self._stamped_at * 1000) - self._end_ms)
        first, now = self._number + 1, b"%x" % self._round
        made = [
            (topic, key % now, value % (number, now, now))
            for number, (topic, key, value) in enumerate(self._ready[self._next : self._next + count], first)
        ]
        self._number += len(made)
        self._next += len(made)
        return made

    def event_ids(self, first: int, count: int) -> list[str]:
        """The ids of the records number `first` (from 1) and following: no other record of any run has one of them."""
        return [f"{self._prefix}{number:x}" for number in range(first, first + count)]

    def _stamped(self, shift_ms: int) -> list[Record]:
        def stamp(at_ms: int) -> bytes:
            return from_ms(at_ms + shift_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()

        # The time stands last: what a collector adds behind it is then easily told from what was sent.
        return [
            (one.topic, one.key, b'%b%b"timestamp":"%b"}' % (one.head, one.tail, stamp(one.at_ms)))
            for one in self._templates
        ]

    def _template(self, at_ms: int, topic: str, key: bytes, value: bytes) -> Template:
        event = json.loads(value)
        for name in ("eventId", "timestamp"):
            event.pop(name, None)
        ids = "".join(
            f'{_quoted(name)}:{_quoted(event.pop(name))[:-1]}~%b",' if name in event else "%.0b"
            for name in ("userId", "sessionId")
        )
        rest = json.dumps(event, separators=(",", ":"), ensure_ascii=False)[1:-1].replace("%", "%%")
        head = f'{{"eventId":"{self._prefix}%x",{ids}'.encode()
        # The key is one of the ids, or something that stays as it is.
        ending = b"~%b" if "~%b" in ids else b"%.0b"
        return Template(topic, _escaped(key) + ending, head, f"{rest},".encode() if rest else b"", at_ms)


def _simulated(seed: int, end_ms: int, size: int) -> list[Sent]:
    """At least one and at most `size` events of the last minutes, of topics that keep every record."""
    audience = Audience(seed, max(1, size // 20), end_ms - MINUTES * 60_000, end_ms)
    events = [event for event in audience.events() if "compact" not in EVENT_TOPICS[event.topic].cleanup_policy]
    return events[-size:]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("%", "%%")


def _escaped(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")
