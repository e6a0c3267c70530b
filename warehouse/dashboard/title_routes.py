"""`/v1/dashboard/titles`: what is watched, and one title, over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response

from warehouse.dashboard.thread_routes import ThreadRoutes
from warehouse.dashboard.titles import Titles


class TitleRoutes(ThreadRoutes[Titles]):
    """The routes of the page Titles."""

    def __init__(self, titles: Titles) -> None:
        super().__init__("titles", titles)
        self.router.get("")(self.list)
        self.router.get("/{content_id:path}")(self.view)

    async def list(self, span: Annotated[int, Query()] = 3_600) -> Response:
        """Titles of the last `span` seconds, the most watched first: `TitleList` of `title_shapes.py`."""
        return await self._in_thread(lambda: self._reader.list(span))

    async def view(
        self, content_id: Annotated[str, Path(max_length=200)], span: Annotated[int, Query()] = 3_600
    ) -> Response:
        """One of them: `TitleView` of `title_shapes.py`."""
        return await self._in_thread(lambda: self._reader.view(content_id, span))
