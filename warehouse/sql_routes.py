"""SQL over HTTP: `POST /v1/sql` asks, `GET /v1/sql` lists what runs, `DELETE /v1/sql/{id}` cancels.

An answer is passed on as the query's process makes it; what the reader does not take, waits there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any, Literal, TypeVar

import anyio
import msgspec
import pyarrow as pa
from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from infra.errors import QueryError
from infra.settings import Settings
from warehouse import answers
from warehouse.access.door import Visitor, visitor_of
from warehouse.access.keys import Scope
from warehouse.access.query_log import QueryLog, shown
from warehouse.running import MOST, Asked, Running
from warehouse.sandbox.frames import End
from warehouse.sandbox.pool import Answer, Limits, Parameters, Sandbox, Stream

HELD_BYTES = 1_000_000
"""An answer no longer than this is whole before it is sent: errors are answers then, and headers complete."""
DELIVERY_S = 120.0
"""Longest time that an answer may take to be read."""

_FORMS: dict[str, tuple[str, float]] = {
    "json": (answers.JSON_TYPE, HELD_BYTES),
    "arrow": (answers.ARROW_TYPE, HELD_BYTES),
    "csv": (answers.CSV_TYPE, float("inf")),
    "parquet": (answers.PARQUET_TYPE, float("inf")),
}
"""Form → media type, and bytes that are held back: all of a file's, which can say only in a header that it was cut."""

T = TypeVar("T")
Problem = Callable[[QueryError, str], Response]


class SqlRequest(BaseModel):
    """Body of POST /v1/sql.

    parameters         a list for ?, an object for $name
    secret_parameters  which of them the audit log must not have: true, or names or places (from 1)
    query_id           to cancel it by before it has answered; made up when absent
    """

    model_config = ConfigDict(extra="forbid")

    sql: str = Field(max_length=100_000)
    parameters: list[Any] | dict[str, Any] | None = None
    secret_parameters: bool | list[str | int] = False
    query_id: str | None = None
    format: Literal["json", "arrow", "csv", "parquet"] = "json"
    max_rows: int | None = Field(default=None, ge=0)
    timeout_s: float | None = Field(default=None, gt=0)


class SqlRoutes:
    """The router, and what runs behind it."""

    def __init__(self, settings: Settings, sandbox: Sandbox, problem: Problem) -> None:
        self._sandbox = sandbox
        self._problem = problem
        self._stall_s = settings.query_stall_s
        self._log = QueryLog(settings)
        self._running = Running(self._log)
        # Waiting queries must not take the threads that everything else needs.
        self._threads = anyio.CapacityLimiter(MOST)
        self.router = APIRouter()
        self.router.post("/v1/sql", response_class=Response)(self.ask)
        self.router.get("/v1/sql", response_class=Response)(self.list_running)
        self.router.delete("/v1/sql/{query_id}", response_class=Response)(self.cancel)

    def close(self) -> None:
        self._log.close()

    async def ask(self, body: SqlRequest, request: Request) -> Response:
        """Run one read-only query over gold, silver, live and metrics."""
        visitor = visitor_of(request, Scope.query)
        asked = self._running.begin(visitor, body.sql, shown(body.parameters, body.secret_parameters), body.query_id)
        try:
            return await _unless_gone(request, asked, self._answer(asked, body))
        except QueryError as error:
            self._running.end(asked, error.reason)
            return self._problem(error, asked.id)
        except BaseException:
            self._running.end(asked, "broken")
            raise

    async def whole(self, visitor: Visitor, sql: str, parameters: Parameters, max_rows: int) -> Answer:
        """The same, all rows at once, for who called a tool. Raises QueryError, RequestRefused."""
        asked = self._running.begin(visitor, sql, shown(parameters, False), None)
        try:
            answer = await to_thread.run_sync(
                lambda: self._sandbox.query(sql, parameters, max_rows=max_rows, cancelled=asked.cancelled),
                limiter=self._threads,
                abandon_on_cancel=True,
            )
        except QueryError as error:
            self._running.end(asked, error.reason)
            raise
        except BaseException:  # who asked does not wait any more, or the server is going down
            asked.cancelled.set()
            self._running.end(asked, "cancelled")
            raise
        self._running.end(asked, "answered", answer.table.num_rows, answer.publish_id)
        return answer

    async def list_running(self, request: Request) -> Response:
        """The caller's queries that run or wait; with the scope admin everybody's."""
        visitor = visitor_of(request, Scope.query)
        return _json({"queries": [asked.shown() for asked in self._running.of(visitor)]})

    async def cancel(self, query_id: str, request: Request) -> Response:
        """Kill a query: its process at once, and who waits for it is told."""
        asked = self._running.cancel(visitor_of(request, Scope.query), query_id)
        if asked is None:
            message = f"no query {query_id} of yours is running"
            return _json({"error": {"reason": "unknown_query", "message": message}}, 404)
        return _json({"query_id": asked.id, "state": "cancelled"})

    async def _answer(self, asked: Asked, body: SqlRequest) -> Response:
        """Sent whole where it is short, else in pieces while it is made."""
        stream = _Pieces(self._sandbox, asked, body)
        media_type, most = _FORMS[body.format]
        held: list[bytes] = []
        try:
            while sum(map(len, held)) < most:
                piece = await self._in_thread(stream.next)
                if piece is None:
                    assert stream.end is not None
                    self._running.end(asked, "answered", stream.end.rows, stream.publish_id)
                    headers = _headers(asked, stream.publish_id, stream.end.truncated)
                    return Response(b"".join(held), media_type=media_type, headers=headers)
                held.append(piece)
        except BaseException:
            asked.cancelled.set()
            with anyio.CancelScope(shield=True):
                await self._in_thread(stream.close)
            raise
        headers = _headers(asked, stream.publish_id, None)
        streamed = _Streamed(held, self._rest(stream), stall_s=self._stall_s, headers=headers, media_type=media_type)
        streamed.on_end(stream.stop, lambda: self._finish(asked, stream))
        return streamed

    async def _rest(self, stream: _Pieces) -> AsyncIterator[bytes]:
        """What comes after the pieces that were held back."""
        while (piece := await self._in_thread(stream.next)) is not None:
            yield piece

    async def _finish(self, asked: Asked, stream: _Pieces) -> None:
        """The query is over, however far it came."""
        with anyio.CancelScope(shield=True):
            await self._in_thread(stream.close)
        outcome = "answered" if stream.end else stream.failure or "unread"
        self._running.end(asked, outcome, stream.end.rows if stream.end else None, stream.publish_id)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._threads)


