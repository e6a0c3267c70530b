"""`/v1/dashboard/cohorts…`: a metric by cohort, over time, and its sessions, over HTTP.

A cohort is given by any number of `where=country:BR`; `where=country` alone is the unknown country. The stretch is
`span` (seconds up to now) or `from` and `to` (seconds of epoch).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from warehouse.dashboard.cohorts import Explorer, Question, catalog, measure_of
from warehouse.dashboard.thread_routes import ThreadRoutes, as_json


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


class CohortRoutes(ThreadRoutes[Explorer]):
    """The routes of the page Quality."""

    def __init__(self, explorer: Explorer) -> None:
        super().__init__("cohorts", explorer)
        self.router.get("/catalog")(self.catalog)
        self.router.get("")(self.cohorts)
        self.router.get("/trend")(self.trend)
        self.router.get("/sessions")(self.sessions)

    async def catalog(self) -> Response:
        """Metrics and dimensions that can be asked: `CohortCatalog` of `cohort_shapes.py`."""
        return as_json(catalog())

    async def cohorts(self, asked: Annotated[Parameters, Query()]) -> Response:
        """A metric by one or two dimensions, worst first: `Cohorts` of `cohort_shapes.py`."""
        return await self._in_thread(lambda: self._reader.cohorts(asked.question()))

    async def trend(self, asked: Annotated[Parameters, Query()]) -> Response:
        """A cohort's metric over time beside everything's: `CohortTrend` of `cohort_shapes.py`."""
        return await self._in_thread(lambda: self._reader.trend(asked.question()))

    async def sessions(self, asked: Annotated[Parameters, Query()]) -> Response:
        """The published sessions of a cohort, worst first: `SessionList` of `cohort_shapes.py`."""
        return await self._in_thread(lambda: self._reader.sessions(asked.question()))
