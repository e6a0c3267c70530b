"""`/v1/dashboard/cohorts…`: a metric by cohort, over time, and its sessions, over HTTP.

A cohort is given by any number of `where=country:BR`; `where=country` alone is the unknown country. The stretch is
`span` (seconds up to now) or `from` and `to` (seconds of epoch).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import msgspec
from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from infra.errors import QueryError
from warehouse.dashboard.cohorts import Explorer, Question, catalog, measure_of

STATUS = {"refused": 422, "timeout": 408}


class Parameters(BaseModel):
    """The query part of an address. `by` and `least` are of the values by cohort alone."""

    model_config = ConfigDict(extra="forbid")

    metric: str
    by: list[str] = []
    where: list[str] = []
    span: int = 0
    start: int = Field(default=0, alias="from")
    stop: int = Field(default=0, alias="to")
    least: float = Field(default=0, ge=0)

    def question(self) -> Question:
        """Raises QueryError (refused) for what is none."""
        told = (one.partition(":") for one in self.where)
        return Question(
            measure=measure_of(self.metric),
            by=tuple(self.by),
            where=tuple(sorted({name: value if colon else None for name, colon, value in told}.items())),
            span_s=self.span,
            start=self.start,
            stop=self.stop,
            least=self.least,
        )


class CohortRoutes:
    """The routes and the thread behind them."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer
        self._thread = ThreadPoolExecutor(1, "cohorts")
        self.router = APIRouter(prefix="/v1/dashboard/cohorts")
        self.router.get("/catalog")(self.catalog)
        self.router.get("")(self.cohorts)
        self.router.get("/trend")(self.trend)
        self.router.get("/sessions")(self.sessions)

    def close(self) -> None:
        """End the question that is under way and the thread, and let go of the files: who stops does not wait."""
        self._explorer.interrupt()
        self._thread.submit(self._explorer.close)
        self._thread.shutdown(wait=False)

    async def catalog(self) -> Response:
        """Metrics and dimensions that can be asked: `CohortCatalog` of `cohort_shapes.py`."""
        return _json(catalog())

    async def cohorts(self, asked: Annotated[Parameters, Query()]) -> Response:
        """A metric by one or two dimensions, worst first: `Cohorts` of `cohort_shapes.py`."""
        return await self._in_thread(lambda: self._explorer.cohorts(asked.question()))

    async def trend(self, asked: Annotated[Parameters, Query()]) -> Response:
        """A cohort's metric over time beside everything's: `CohortTrend` of `cohort_shapes.py`."""
        return await self._in_thread(lambda: self._explorer.trend(asked.question()))

    async def sessions(self, asked: Annotated[Parameters, Query()]) -> Response:
        """The published sessions of a cohort, worst first: `SessionList` of `cohort_shapes.py`."""
        return await self._in_thread(lambda: self._explorer.sessions(asked.question()))

    async def _in_thread(self, work: Callable[[], msgspec.Struct]) -> Response:
        try:
            return _json(await asyncio.get_running_loop().run_in_executor(self._thread, work))
        except QueryError as error:
            raise HTTPException(STATUS.get(error.reason, 503), str(error)) from error


def _json(answer: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
