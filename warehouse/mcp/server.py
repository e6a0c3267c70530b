"""The tools that an agent has, and who runs their queries.

Over HTTP the caller's key says who asks: scope, limits and audit lines are those of `POST /v1/sql`. Over stdio it is
whoever started the process, as with `playlake sql`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, TypeVar

from anyio import to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from starlette.applications import Starlette
from starlette.requests import Request

from infra.errors import QueryError, RequestRefused
from infra.settings import Settings
from schemas.quality import ROLLUPS
from warehouse import answers
from warehouse.access.body_limit import MAX_BYTES
from warehouse.access.door import visitor_of
from warehouse.access.keys import Scope
from warehouse.catalog import Catalog, CatalogReader
from warehouse.dashboard.sessions import Sessions
from warehouse.mcp import telling
from warehouse.sandbox.pool import Answer, Parameters, Sandbox
from warehouse.sql_routes import SqlRoutes

MOST_ROWS = 1000
USUAL_ROWS = 100
CATALOG_AGE_S = 5.0
PATH = "/mcp"

INSTRUCTIONS = """\
The streaming events of a video service as SQL (DuckDB's dialect): read only, history and live numbers in one query.

1. list_tables, then describe the one that you need. `metrics.*` are views over history and live; `gold.*` and
   `silver.*` are published, `live.*` is what came since. `silver.sessions` has a row a view;
   `metrics.session_quality` the same with every metric of a session.
2. Tables of minutes and days hold additive parts. Never average a ratio: call the metric's macro over a group, e.g.
   SELECT country, stalled_share(stall_ms, watched_ms) FROM metrics.quality_minute
   WHERE rollup = 'country_device' AND minute > now() - INTERVAL 1 HOUR GROUP BY country.
   metrics.quality_minute has every event once PER ROLLUP: always filter by one rollup. {rollups}.
3. explain_metric before you interpret a number: it says what counts, what does not, and which values are worse.
4. Say with a number how fresh it is (list_tables tells) and how many plays or minutes stand behind it.
""".format(rollups="; ".join(f"'{name}' keeps {', '.join(kept) or 'no dimension'}" for name, kept in ROLLUPS.items()))

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)

T = TypeVar("T")


Ask = Callable[[Context[Any, Any], str, Parameters, int], Awaitable[Answer]]
"""Runs SQL with parameters and a limit of rows for whoever called the tool. Raises QueryError, RequestRefused."""


def build(settings: Settings, reader: CatalogReader, ask: Ask) -> MCPServer[Any]:
    """The server, to be run over a transport. What its tools need is opened when they are first called."""
    server: MCPServer[Any] = MCPServer(
        "playlake", version=version("playlake"), instructions=INSTRUCTIONS, log_level="WARNING", subscriptions=False
    )
    sessions = _Sessions(settings)

    def tool(title: str) -> Callable[[Callable[..., Awaitable[str]]], object]:
        # As text: an agent reads text, and a copy of every answer as structured content would cost it twice.
        return server.tool(title=title, annotations=READS, structured_output=False)

    async def catalog() -> Catalog:
        return await _in_thread(lambda: reader.read(CATALOG_AGE_S))

    @tool("List tables")
    async def list_tables() -> str:
        """Tables and views with what a row of each is and how fresh it is."""
        return await _told(catalog, telling.tables)

    @tool("Describe a table")
    async def describe(table: str) -> str:
        """Columns of a table or view, with type, unit and meaning. `table`: as list_tables names it."""
        return await _told(catalog, lambda found: telling.table(found, table))

    @tool("Query")
    async def query(
        context: Context[Any, Any],
        sql: str,
        parameters: dict[str, Any] | list[Any] | None = None,
        max_rows: int = USUAL_ROWS,
    ) -> str:
        """Run one SELECT (DuckDB SQL) over gold, silver, live and metrics. Read only, bounded in time and memory.

        parameters: a list for ?, an object for $name; never paste values into the text. max_rows: at most 1000; an
        answer that was cut says so: aggregate instead of asking for more. Integers beyond 2^53 come as strings.
        """
        if not 0 < max_rows <= MOST_ROWS:
            msg = f"max_rows: expected 1 to {MOST_ROWS}, got {max_rows}; add up in SQL what is more"
            raise ToolError(msg)
        return await _answered(ask(context, sql, parameters, max_rows), lambda answer: answers.to_json(answer).decode())

    @tool("List metrics")
    async def list_metrics(word: str = "") -> str:
        """Metrics with unit, meaning and how the macro is called; with `word` only those that it occurs in."""
        return await _told(_nothing, lambda _: telling.metrics(word))

    @tool("Explain a metric")
    async def explain_metric(name: str) -> str:
        """A metric's definition: formula, unit, what counts, what does not, sources, and a query that asks for it."""
        return await _told(_nothing, lambda _: telling.metric(name))

    @tool("Find sessions")
    async def find_sessions(session_or_user_id: str) -> str:
        """Published sessions (views) with this session id or of this user, newest first."""
        return await _told(lambda: sessions.search(session_or_user_id), telling.sessions)

    @tool("Timeline of a session")
    async def session_timeline(session_id: str) -> str:
        """What happened in one view: its phases (starting, playing, stalled, paused, ad), bitrate, events, and what the
        metrics made of them. Times are seconds since its first event."""
        return await _told(lambda: sessions.view(session_id), telling.timeline)

    return server


def over_http(settings: Settings, reader: CatalogReader, routes: SqlRoutes) -> tuple[MCPServer[Any], Starlette]:
    """The server with its one route, `/mcp`, for the application of the SQL service, which runs `session_manager`.

    Stateless: a request has all that it needs, so agents survive a restart of the server.
    """

    async def ask(context: Context[Any, Any], sql: str, parameters: Parameters, max_rows: int) -> Answer:
        request = context.request_context.request
        assert isinstance(request, Request)
        return await routes.whole(visitor_of(request, Scope.query), sql, parameters, max_rows)

    server = build(settings, reader, ask)
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        json_response=True,
        max_request_body_size=MAX_BYTES,
        host=settings.host,
    )
    return server, app


