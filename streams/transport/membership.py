"""What the transport changes of aiokafka's part, which keeps this worker in its group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP

if TYPE_CHECKING:
    from streams.transport.transport import BatchTransport

log = logging.getLogger(__name__)

COMMIT_S = 3.0
"""aiokafka tries a commit again for as long as the broker is away; a worker that stops can't wait for that."""


class BatchRebalanceListener(driver.ConsumerRebalanceListener):
    """Keeps aiokafka from fetching what librdkafka fetches."""

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Pause the batch partitions before aiokafka has asked for a single record of them, then tell Faust."""
        fetchers = cast("BatchTransport", self._thread.transport).fetchers
        self._thread._ensure_consumer().pause(*(tp for tp in assigned if tp.topic in fetchers))
        await super().on_partitions_assigned(assigned)


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread of the aiokafka consumer."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            async with asyncio.timeout(COMMIT_S):
                return await super()._commit(offsets)
        except TimeoutError:
            log.warning("commit: no answer within %s s; it is tried again with the next", COMMIT_S)
            return False

    async def polled(self) -> None:
        """Tell aiokafka that the application is alive, as a poll does."""
        with self._ensure_consumer()._subscription.fetch_context():
            pass
