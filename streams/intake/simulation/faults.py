"""What goes wrong on the way: events that are broken, lost, late, in disorder or there twice, clocks that are off, apps
whose events are not what the contract says. Each by its own rate and with its own dice: more of one changes no other.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

import msgspec

from schemas.event import ViewerEvent
from schemas.registry import EVENT_TOPICS
from streams.intake.simulation.audience import Sent
from streams.intake.simulation.drift import DRIFTS, clock_off

Kind = Literal["valid", "broken", "duplicate"]
DELIVERY_MS = (20, 400)
"""How long an event is on its way where that matters: it can't be told from a clock that is off by as much."""
DISORDER_MS = 5_000
"""An event that lost its place comes at most so much later."""
LATE_MEDIAN_MS, LATE_MOST_MS = 20 * 60_000, 2 * 86_400_000
"""A late event (a phone without a network, a spool) comes after minutes to days."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Rates, 0..1, each of events but for the last two.

    broken       the record breaks every contract
    loss         it never comes
    duplicates   it comes again within a minute, the same bytes
    disorder     it comes up to DISORDER_MS later than others that were sent after it
    lateness     it comes minutes to days later
    skew         of viewers: their device's clock is off, by seconds to hours
    drift        of viewers: their app sends what the contract does not say (`drift.DRIFTS`)
    """

    broken: float = 0.0
    loss: float = 0.0
    duplicates: float = 0.0
    disorder: float = 0.0
    lateness: float = 0.0
    skew: float = 0.0
    drift: float = 0.0


class Arriving(NamedTuple):
    """A record as it reaches the topic. A broken record may have no value at all."""

    at_ms: int
    topic: str
    key: bytes
    value: bytes | None
    kind: Kind


@dataclass
class Tally:
    """What was done to the events, by topic."""

    lost: Counter[str] = field(default_factory=Counter)
    delayed: Counter[str] = field(default_factory=Counter)
    """Out of order or late."""
    changed: Counter[str] = field(default_factory=Counter)
    """By a clock that is off, or by drift."""
    last_ms: int = 0
    """When the last event that was taken happened."""


def spoil(sent: Iterable[Sent], seed: int, faults: Faults, tally: Tally | None = None) -> Iterator[Arriving]:
    """The events as they arrive, in order of arrival."""
    tally = tally or Tally()
    dice = {name: random.Random(f"faults/{seed}/{name}") for name in ("", "loss", "disorder", "lateness", "skew")}
    rng = dice[""]
    waiting: list[tuple[int, int, Arriving]] = []
    is_off = False
    for number, (at_ms, topic, key, original) in enumerate(sent):
        value = original
        tally.last_ms = at_ms
        while waiting and waiting[0][0] <= at_ms:
            yield heapq.heappop(waiting)[2]
        if faults.loss and dice["loss"].random() < faults.loss:
            tally.lost[topic] += 1
            continue
        if faults.skew or faults.drift:
            troubles = _troubles_of(key, seed, faults)
            value = _as_told(original, topic, at_ms, troubles)
            tally.changed[topic] += value is not original
            is_off = bool(troubles.ahead_ms)
        lot = rng.random()
        if lot < faults.broken:
            yield Arriving(at_ms, topic, key, rng.choice(_breaks_of(topic))(value), "broken")
            continue
        delay_ms = _delay_ms(dice, faults) + (dice["skew"].randint(*DELIVERY_MS) if is_off else 0)
        if delay_ms:
            tally.delayed[topic] += 1
            comes_ms = at_ms + delay_ms
            heapq.heappush(waiting, (comes_ms, number, Arriving(comes_ms, topic, key, value, "valid")))
        else:
            yield Arriving(at_ms, topic, key, value, "valid")
        if lot < faults.broken + faults.duplicates:
            again_ms = at_ms + delay_ms + rng.randint(1, 60_000)
            heapq.heappush(waiting, (again_ms, number, Arriving(again_ms, topic, key, value, "duplicate")))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _delay_ms(dice: dict[str, random.Random], faults: Faults) -> int:
    if faults.lateness and dice["lateness"].random() < faults.lateness:
        return min(LATE_MOST_MS, round(dice["lateness"].lognormvariate(math.log(LATE_MEDIAN_MS), 1.5)))
    if faults.disorder and dice["disorder"].random() < faults.disorder:
        return dice["disorder"].randint(1, DISORDER_MS)
    return 0


class _Troubles(NamedTuple):
    """What is wrong with a viewer's device: how far its clock is ahead, ms, and which drift its app has."""

    ahead_ms: int
    drift: Callable[[dict[str, Any]], None] | None


_FINE = _Troubles(0, None)


@lru_cache(1 << 16)
def _troubles_of(key: bytes, seed: int, faults: Faults) -> _Troubles:
    rng = random.Random(f"faults/{seed}/viewer/{key.decode()}")
    is_off, has_drift = rng.random() < faults.skew, rng.random() < faults.drift
    ahead_ms = round(rng.choice((-1, 1)) * min(86_400_000, rng.lognormvariate(math.log(120_000), 2.0)))
    drift = rng.choice(DRIFTS)
    if not is_off and not has_drift:
        return _FINE
    return _Troubles(ahead_ms if is_off else 0, drift if has_drift else None)


def _as_told(value: bytes, topic: str, at_ms: int, troubles: _Troubles) -> bytes:
    """The event as that device sends it. Only what viewers' devices send is changed."""
    if troubles is _FINE or not issubclass(EVENT_TOPICS[topic].events[0], ViewerEvent):
        return value
    event = msgspec.json.decode(value)
    if troubles.ahead_ms:
        clock_off(event, at_ms, troubles.ahead_ms)
    if troubles.drift:
        troubles.drift(event)
    return msgspec.json.encode(event)


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
