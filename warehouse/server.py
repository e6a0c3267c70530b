"""The server: SQL over HTTP, the dashboard, the quality report. `python -m warehouse.server`.

POST /v1/sql       a query, through the sandbox. GET: what runs. DELETE /v1/sql/{id}: cancel
GET  /v1/catalog   schemas, tables, columns, metrics
GET  /v1/live      live numbers as server-sent events (warehouse/dashboard)
GET  /quality/     the newest data-quality report
GET  /             the dashboard
GET  /healthz, /metrics

Beyond loopback all but the last two ask for an API key (warehouse/access).
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
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import Scope

from infra import log
from infra.errors import PlaylakeError, QueryError, RequestRefused, SettingsError
from infra.http_server import KEEP_ALIVE_S, HttpServer
from infra.memory import share_arenas
from infra.settings import Settings
from warehouse import catalog, publication, retire
from warehouse.access.body_limit import BodyLimit
from warehouse.access.door import Door, Doorkeeper, is_loopback
from warehouse.dashboard.router import Dashboard
from warehouse.last_audit import LastAudit
from warehouse.live import LiveFeed
from warehouse.mcp import server as mcp_server
from warehouse.quality import ledger
from warehouse.sandbox import confine
from warehouse.sandbox.pool import Sandbox
from warehouse.sql_routes import SqlRoutes

STATUS = {
    "refused": 400, "failed": 400, "bad_id": 400,
    "unknown_key": 401, "not_allowed": 403,
    "timeout": 408, "cancelled": 409, "id_in_use": 409, "too_large": 413,
    "too_fast": 429, "too_many": 429,
    "busy": 503, "unavailable": 503,
}  # fmt: skip
"""Reason of a QueryError or a RequestRefused → status of the answer."""
BUSY_RETRY_S = 1.0
GRACE_S = 2
"""How long open answers may go on after SIGTERM; event streams would go on for ever."""
TIDY_S = 30.0
CATALOG_AGE_S = 1.0

REFUSED = Counter("playlake_server_refused", "Requests that were not let in, by reason", ["reason"])

logger = logging.getLogger(__name__)


class Server:
    """The routes and what stands behind them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.door = Door(settings)
        self.sandbox = Sandbox(settings)
        self.reader = catalog.CatalogReader(self.sandbox, settings)
        self.live = LiveFeed(settings)
        self.routes = SqlRoutes(settings, self.sandbox, _query_problem)
        self.dashboard = Dashboard(settings, LastAudit(settings))
        self.agents, self.agents_app = mcp_server.over_http(settings, self.reader, self.routes)

    def app(self) -> FastAPI:
        """The application; its lifespan starts and stops the live feed, the dashboard and the sandbox."""
        # FastAPI's own documentation pages load their scripts from elsewhere: /reference is ours, /openapi.json stays.
        app = FastAPI(title="playlake", lifespan=self._lifespan, docs_url=None, redoc_url=None)
        app.add_middleware(BodyLimit, refuse=_refused)
        app.add_middleware(Doorkeeper, door=self.door, refuse=_refused)
        if is_loopback(self.settings.host):
            # A web page elsewhere may resolve its own name to this machine: it must not get to ask questions here.
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=[self.settings.host, "localhost"])
        app.include_router(self.routes.router)
        app.router.routes.extend(self.agents_app.routes)
        app.get("/v1/catalog", response_class=Response)(self.catalog)
        app.get("/healthz")(self.healthz)
        app.get("/metrics", include_in_schema=False)(self.metrics)
        app.include_router(self.dashboard.router)
        app.mount("/quality", _Report(directory=ledger.home(self.settings) / "docs", html=True, check_dir=False))
        app.exception_handler(QueryError)(self.on_query_error)
        app.exception_handler(RequestRefused)(self.on_refused)
        app.exception_handler(PlaylakeError)(self.on_error)
        app.exception_handler(RequestValidationError)(self.on_invalid)
        return app

    async def catalog(self) -> Response:
        """What can be asked."""
        found = await run_in_threadpool(self.reader.read, CATALOG_AGE_S)
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
        return _query_problem(error)

    async def on_refused(self, _request: Request, refused: RequestRefused) -> Response:
        return _refused(refused)

    async def on_error(self, _request: Request, error: PlaylakeError) -> Response:
        logger.error("request failed", extra={"reason": str(error)})
        return _problem(500, type(error).__name__, str(error))

    async def on_invalid(self, _request: Request, error: RequestValidationError) -> Response:
        faults = "; ".join(f"{'.'.join(str(p) for p in fault['loc'])}: {fault['msg']}" for fault in error.errors())
        expected = 'expected {"sql": "SELECT ...", "parameters": [...] or {...}, "format": "json"}, as in docs/sql.md'
        return _problem(422, "invalid", f"{faults}; {expected}" if _request.url.path == "/v1/sql" else faults)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        self.live.start()
        tidying = asyncio.create_task(self._tidy())
        try:
            async with self.agents.session_manager.run(), self.dashboard.running():
                yield
        finally:
            tidying.cancel()
            await run_in_threadpool(self.live.stop)
            await run_in_threadpool(self.sandbox.close)
            self.routes.close()

    async def _tidy(self) -> None:
        """Keep children warm for the newest publish and remove files that nobody reads any more."""
        while True:
            try:
                await run_in_threadpool(self.sandbox.warm_up)
                await run_in_threadpool(retire.tidy, self.settings.warehouse)
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
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = HttpServer(config)

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await server.serve()
    return 0 if server.started else 1


def _query_problem(error: QueryError, query_id: str | None = None) -> Response:
    """Why there is no answer, and at which character of the query where that is known."""
    response = _problem(STATUS[error.reason], error.reason, str(error), position=error.position, query_id=query_id)
    if query_id is not None:
        response.headers["X-Playlake-Query"] = query_id
    if error.reason == "busy":
        response.headers["Retry-After"] = f"{BUSY_RETRY_S:.0f}"
    return response


def _refused(refused: RequestRefused) -> Response:
    REFUSED.labels(refused.reason).inc()
    response = _problem(STATUS[refused.reason], refused.reason, str(refused))
    if refused.reason == "unknown_key":
        response.headers.append("WWW-Authenticate", 'Bearer realm="playlake"')
        response.headers.append("WWW-Authenticate", 'Basic realm="playlake: an API key as the password"')
    if refused.retry_after_s is not None:
        response.headers["Retry-After"] = f"{refused.retry_after_s:.0f}"
    return response


def _problem(status: int, reason: str, message: str, **more: object) -> Response:
    error = {"reason": reason, "message": message} | {name: value for name, value in more.items() if value is not None}
    return Response(msgspec.json.encode({"error": error}), status, media_type="application/json")


def main() -> int:
    """Exit code. A server that must not start says why in one line of its log."""
    share_arenas()
    log.setup("server")
    try:
        return asyncio.run(serve(Settings.from_env()))
    except SettingsError as error:
        logger.critical(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
