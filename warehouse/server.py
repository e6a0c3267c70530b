"""The server: SQL over HTTP, the dashboard, the quality report. `python -m warehouse.server`.

POST /v1/sql       a query, through the sandbox; JSON, Arrow or CSV
GET  /v1/catalog   schemas, tables, columns, metrics
GET  /v1/live      live numbers as server-sent events (warehouse/dashboard)
GET  /quality/     the newest data-quality report
GET  /             the dashboard
GET  /healthz, /metrics
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import Scope

from infra import log
from infra.errors import PlaylakeError, QueryError
from infra.http_server import HttpServer
from infra.settings import Settings
from warehouse import answers, build, catalog, publication
from warehouse.dashboard.router import Dashboard
from warehouse.last_audit import LastAudit
from warehouse.live import LiveFeed
from warehouse.quality import ledger
from warehouse.sandbox import confine
from warehouse.sandbox.pool import Sandbox

STATUS = {"refused": 400, "failed": 400, "timeout": 408, "too_large": 413, "busy": 503, "unavailable": 503}
GRACE_S = 2
"""How long open answers may go on after SIGTERM; event streams would go on for ever."""
TIDY_S = 30.0

QUERIES = Counter("playlake_server_queries", "Queries of users by outcome", ["outcome"])
QUERY_SECONDS = Histogram("playlake_server_query_seconds", "Time of users' queries that gave an answer")

logger = logging.getLogger(__name__)


class SqlRequest(BaseModel):
    """Body of POST /v1/sql. `parameters`: a list for ?, an object for $name."""

    model_config = ConfigDict(extra="forbid")

    sql: str = Field(max_length=100_000)
    parameters: list[Any] | dict[str, Any] | None = None
    format: Literal["json", "arrow", "csv"] = "json"
    max_rows: int | None = Field(default=None, ge=0)
    timeout_s: float | None = Field(default=None, gt=0)


class Server:
    """The routes and what stands behind them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sandbox = Sandbox(settings)
        self.reader = catalog.CatalogReader(self.sandbox, settings.warehouse)
        self.live = LiveFeed(settings)
        self.dashboard = Dashboard(settings, LastAudit(settings))

    def app(self) -> FastAPI:
        """The application; its lifespan starts and stops the live feed, the dashboard and the sandbox."""
        # FastAPI's own documentation pages load their scripts from elsewhere: /reference is ours, /openapi.json stays.
        app = FastAPI(title="playlake", lifespan=self._lifespan, docs_url=None, redoc_url=None)
        if _is_loopback(self.settings.host):
            # A web page elsewhere may resolve its own name to this machine: it must not get to ask questions here.
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=[self.settings.host, "localhost"])
        app.post("/v1/sql", response_class=Response)(self.sql)
        app.get("/v1/catalog", response_class=Response)(self.catalog)
        app.get("/healthz")(self.healthz)
        app.get("/metrics", include_in_schema=False)(self.metrics)
        app.include_router(self.dashboard.router)
        app.mount("/quality", _Report(directory=ledger.home(self.settings) / "docs", html=True, check_dir=False))
        app.exception_handler(QueryError)(self.on_query_error)
        app.exception_handler(PlaylakeError)(self.on_error)
        app.exception_handler(RequestValidationError)(self.on_invalid)
        return app

    async def sql(self, request: SqlRequest) -> Response:
        """Run one read-only query over gold, silver, live and metrics."""
        try:
            answer = await run_in_threadpool(
                self.sandbox.query,
                request.sql,
                request.parameters,
                timeout_s=request.timeout_s,
                max_rows=request.max_rows,
            )
        except QueryError as error:
            QUERIES.labels(error.reason).inc()
            raise
        QUERIES.labels("answered").inc()
        QUERY_SECONDS.observe(answer.elapsed_s)
        encode, media_type = {
            "json": (answers.to_json, answers.JSON_TYPE),
            "arrow": (answers.to_arrow, answers.ARROW_TYPE),
            "csv": (answers.to_csv, answers.CSV_TYPE),
        }[request.format]
        body = await run_in_threadpool(encode, answer)
        headers = {"X-Playlake-Truncated": str(answer.truncated).lower()}
        if answer.publish_id:
            headers["X-Playlake-Publish"] = answer.publish_id
        return Response(body, media_type=media_type, headers=headers)

    async def catalog(self) -> Response:
        """What can be asked."""
        found = await run_in_threadpool(self.reader.read)
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def healthz(self) -> dict[str, Any]:
        """The server is there; and how current what it serves is."""
        record = publication.current(self.settings.warehouse)
        written = self.live.written_at
        return {
            "status": "ok",
            "publish_id": record.publish_id if record else None,
            "live_file_age_s": None if written is None else round(time.monotonic() - written, 1),
            "landlock": confine.landlock_version(),
        }

    async def metrics(self) -> Response:
        """Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def on_query_error(self, _request: Request, error: QueryError) -> Response:
        return _problem(STATUS[error.reason], error.reason, str(error))

    async def on_error(self, _request: Request, error: PlaylakeError) -> Response:
        logger.error("request failed", extra={"reason": str(error)})
        return _problem(500, type(error).__name__, str(error))

    async def on_invalid(self, _request: Request, error: RequestValidationError) -> Response:
        faults = "; ".join(f"{'.'.join(str(p) for p in fault['loc'])}: {fault['msg']}" for fault in error.errors())
        expected = 'expected {"sql": "SELECT ...", "parameters": [...] or {...}, "format": "json" | "arrow" | "csv"}'
        return _problem(422, "invalid", f"{faults}; {expected}" if _request.url.path == "/v1/sql" else faults)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        self.live.start()
        tidying = asyncio.create_task(self._tidy())
        try:
            async with self.dashboard.running():
                yield
        finally:
            tidying.cancel()
            await run_in_threadpool(self.live.stop)
            await run_in_threadpool(self.sandbox.close)

    async def _tidy(self) -> None:
        """Keep children warm for the newest publish and remove files that nobody reads any more."""
        while True:
            try:
                await run_in_threadpool(self.sandbox.warm_up)
                await run_in_threadpool(build.remove_unused, self.settings.warehouse)
            except (PlaylakeError, OSError) as error:
                logger.warning("tidying failed; trying again", extra={"reason": str(error)})
            await asyncio.sleep(TIDY_S)


class _Report(StaticFiles):
    """The Data Docs, which are there from the first audit on."""

    async def check_config(self) -> None:
        """A folder that is not there yet is no fault."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if self.directory is not None and not Path(self.directory).exists():
            raise HTTPException(404, "no audit has run yet; `playlake quality` makes the report")
        return await super().get_response(path, scope)


async def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    config = uvicorn.Config(
        Server(settings).app(),
        host=settings.host,
        port=settings.server_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = HttpServer(config)

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await server.serve()
    return 0 if server.started else 1


def _problem(status: int, reason: str, message: str) -> Response:
    body = msgspec.json.encode({"error": {"reason": reason, "message": message}})
    return Response(body, status, media_type="application/json")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.")


if __name__ == "__main__":
    log.setup("server")
    sys.exit(asyncio.run(serve(Settings.from_env())))
