"""`GET /sdk.js`: the browser SDK (`streams/intake/sdk/`), as set-up has bundled it.

A page names no version: browsers ask again after a few minutes and get 304 while it is the same file.
"""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

FILE = Path(__file__).with_name("sdk") / "dist" / "sdk.js"
HEADERS = {
    "cache-control": "public, max-age=300, stale-while-revalidate=86400",
    "vary": "accept-encoding",
    # Any page may load it, also one that isolates itself from other origins.
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
    "x-content-type-options": "nosniff",
}


class SdkFile:
    """The bundle in memory, plain and packed. It is read at its first request, so a collector starts without it."""

    def __init__(self, path: Path = FILE) -> None:
        self._path = path
        self._known: tuple[bytes, bytes, str] | None = None

    def route(self) -> Route:
        return Route("/sdk.js", self.get, methods=["GET", "HEAD"])

    async def get(self, request: Request) -> Response:
        if self._known is None:
            if not self._path.is_file():
                return PlainTextResponse("the SDK is not built: run `make setup`\n", 404)
            plain = self._path.read_bytes()
            self._known = plain, gzip.compress(plain, 9, mtime=0), hashlib.sha256(plain).hexdigest()[:20]
        plain, packed, digest = self._known
        is_packed = "gzip" in request.headers.get("accept-encoding", "")
        # Each form has a tag of its own: a cache must not take one for the other.
        tag = f'"{digest}-gz"' if is_packed else f'"{digest}"'
        headers = HEADERS | {"etag": tag}
        if tag in (known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")):
            return Response(status_code=304, headers=headers)
        if is_packed:
            headers["content-encoding"] = "gzip"
        return Response(packed if is_packed else plain, 200, headers, "text/javascript")
