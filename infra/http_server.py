"""uvicorn as a part of the platform: the part itself says what a signal means."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import uvicorn

KEEP_ALIVE_S = 75
"""How long a connection may be idle: longer than the usual load balancers (60 s) and pages keep one. Whoever sends a
request just as it is closed gets no answer."""


class HttpServer(uvicorn.Server):
    """Without uvicorn's own signal handling, which would end the process by the signal and not with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
