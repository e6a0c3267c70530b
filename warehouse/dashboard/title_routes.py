"""`/v1/dashboard/titles`: what is watched, and one title, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import msgspec
from fastapi import APIRouter, HTTPException, Path, Query, Response

from infra.errors import QueryError
from warehouse.dashboard.titles import Titles

STATUS = {"refused": 422, "timeout": 408}


class TitleRoutes:
    """The routes and the thread behind them."""

    def __init__(self, titles: Titles) -> None:
        self._titles = titles
        self._thread = ThreadPoolExecutor(1, "titles")
        self.router = APIRouter(prefix="/v1/dashboard/titles")
        self.router.get("")(self.list)
        self.router.get("/{content_id:path}")(self.view)

    def close(self) -> None:
        """End the question that is under way and the thread, and let go of the files: who stops does not wait."""
        self._titles.interrupt()
        self._thread.submit(self._titles.close)
        self._thread.shutdown(wait=False)

    async def list(self, span: Annotated[int, Query()] = 3_600) -> Response:
        """Titles of the last `span` seconds, the most watched first: `TitleList` of `title_shapes.py`."""
        return await self._in_thread(lambda: self._titles.list(span))

    async def view(
        self, content_id: Annotated[str, Path(max_length=200)], span: Annotated[int, Query()] = 3_600
    ) -> Response:
        """One of them: `TitleView` of `title_shapes.py`."""
        return await self._in_thread(lambda: self._titles.view(content_id, span))

    async def _in_thread(self, work: Callable[[], msgspec.Struct]) -> Response:
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except QueryError as error:
            raise HTTPException(STATUS.get(error.reason, 503), str(error)) from error
        return Response(msgspec.json.encode(answer), media_type="application/json")
