"""What an application sees of the transport: which topics are served in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import EventT

from streams.transport.backlog import Limits
from streams.transport.consumer import BatchConsumer
from streams.transport.fetcher import Fetcher, Prepare


class BatchTransport(driver.Transport):
    """Transport of `broker="batch://..."`."""

    Consumer = BatchConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fetchers: dict[str, Fetcher] = {}

    def serve(
        self,
        topic: str,
        client_config: Mapping[str, Any],
        start_of: Callable[[int], int | None],
        prepare: Prepare | None = None,
        *,
        limits: Limits | None = None,
    ) -> None:
        """Deliver `topic` in batches.

        client_config: librdkafka's; where the brokers are and how to log in.
        start_of:      called in the event loop with a partition after its tables have recovered; the offset from which
                       to fetch, None for the topic's beginning. What it raises ends the worker.
        prepare:       makes `Batch.records` of a batch's messages (an empty list for a batch without), in the fetch
                       thread, so that decoding the next batch overlaps the agent's work. What it raises
                       ends the worker.
        """
        self.fetchers[topic] = Fetcher(topic, client_config, start_of, prepare, limits)

    def is_current(self, event: EventT[Any]) -> bool:
        """Whether a batch still counts: False once its assignment has ended, even if the same worker gets it again.

        Nothing is delivered after that, but an agent may be at work on what was delivered before. One that awaits
        between taking a batch and applying it asks this after the await, and drops the batch: it will come again.
        """
        return cast(BatchConsumer, self.app.consumer).is_current(event.message)
