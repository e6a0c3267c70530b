"""What every way in asks of a request before anything of it is taken: origin, write key, speed, and a body of bounds.

`admit` says who it is or raises RequestRefused; `body` reads what it sent, in bounded memory and time. Whoever sends
too much or too slowly is the one who hears so: neither takes room or time that others need.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from starlette.requests import Request

from infra.errors import RequestRefused
from infra.settings import Settings
from streams.intake.access import Holder, Origins, keys_of
from streams.intake.additions import Additions
from streams.intake.bodies import unpack
from streams.intake.clients import Clients, agent
from streams.intake.rates import Buckets

BODY_S = 30.0
"""How long a body may take to come."""
ALL_BODIES = 128
"""Bodies of the largest size that may be in memory at once; a quarter of them of one client network."""
THREAD_BYTES = 65_536
"""Larger bodies are unpacked beside the event loop."""
BEARER = "Bearer "


class Visitor(NamedTuple):
    """Who sent a request, as far as we care."""

    key: str
    holder: Holder
    network: str
    country: str | None
    agent: bytes | None

    def additions(self) -> Additions:
        """What is added to each event of a request that was received now."""
        return Additions(datetime.now(UTC), self.country, self.agent)


class Gate:
    """The one door of the collector."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError for settings that contradict each other or name what is not there."""
        self._limit = settings.collector_max_body_bytes
        self._keys = keys_of(settings)
        self._clients = Clients(settings)
        self._network_rate = settings.collector_network_events_per_s
        self._networks = Buckets()
        self._by_key = Buckets()
        self._held: Counter[str] = Counter()
        """Bytes of bodies in memory, by client network."""
        self.origins = Origins(settings.collector_allow_origins)

    def admit(self, request: Request) -> Visitor:
        """Who it is. Raises RequestRefused: origin_not_allowed, unknown_key, too_fast."""
        origin = request.headers.get("origin")
        if not self.origins.allows(origin):
            msg = f"pages of {origin!r} may not send here; collector_allow_origins names those that may"
            raise RequestRefused(reason="origin_not_allowed", detail=msg[:300])
        key = self._key(request)
        holder = self._keys.holder(key)
        if holder is None:
            msg = "expected a write key that is known, as ?key= or Authorization: Bearer"
            raise RequestRefused(reason="unknown_key", detail=msg)
        peer = request.client.host if request.client else None
        # A proxy may append to the client's own header, or add one of its own behind it.
        network = self._clients.network(peer, ",".join(request.headers.getlist("x-forwarded-for")))
        for buckets, name, rate in (
            (self._by_key, key, holder.events_per_second),
            (self._networks, network, self._network_rate),
        ):
            wait = buckets.wait_s(name, rate)
            if wait:
                msg = f"expected at most {rate:g} events a second, with bursts of ten seconds' worth"
                raise RequestRefused(reason="too_fast", detail=msg, retry_after_s=wait)
        country = self._clients.country(peer, request.headers, network)
        return Visitor(key, holder, network, country, agent(request.headers.get("user-agent", "")))

    def charge(self, visitor: Visitor, events: int) -> None:
        """Count events (at least one a request) against the visitor's limits."""
        self._by_key.charge(visitor.key, visitor.holder.events_per_second, max(1, events))
        self._networks.charge(visitor.network, self._network_rate, max(1, events))

    @contextmanager
    def room(self, visitor: Visitor) -> Iterator[Room]:
        """Where a body may be kept until the request is answered."""
        room = Room(self._held, visitor.network, self._limit)
        try:
            yield room
        finally:
            room.leave()

    def _key(self, request: Request) -> str:
        given = request.headers.get("authorization", "")
        if given.startswith(BEARER):
            return given.removeprefix(BEARER).strip()
        return request.query_params.get("key", "")


class Room:
    """What one request keeps in memory."""

    def __init__(self, held: Counter[str], network: str, limit: int) -> None:
        self._held = held
        self._network = network
        self._limit = limit
        self._taken = 0
        self.packed = b""
        """What came, as it came."""

    async def body(self, request: Request) -> bytes:
        """The whole body, unpacked. Raises RequestRefused and ContractError (`streams.intake.bodies.unpack`)."""
        try:
            async with asyncio.timeout(BODY_S):
                self.packed = packed = await self._read(request)
        except TimeoutError:
            msg = f"expected the body within {BODY_S:.0f} seconds"
            raise RequestRefused(reason="slow", detail=msg) from None
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if not encoding:
            return packed
        if len(packed) < THREAD_BYTES:
            plain = unpack(packed, encoding, self._limit)
        else:
            plain = await asyncio.to_thread(unpack, packed, encoding, self._limit)
        self._take(len(plain))
        return plain

    async def _read(self, request: Request) -> bytes:
        """A body over the limit is read on for a while, and thrown away, so that its sender sees the answer."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size <= self._limit:
                self._take(len(chunk))
                chunks.append(chunk)
            elif size > 8 * self._limit:
                break
        if size > self._limit:
            msg = f"expected at most {self._limit} bytes, the body has more"
            raise RequestRefused(reason="too_large", detail=msg)
        return b"".join(chunks)

    def _take(self, size: int) -> None:
        self._taken += size
        self._held[self._network] += size
        everything = ALL_BODIES * self._limit
        if self._held[self._network] > everything // 4 or self._held.total() > everything:
            msg = "too many bytes are on their way at this moment"
            raise RequestRefused(reason="too_busy", detail=msg, retry_after_s=1)

    def leave(self) -> None:
        """Give the memory back."""
        self._held[self._network] -= self._taken
        if not self._held[self._network]:
            del self._held[self._network]
