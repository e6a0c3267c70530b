"""`/v1/dashboard/sessions`: sessions by session or user id, and one of them with its timeline, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import msgspec
from fastapi import APIRouter, HTTPException, Path, Query, Response

from infra.errors import QueryError
from warehouse.dashboard.sessions import Sessions


class SessionRoutes:
    """The routes and the thread behind them: reading the lake may take seconds, and delays nothing but the next one."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._thread = ThreadPoolExecutor(1, "sessions")
        self.router = APIRouter(prefix="/v1/dashboard/sessions")
        self.router.get("")(self.search)
        self.router.get("/{session_id}")(self.view)

    def close(self) -> None:
        """End the question that is under way and the thread, and let go of the files: who stops does not wait."""
        self._sessions.interrupt()
        self._thread.submit(self._sessions.close)
        self._thread.shutdown(wait=False)

    async def search(self, find: Annotated[str, Query(min_length=1, max_length=200)]) -> Response:
        """Published sessions by session id or user id: `SessionSearch` of `session_shapes.py`."""
        return await self._in_thread(lambda: self._sessions.search(find))

    async def view(self, session_id: Annotated[str, Path(max_length=200)]) -> Response:
        """One session with its events: `SessionView` of `session_shapes.py`."""
        return await self._in_thread(lambda: self._sessions.view(session_id))

    async def _in_thread(self, work: Callable[[], msgspec.Struct]) -> Response:
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except QueryError as error:
            raise HTTPException(408 if error.reason == "timeout" else 503, str(error)) from error
        return Response(msgspec.json.encode(answer), media_type="application/json")
