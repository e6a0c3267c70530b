"""No request makes the server hold more than a query with its parameters may have."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from infra.errors import RequestRefused

MAX_BYTES = 8_500_000
"""Somewhat more than a query and its parameters may have, which is told by a better message."""


class BodyLimit:
    """ASGI middleware: refuses by Content-Length, and cuts off what has none."""

    def __init__(self, app: ASGIApp, refuse: Callable[[RequestRefused], Response]) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "0")
        if not told.isdecimal() or int(told) > MAX_BYTES:
            await self._refuse(_refusal(told))(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BYTES:
                told_late = f"more than {read}"
                raise _refusal(told_late)
            return message

        await self._app(scope, counted, send)


def _refusal(told: str) -> RequestRefused:
    return RequestRefused(reason="too_large", detail=f"a body may have {MAX_BYTES:,} bytes, this one has {told}")
