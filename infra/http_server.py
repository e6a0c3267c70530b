"""uvicorn as a part of the platform: the part itself says what a signal means."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import uvicorn


class HttpServer(uvicorn.Server):
    """Without uvicorn's own signal handling, which would end the process by the signal and not with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
