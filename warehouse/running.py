"""The queries that the server runs at this moment. Each leaves a line in the audit log when it ends."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from prometheus_client import Counter, Gauge, Histogram

from infra.errors import RequestRefused
from warehouse.access.door import Visitor
from warehouse.access.keys import Scope
from warehouse.access.pace import Pace
from warehouse.access.query_log import QueryLog

MOST = 200
"""Queries that run or wait; beyond it the server is too busy even to queue one."""
ID = re.compile(r"[A-Za-z0-9_-]{8,64}")

QUERIES = Counter("playlake_server_queries", "Queries of users by outcome", ["outcome"])
QUERY_SECONDS = Histogram("playlake_server_query_seconds", "Time of users' queries that gave an answer")
RUNNING = Gauge("playlake_server_queries_running", "Queries of users that run or wait")


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A running query as `GET /v1/sql` lists it."""

    id: str
    key: str
    sql: str
    started_at: datetime
    elapsed_ms: float


class Asked:
    """One query from its beginning to its end. `cancelled` may be set by any thread."""

    def __init__(self, query_id: str, visitor: Visitor, sql: str, parameters: Any) -> None:
        self.id = query_id
        self.visitor = visitor
        self.sql = sql
        self.parameters = parameters
        self.cancelled = threading.Event()
        self.started_at = datetime.now(UTC)
        self._started = time.monotonic()

    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def shown(self) -> Shown:
        return Shown(
            id=self.id,
            key=self.visitor.name,
            sql=self.sql,
            started_at=self.started_at,
            elapsed_ms=round(self.elapsed_s() * 1000, 1),
        )


class Running:
    """Them all. To be used from one thread."""

    def __init__(self, log: QueryLog) -> None:
        self._log = log
        self._pace = Pace()
        self._asked: dict[str, Asked] = {}

    def begin(self, visitor: Visitor, sql: str, parameters: Any, query_id: str | None) -> Asked:
        """A query that may run. `parameters`: as the log may have them. Raises RequestRefused."""
        asked = Asked(query_id or secrets.token_hex(8), visitor, sql, parameters)
        try:
            self._admit(asked)
        except RequestRefused as refused:
            QUERIES.labels(refused.reason).inc()
            self._write(asked, refused.reason)
            raise
        self._asked[asked.id] = asked
        RUNNING.set(len(self._asked))
        return asked

    def end(self, asked: Asked, outcome: str, rows: int | None = None, publish_id: str | None = None) -> None:
        """It is over; a second call does nothing."""
        if self._asked.get(asked.id) is not asked:
            return
        del self._asked[asked.id]
        RUNNING.set(len(self._asked))
        self._pace.leave(asked.visitor.id)
        QUERIES.labels(outcome).inc()
        if outcome == "answered":
            QUERY_SECONDS.observe(asked.elapsed_s())
        self._write(asked, outcome, rows, publish_id)

    def of(self, visitor: Visitor) -> Iterator[Asked]:
        """What a visitor may see and cancel: his own, or with the scope admin all."""
        for asked in self._asked.values():
            if asked.visitor.id == visitor.id or visitor.scope.covers(Scope.admin):
                yield asked

    def cancel(self, visitor: Visitor, query_id: str) -> Asked | None:
        """Kill a query; None when there is none of this id, or it is not his to kill."""
        asked = next((one for one in self.of(visitor) if one.id == query_id), None)
        if asked is not None:
            asked.cancelled.set()
        return asked

    def _admit(self, asked: Asked) -> None:
        if ID.fullmatch(asked.id) is None:
            msg = f"expected a query_id of 8 to 64 letters, digits, _ and -, got {asked.id!r}"
            raise RequestRefused(reason="bad_id", detail=msg)
        if asked.id in self._asked:
            msg = f"a query with the id {asked.id} is running"
            raise RequestRefused(reason="id_in_use", detail=msg)
        if len(self._asked) >= MOST:
            msg = f"{MOST} queries run or wait already; try again in a moment"
            raise RequestRefused(reason="busy", detail=msg, retry_after_s=1.0)
        visitor = asked.visitor
        self._pace.take(visitor.id, visitor.per_minute, visitor.at_once)

    def _write(self, asked: Asked, outcome: str, rows: int | None = None, publish_id: str | None = None) -> None:
        self._log.write(
            key=asked.visitor.name,
            query_id=asked.id,
            sql=asked.sql,
            parameters=asked.parameters,
            outcome=outcome,
            rows=rows,
            elapsed_s=asked.elapsed_s(),
            publish_id=publish_id,
        )
