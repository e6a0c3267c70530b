"""The dashboard over HTTP: `/` and `/pages/…` (static), `/v1/live` (server-sent events), `/v1/dashboard/…`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from infra.settings import Settings
from warehouse.dashboard.board import MAX_HISTORY_S, Board
from warehouse.dashboard.cohort_routes import CohortRoutes
from warehouse.dashboard.cohorts import Explorer
from warehouse.dashboard.hub import Hub
from warehouse.dashboard.parity import LastComparison
from warehouse.dashboard.payload import Links, Quality
from warehouse.dashboard.session_routes import SessionRoutes
from warehouse.dashboard.sessions import Sessions
from warehouse.dashboard.title_routes import TitleRoutes
from warehouse.dashboard.titles import Titles

PAGES = Path(__file__).resolve().parent.parent / "pages" / "dist"
ADDRESSES = ("/", "/cohorts", "/titles", "/session", "/sql", "/parity", "/reference")
"""The pages, by the addresses that `pages/src/app.tsx` gives them: one file answers all."""
FOREVER = "public, max-age=31536000, immutable"  # names carry the hash of the content
NEVER = "no-cache"


class Dashboard:
    """The router and the task behind it. A server includes `router` and keeps `running()` open while it serves."""

    def __init__(self, settings: Settings, quality: Callable[[], Quality | None] = lambda: None) -> None:
        board = Board(settings.warehouse, settled_s=settings.live_freeze_after_s + 120)
        self.comparison = LastComparison(settings.lake_root)
        self.hub = Hub(board, links(settings), page_build(), quality, parity=self.comparison.state)
        self.router = APIRouter()
        for address in ADDRESSES:
            self.router.get(address, include_in_schema=False)(self.page)
        self.router.get("/pages/{name}", include_in_schema=False)(self.asset)
        self.router.get("/v1/live")(self.live)
        self.router.get("/v1/dashboard/history")(self.history)
        self.router.get("/v1/dashboard/parity")(self.parity)
        self._asked = (
            CohortRoutes(Explorer(settings.warehouse)),
            TitleRoutes(Titles(settings.warehouse)),
            SessionRoutes(Sessions(settings)),
        )
        for routes in self._asked:
            self.router.include_router(routes.router)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Reads once a second while open."""
        task = asyncio.create_task(self.hub.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            for routes in self._asked:
                routes.close()

    async def live(self) -> StreamingResponse:
        """Live numbers as server-sent events, one a second: `Live` of `warehouse/dashboard/payload.py`."""
        return StreamingResponse(
            self.hub.messages(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def history(
        self, start: Annotated[int, Query(alias="from")], stop: Annotated[int, Query(alias="to")]
    ) -> Response:
        """Published minutes in [from, to), seconds of epoch; at most eight days."""
        if not 0 <= start < stop <= start + MAX_HISTORY_S:
            detail = f"expected 0 <= from < to <= from + {MAX_HISTORY_S} (seconds of epoch), got from={start} to={stop}"
            raise HTTPException(422, detail)
        answer = await self.hub.history(start, stop)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def parity(self) -> Response:
        """The newest comparison of live with batch and the trend: `Parity` of `warehouse/dashboard/payload.py`."""
        answer = await run_in_threadpool(self.comparison.parity)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def page(self) -> Response:
        """The frame of every page."""
        if not (PAGES / "index.html").exists():
            text = "The pages are not built: run `make setup`, or `npm ci && npm run build` in warehouse/pages.\n"
            return Response(text, 503, media_type="text/plain")
        return FileResponse(PAGES / "index.html", headers={"Cache-Control": NEVER})

    async def asset(self, name: str) -> Response:
        """A file that the page names."""
        path = PAGES / name
        if path.parent != PAGES or not path.is_file():
            raise HTTPException(404, f"no page file is called {name}")
        return FileResponse(path, headers={"Cache-Control": FOREVER})


def page_build() -> str:
    """Name of the pages that are served."""
    try:
        return str(json.loads((PAGES / "build.json").read_text())["id"])
    except FileNotFoundError:
        return ""


def links(settings: Settings) -> Links:
    """Where the header leads."""
    return Links(
        airflow=f"http://{settings.host}:{settings.airflow_port}",
        quality="/quality/",
        collector=f"http://{settings.host}:{settings.collector_port}",
    )
