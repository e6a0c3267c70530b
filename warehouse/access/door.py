"""Finds out who asks, and whether he may. Keys come as `Authorization: Bearer`, or as the password of Basic, so that a
browser's own dialogue opens the dashboard.

On loopback nobody needs a key, unless `server_keys` says so; whoever sends one is known by it there too.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from infra.errors import RequestRefused, SettingsError
from infra.settings import Settings
from warehouse.access.keys import KeyFile, Scope

ALWAYS, NEVER = "always", "none"
OPEN = frozenset({"/healthz", "/metrics"})
"""What whoever watches the process may see: figures of the process, none of viewers."""
_PLACE = "playlake.visitor"


@dataclass(frozen=True)
class Visitor:
    """Who asks. `per_minute`, `at_once`: his limits, 0 for none."""

    name: str
    id: str
    scope: Scope
    per_minute: int = 0
    at_once: int = 0


LOCAL = Visitor("local", "local", Scope.admin)
"""Whoever is on this machine, or comes through a proxy that asks for keys itself."""


class Door:
    """Lets in who has a key, and where none is needed, everybody."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError when the server would be open to the world, or closed to everybody."""
        self._settings = settings
        self._keys = KeyFile(settings.server_keys_file)
        self._needs_key = _needs_key(settings)
        if self._needs_key and not self._keys.valid():
            msg = (
                f"the server would listen at {settings.host}, and there is no API key: make one with `playlake key add "
                f"NAME`, or set PLAYLAKE_SERVER_KEYS={NEVER} if nobody needs one, e.g. because a proxy in front asks"
            )
            raise SettingsError(msg)

    def visitor(self, headers: Headers) -> Visitor:
        """Who asks. Raises RequestRefused (unknown_key)."""
        text = _sent_key(headers.get("authorization"))
        if text is None:
            if self._needs_key:
                msg = "an API key is needed: send it as `Authorization: Bearer plq_...`; `playlake key add` makes one"
                raise RequestRefused(reason="unknown_key", detail=msg)
            return LOCAL
        key = self._keys.find(text)
        if key is None:
            msg = "this API key is not known: it was revoked, has expired, or is not whole"
            raise RequestRefused(reason="unknown_key", detail=msg)
        limits = self._settings
        per_minute = limits.query_per_minute if key.per_minute is None else key.per_minute
        return Visitor(
            key.name, key.id, key.scope, per_minute, limits.query_at_once if key.at_once is None else key.at_once
        )


def visitor_of(request: Request, needed: Scope) -> Visitor:
    """Who sent a request that has come through the door. Raises RequestRefused (not_allowed)."""
    visitor: Visitor = request.scope[_PLACE]
    _require(visitor, needed)
    return visitor


class Doorkeeper:
    """ASGI middleware: before every page and every route but the open ones."""

    def __init__(self, app: ASGIApp, door: Door, refuse: Callable[[RequestRefused], Response]) -> None:
        self._app = app
        self._door = door
        self._refuse = refuse

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        try:
            visitor = self._door.visitor(Headers(scope=scope))
            _require(visitor, Scope.view)
        except RequestRefused as refused:
            await self._refuse(refused)(scope, receive, send)
            return
        await self._app({**scope, _PLACE: visitor}, receive, send)


def _require(visitor: Visitor, needed: Scope) -> None:
    if not visitor.scope.covers(needed):
        msg = f"this needs a key of scope {needed}, and {visitor.name} has one of scope {visitor.scope}"
        raise RequestRefused(reason="not_allowed", detail=msg)


def _needs_key(settings: Settings) -> bool:
    if settings.server_keys not in ("", ALWAYS, NEVER):
        msg = f"PLAYLAKE_SERVER_KEYS: expected {ALWAYS}, {NEVER} or nothing, got {settings.server_keys!r}"
        raise SettingsError(msg)
    return settings.server_keys == ALWAYS or (not settings.server_keys and not is_loopback(settings.host))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _sent_key(header: str | None) -> str | None:
    """The key in an Authorization header; None: none was sent. What can't be read is a key that nobody has."""
    if header is None:
        return None
    kind, _, content = header.partition(" ")
    if kind.lower() == "bearer":
        return content.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(content, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
