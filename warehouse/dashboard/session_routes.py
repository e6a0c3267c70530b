"""`/v1/dashboard/sessions`: sessions by session or user id, and one of them with its timeline, over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response

from warehouse.dashboard.sessions import Sessions
from warehouse.dashboard.thread_routes import ThreadRoutes


class SessionRoutes(ThreadRoutes[Sessions]):
    """The routes of the page Session."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__("sessions", sessions)
        self.router.get("")(self.search)
        self.router.get("/{session_id}")(self.view)

    async def search(self, find: Annotated[str, Query(min_length=1, max_length=200)]) -> Response:
        """Published sessions by session id or user id: `SessionSearch` of `session_shapes.py`."""
        return await self._in_thread(lambda: self._reader.search(find))

    async def view(self, session_id: Annotated[str, Path(max_length=200)]) -> Response:
        """One session with its events: `SessionView` of `session_shapes.py`."""
        return await self._in_thread(lambda: self._reader.view(session_id))
