"""What the routes of a page have in common: one thread in which its reader answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

import msgspec
from fastapi import APIRouter, HTTPException, Response

from infra.errors import QueryError

STATUS = {"refused": 422, "timeout": 408, "too_large": 413}
"""Reason of a QueryError → status of the answer; 503 for any other."""


class Answering(Protocol):
    """What answers: asked from one thread, interrupted from any."""

    def catch_up(self) -> None: ...
    def interrupt(self) -> None: ...
    def close(self) -> None: ...


R = TypeVar("R", bound=Answering)


class ThreadRoutes(Generic[R]):
    """A router, and the thread behind it: a question that takes seconds delays nothing but the page's next one."""

    def __init__(self, name: str, reader: R) -> None:
        self.router = APIRouter(prefix=f"/v1/dashboard/{name}")
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, name)

    def close(self) -> None:
        """End the question that is under way and the thread, and let go of the files: who stops does not wait."""
        self._reader.interrupt()
        self._thread.submit(self._reader.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], msgspec.Struct]) -> Response:
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except QueryError as error:
            raise HTTPException(STATUS.get(error.reason, 503), str(error)) from error
        with suppress(RuntimeError):  # the thread has ended since: nobody will ask again
            self._thread.submit(self._reader.catch_up)
        return as_json(answer)


def as_json(answer: msgspec.Struct) -> Response:
    """The answer as it is sent."""
    return Response(msgspec.json.encode(answer), media_type="application/json")