class _Pieces:
    """The pieces of one answer in its form, one blocking call each."""

    def __init__(self, sandbox: Sandbox, asked: Asked, body: SqlRequest) -> None:
        self.publish_id: str | None = None
        self.end: End | None = None
        self.failure: str | None = None
        self._cancelled = asked.cancelled
        self._pieces = self._read(sandbox, asked, body)

    def next(self) -> bytes | None:
        """None after the last one. Raises QueryError."""
        try:
            return next(self._pieces, None)
        except QueryError as error:
            self.failure = error.reason
            raise

    def stop(self) -> None:
        """Let a thread that waits for the next piece go."""
        self._cancelled.set()

    def close(self) -> None:
        """End the query's process, if it has not ended."""
        self._pieces.close()

    def _read(self, sandbox: Sandbox, asked: Asked, body: SqlRequest) -> Generator[bytes, None, None]:
        limits = Limits(timeout_s=body.timeout_s, max_rows=body.max_rows, cancelled=asked.cancelled)
        with sandbox.stream(body.sql, body.parameters, **limits) as stream:
            self.publish_id = stream.publish_id
            if body.format == "arrow":
                yield from stream
            else:
                rows = stream.batches()
                batches = _to_the_end(rows, stream)
                match body.format:
                    case "csv":
                        yield from answers.csv_pieces(rows.schema, batches)
                    case "parquet":
                        yield from answers.parquet_pieces(rows.schema, batches)
                    case _:
                        head = {"query_id": asked.id}
                        yield from answers.json_pieces(rows.schema, batches, head, lambda: _tail(asked, stream))
            self.end = stream.end


def _to_the_end(rows: pa.RecordBatchReader, stream: Stream) -> Iterator[pa.RecordBatch]:
    """The batches, and then what the stream says of itself behind them."""
    yield from rows
    for _ in stream:
        pass


def _tail(asked: Asked, stream: Stream) -> dict[str, Any]:
    assert stream.end is not None
    return answers.json_tail(stream.end.truncated, asked.elapsed_s(), stream.publish_id)


class _Streamed(Response):
    """A response in pieces. One that breaks off, or that nobody reads, is cut: its reader sees that it is not whole."""

    def __init__(
        self, held: list[bytes], rest: AsyncIterator[bytes], *, stall_s: float, headers: dict[str, str], media_type: str
    ) -> None:
        super().__init__(headers=headers, media_type=media_type)
        del self.headers["content-length"]
        self._held = held
        self._rest = rest
        self._stall_s = stall_s

    def on_end(self, stop: Callable[[], None], finish: Callable[[], Awaitable[None]]) -> None:
        """What is done when the last piece is sent, or no more can be: `stop` lets a waiting thread go."""
        self._stop = stop
        self._finish = finish

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_gone(receive))
        sending = asyncio.create_task(self._send(send))
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stop()  # first: a task is only cancelled when its thread has returned
            for task in (gone, sending):
                task.cancel()
            await asyncio.gather(gone, sending, return_exceptions=True)
            await self._finish()

    async def _send(self, send: Send) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DELIVERY_S):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                for piece in self._held:
                    await self._send_piece(send, piece)
                self._held.clear()
                try:
                    async for piece in self._rest:
                        await self._send_piece(send, piece)
                except QueryError as error:
                    if self.media_type == answers.JSON_TYPE:
                        await self._send_piece(send, answers.json_broken_off(error.reason, str(error)))
                    return
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_piece(self, send: Send, piece: bytes) -> None:
        async with asyncio.timeout(self._stall_s):
            await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _unless_gone(request: Request, asked: Asked, answering: Awaitable[Response]) -> Response:
    """The response; when nobody waits for it any more, the query is killed."""
    work = asyncio.ensure_future(answering)
    gone = asyncio.create_task(_gone(request.receive))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            asked.cancelled.set()
        return await work
    except asyncio.CancelledError:
        asked.cancelled.set()  # the server is going down
        raise
    finally:
        gone.cancel()


async def _gone(receive: Receive) -> None:
    """Returns when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _headers(asked: Asked, publish_id: str | None, truncated: bool | None) -> dict[str, str]:
    """`truncated`: None while it is not known; the stream's last batch says it then."""
    told = {
        "X-Playlake-Query": asked.id,
        "X-Playlake-Publish": publish_id,
        "X-Playlake-Truncated": None if truncated is None else str(truncated).lower(),
    }
    return {name: value for name, value in told.items() if value is not None}


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
