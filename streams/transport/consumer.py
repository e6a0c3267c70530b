"""Faust's side of the transport: its aiokafka consumer, with the records of batch topics fetched beside it.

What it changes of Faust's consumer, and why, stands at each method; the hazards are listed in docs/exactness.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage, Message, ack_lock
from mode import Service

from streams.transport.batch import Batch
from streams.transport.deliveries import Deliveries
from streams.transport.membership import BatchConsumerThread, BatchRebalanceListener

if TYPE_CHECKING:
    from streams.transport.transport import BatchTransport

log = logging.getLogger(__name__)

IDLE_S = 0.25
"""How long one `getmany` waits for a batch."""
OTHERS_S = 0.005
"""How long aiokafka waits for records of other topics while there are batch topics too: neither delays the other."""
KEEPALIVE_S = 1.0


class BatchMessage(ConsumerMessage):
    """A batch as Faust's message; it knows the assignment that it belongs to."""

    __slots__ = ("assignment",)
    assignment: int


class BatchConsumer(driver.Consumer):
    """Faust's aiokafka consumer; `getmany` hands out batches of batch topics and records of all others."""

    RebalanceListener = BatchRebalanceListener
    transport: BatchTransport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._assignments = 0
        """Counts assignments. The group's own generation may repeat after the group was empty."""
        self._is_assigned = False
        self._resumed: set[TP] = set()
        """Batch partitions that Faust has resumed since they were assigned: their tables are complete."""
        self._recovered: set[TP] = set()
        """Those of them for which the flow was resumed as well: from here on a batch stays in the agent's queue."""
        self._deliveries: dict[TP, Deliveries] = defaultdict(Deliveries)
        self._ready = asyncio.Event()
        self._fetching = asyncio.Lock()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _is_batch(self, tp: TP) -> bool:
        return tp.topic in self.transport.fetchers

    # Records

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Batches of the batch topics, records of all others; none of an assignment that has ended."""
        if self.app.client_only:  # no group, no assignment, and replies to read
            async for item in super().getmany(timeout):
                yield item
            return
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
        assignment = self._assignments
        active = self._get_active_partitions()
        others = {tp for tp in active if not self._is_batch(tp)}
        self._follow_assignment()
        if others:
            records = await self._records_of_others(others, OTHERS_S if self._recovered else timeout)
            for tp, record in self.scheduler.iterate(records):
                if self._has_ended(assignment):
                    return
                if tp in others:
                    self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                    yield tp, self._to_message(tp, record)
        elif not self._ready.is_set():
            await self._wait_ready(min(timeout, IDLE_S))
        self._ready.clear()
        while not self._has_ended(assignment) and (taken := self._take()) is not None:
            tp, batch = taken
            self._deliveries[tp].add(batch.end - 1)
            self._acked.setdefault(tp, [])  # a commit looks at the partitions that have an entry
            self._read_offset[tp] = batch.end - 2  # no bookkeeping of gaps for the offsets inside the batch
            yield tp, self._message_of(tp, batch)

    def _has_ended(self, assignment: int) -> bool:
        return assignment != self._assignments or not self._is_assigned or not self.flow_active or self.should_stop

    def _follow_assignment(self) -> None:
        """Let the fetchers fetch what has recovered, and hold back what the application has paused."""
        for topic, fetcher in self.transport.fetchers.items():
            mine = {tp.partition for tp in self._recovered if tp.topic == topic}
            if mine and not fetcher.is_assigned:
                fetcher.assign(mine, self._waker())
            fetcher.pause(tp.partition for tp in self._paused_partitions if tp.topic == topic and tp.partition in mine)

    def _waker(self) -> Callable[[], None]:
        loop, ready = asyncio.get_running_loop(), self._ready

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(ready.set)

        return wake

    def _take(self) -> tuple[TP, Batch] | None:
        active = self._recovered & self._get_active_partitions()
        for topic, fetcher in self.transport.fetchers.items():
            batch = fetcher.take({tp.partition for tp in active if tp.topic == topic})
            if batch is not None:
                return TP(topic, batch.partition), batch
        return None

    async def _wait_ready(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            return

    async def _records_of_others(self, partitions: set[TP], timeout: float) -> Mapping[TP, list[Any]]:
        """Records by aiokafka.

        The fetch goes on in aiokafka's thread when this is cancelled, and holds the lock that a seek waits for.
        """

        async def fetch() -> Mapping[TP, list[Any]]:
            async with self._fetching:
                return await self._getmany(active_partitions=partitions, timeout=timeout)

        return await asyncio.shield(fetch())

    def _message_of(self, tp: TP, batch: Batch) -> BatchMessage:
        message = BatchMessage(
            tp.topic, tp.partition, batch.end - 1, batch.stamp_ms / 1000, 1, [], None, cast(Any, batch), None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip
        message.assignment = self._assignments
        return message

    def is_current(self, message: Message) -> bool:
        """Whether the assignment that a batch was delivered in still holds."""
        return self._is_assigned and isinstance(message, BatchMessage) and message.assignment == self._assignments

    def on_buffer_drop(self, tp: TP) -> None:
        """The agent has room again."""
        super().on_buffer_drop(tp)
        self._ready.set()

    # Assignment

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Deliver nothing any more, let the application finish, and commit what it has acknowledged until then."""
        self._end_assignment()
        await super().on_partitions_revoked(revoked)
        await self.commit()
        self._deliveries.clear()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """A new assignment: nothing of it is fetched before its tables have recovered."""
        self._end_assignment()
        self._deliveries.clear()
        self._assignments += 1
        self._is_assigned = True
        await super().on_partitions_assigned(assigned, generation_id)

    def _end_assignment(self) -> None:
        self._is_assigned = False
        self._resumed.clear()
        self._recovered.clear()
        for fetcher in self.transport.fetchers.values():
            fetcher.revoke()
        self._ready.set()

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Faust does so when recovery is complete, and the application after a pause.

        A recovery that a rebalance has overtaken may still resume what it was for; that counts for nothing here.
        """
        tps = set(tps)
        super().resume_partitions(tps)
        if self._is_assigned:
            self._resumed |= {tp for tp in tps if self._is_batch(tp)}
        self._ready.set()

    def resume_flow(self) -> None:
        """The last step of a recovery. Just before it Faust empties the agents' queues: what was in them was lost."""
        super().resume_flow()
        self._recovered |= self._resumed
        self._ready.set()

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Recovery seeks by this. A fetch under way ends first: its records would be dropped *behind* the seek."""
        async with self._fetching:
            await super().seek_wait(partitions)

    async def perform_seek(self) -> None:
        """To the group's offsets; not for batch topics, whose positions are the agent's business."""
        async with self._fetching:
            await super().perform_seek()
        for tp in [tp for tp in self._committed_offset if self._is_batch(tp)]:
            # With it, acknowledgements below the group's offset would be ignored: after a reset of the state they are.
            self._committed_offset[tp] = self._read_offset[tp] = None

    @Service.task
    async def _stay_in_group(self) -> None:
        """Poll for aiokafka while the agent is busy: it leaves the group after `broker_max_poll_interval` without.

        A blocked event loop does not get here, so a worker that hangs still loses its partitions.
        """
        while not self.should_stop:
            await self.sleep(KEEPALIVE_S)
            if self._thread._consumer is not None:
                await self._thread.call_thread(cast(BatchConsumerThread, self._thread).polled)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust looks for stuck partitions in aiokafka's fetcher; batch topics are not there."""
        if not self._is_batch(tp):
            super().verify_event_path(now, tp)

    # Acknowledgement

    def ack(self, message: Message) -> bool:
        """Note that a message is done with; one of an earlier assignment counts for nothing."""
        if isinstance(message, BatchMessage) and message.assignment != self._assignments:
            message.acked = True
            self._unacked_messages.discard(message)
            return False
        return super().ack(message)

    def _new_offset(self, tp: TP) -> int | None:
        if not self._is_batch(tp):
            return super()._new_offset(tp)
        with ack_lock:
            self._acked[tp].clear()  # the index has them too
            return self._deliveries[tp].settle(self._acked_index[tp])

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        """Commit. Faust takes its offsets for committed also when that failed; they are tried again here."""
        before = {tp: self._committed_offset[tp] for tp in offsets}
        done = await super()._commit_offsets(offsets, start_new_transaction)
        if not done:
            self._committed_offset.update({tp: at for tp, at in before.items() if self._is_batch(tp)})
        return done

    async def on_stop(self) -> None:
        """Stop fetching, commit, leave the group. After a crash aiokafka's thread may be gone, and that raises."""
        self._end_assignment()
        for fetcher in self.transport.fetchers.values():
            fetcher.close()
        try:
            await super().on_stop()
        finally:
            joined = [asyncio.to_thread(fetcher.join) for fetcher in self.transport.fetchers.values()]
            if not all(await asyncio.gather(*joined)):
                log.warning("a fetch thread did not end in time; it ends with the process")
