"""`/v1/dashboard/pipeline`: everything behind the numbers, over HTTP."""

from __future__ import annotations

from fastapi import Response

from warehouse.dashboard.pipeline import Pipeline
from warehouse.dashboard.thread_routes import ThreadRoutes


class PipelineRoutes(ThreadRoutes[Pipeline]):
    """The route of the page Pipeline: a broker that is away delays nothing but this page."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__("pipeline", pipeline)
        self.router.get("")(self.view)

    async def view(self) -> Response:
        """Lag, freshness, dead letters, publishes, audits, restatements, processes: `PipelineView`."""
        return await self._in_thread(self._reader.view)
