"""uvicorn with the guards that it leaves to others: a request's head has a size and a time, a network its connections.

Reading bodies in bounded time is `streams/intake/gate.py`'s matter.
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infra.http_server import KEEP_ALIVE_S, HttpServer
from infra.settings import Settings
from streams.intake.clients import Clients

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HEAD_S = 10.0
"""How long a request line and headers may take to come, and how long a client may take to read its answer."""
MAX_HEAD_BYTES = 32_768
"""Also the longest address of `/v1/pixel`. What comes in one piece may be longer by that piece."""


def server(app: ASGIApp, settings: Settings, grace_s: float) -> uvicorn.Server:
    """To be served within the running event loop. Stops by `should_exit`, not by a signal of its own handling."""
    _allow_many_connections()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.collector_port,
        http=_guarded(settings),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        # Whom to believe about a client's address is a setting of ours.
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(grace_s),
    )
    return HttpServer(config)


class GuardedProtocol(HttpToolsProtocol):
    """One connection. `clients` and `open_connections` are those of the server: see `_guarded`."""

    clients: Clients
    open_connections: Counter[str]
    max_connections: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = 0
        self._in_head = True
        self._deadline: asyncio.TimerHandle | None = self.loop.call_later(HEAD_S, self._give_up)
        self._writing: asyncio.TimerHandle | None = None
        peer = self.client[0] if self.client else None
        # A proxy's own connections are not counted: they are other people's.
        self._network = "" if self.clients.is_trusted(peer) else self.clients.network(peer, None)
        if self._network:
            self.open_connections[self._network] += 1
            if self.open_connections[self._network] > self.max_connections:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._disarm()
        self.resume_writing()
        if self._network:
            self.open_connections[self._network] -= 1
            if not self.open_connections[self._network]:
                del self.open_connections[self._network]

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._head_bytes = 0
            self._in_head = True
            self._deadline = self.loop.call_later(HEAD_S, self._give_up)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._disarm()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing = self.loop.call_later(HEAD_S, self._give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing:
            self._writing.cancel()
            self._writing = None

    def _disarm(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self.transport.abort()


def _guarded(settings: Settings) -> type[GuardedProtocol]:
    members: dict[str, Any] = {
        "clients": Clients(settings),
        "open_connections": Counter(),
        "max_connections": settings.collector_max_connections,
    }
    return type("CollectorProtocol", (GuardedProtocol,), members)


def _allow_many_connections() -> None:
    """As many open files as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
