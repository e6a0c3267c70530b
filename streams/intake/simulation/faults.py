"""What goes wrong on the way: some events arrive broken, some arrive twice."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Literal, NamedTuple

import msgspec

from schemas.registry import EVENT_TOPICS
from streams.intake.simulation.audience import Sent

Kind = Literal["valid", "broken", "duplicate"]


class Arriving(NamedTuple):
    """A record as it reaches the topic. A broken record may have no value at all."""

    at_ms: int
    topic: str
    key: bytes
    value: bytes | None
    kind: Kind


def spoil(sent: Iterable[Sent], seed: int, broken: float, duplicates: float) -> Iterator[Arriving]:
    """Break a share of the events and send a share of the others again, the same bytes, within a minute."""
    rng = random.Random(f"faults/{seed}")
    again: list[tuple[int, int, Arriving]] = []
    for number, (at_ms, topic, key, value) in enumerate(sent):
        while again and again[0][0] <= at_ms:
            yield heapq.heappop(again)[2]
        lot = rng.random()
        if lot < broken:
            yield Arriving(at_ms, topic, key, rng.choice(_breaks_of(topic))(value), "broken")
            continue
        yield Arriving(at_ms, topic, key, value, "valid")
        if lot < broken + duplicates:
            late_ms = at_ms + rng.randint(1, 60_000)
            heapq.heappush(again, (late_ms, number, Arriving(late_ms, topic, key, value, "duplicate")))
    while again:
        yield heapq.heappop(again)[2]


def _without(*fields: str) -> Callable[[bytes], bytes]:
    return _change(lambda event: [event.pop(field, None) for field in fields])


def _with(**fields: Any) -> Callable[[bytes], bytes]:
    return _change(lambda event: event.update(fields))


def _change(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def changed(value: bytes) -> bytes:
        event = msgspec.json.decode(value)
        change(event)
        return msgspec.json.encode(event)

    return changed


def _cut(value: bytes) -> bytes:
    return value[: len(value) // 2]


def _bad_utf8(value: bytes) -> bytes:
    return value.replace(b'"eventType":"', b'"note":"\xc3\x28","eventType":"', 1)


def _empty(_value: bytes) -> None:
    return None


def _not_an_event(_value: bytes) -> bytes:
    return b"<html>502 Bad Gateway</html>"


BREAKS: tuple[Callable[[bytes], bytes | None], ...] = (
    _cut,
    _bad_utf8,
    _empty,
    _not_an_event,
    _without("timestamp"),
    _without("eventType"),
    _without("userId", "sessionId", "contentId"),
    _with(eventType="teleport"),
    _with(timestamp="yesterday"),
    _with(eventId=17),
)
"""Ways to break an event of any topic. Each result breaks every contract."""
BREAKS_OF_VIEWERS: tuple[Callable[[bytes], bytes | None], ...] = (
    *BREAKS,
    _without("userId", "sessionId"),
    _with(deviceType="fridge"),
    _with(seq="first"),
    _with(userId=17),
)
"""The same of a viewer's event."""


@cache
def _breaks_of(topic: str) -> tuple[Callable[[bytes], bytes | None], ...]:
    return BREAKS_OF_VIEWERS if "user_id" in EVENT_TOPICS[topic].key_fields else BREAKS