def serve_stdio(settings: Settings) -> None:
    """Answer an agent that has started this process, until it closes stdin."""
    with Sandbox(settings, warm=1) as sandbox:

        async def ask(_context: Context[Any, Any], sql: str, parameters: Parameters, max_rows: int) -> Answer:
            cancelled = threading.Event()
            try:
                return await to_thread.run_sync(
                    lambda: sandbox.query(sql, parameters, max_rows=max_rows, cancelled=cancelled),
                    abandon_on_cancel=True,
                )
            finally:
                cancelled.set()

        print("playlake: MCP over stdio; waiting for a client", file=sys.stderr)
        with contextlib.suppress(KeyboardInterrupt):
            build(settings, CatalogReader(sandbox, settings.warehouse), ask).run("stdio")


class _Sessions:
    """The page Session's answers, one at a time: reading the lake may take seconds."""

    def __init__(self, settings: Settings) -> None:
        self._sessions = Sessions(settings)
        self._lock = asyncio.Lock()

    async def search(self, wanted: str) -> Any:
        return await self._one(lambda: self._sessions.search(wanted))

    async def view(self, session_id: str) -> Any:
        return await self._one(lambda: self._sessions.view(session_id))

    async def _one(self, work: Callable[[], Any]) -> Any:
        async with self._lock:
            return await _in_thread(work)


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work)


async def _nothing() -> None:
    return None


async def _told(asked: Callable[[], Awaitable[T]], tell: Callable[[T], telling.Told]) -> str:
    return await _answered(asked(), lambda found: json.dumps(tell(found), ensure_ascii=False, separators=(",", ":")))


async def _answered(asked: Awaitable[T], tell: Callable[[T], str]) -> str:
    """The text of a tool's answer; what was refused or failed is told, so that the agent can mend its question."""
    try:
        return tell(await asked)
    except (QueryError, RequestRefused) as error:
        raise ToolError(str(error)) from error
