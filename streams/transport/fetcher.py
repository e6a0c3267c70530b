"""The thread that fetches one batch topic by librdkafka and prepares its batches ahead of the agent."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import groupby
from typing import Any

import confluent_kafka as ck

from infra.errors import PlaylakeError, ProcessError
from infra.kafka import FETCH_ON
from streams.transport import fetch_errors
from streams.transport.backlog import Backlog, Cut, Limits
from streams.transport.batch import Batch

log = logging.getLogger(__name__)

Prepare = Callable[[list[Any]], Any]
"""What becomes of the messages of a batch, in the fetch thread; with an empty list for a batch without records."""

FETCH_RECORDS = 4_000
"""Of one fetch. librdkafka's records become Python's while the GIL is held, about 0.8 µs each: 3 ms at a time."""
POLL_S = 0.1
"""How long the thread waits for a record before it looks whether there is something else to do."""
ROOM_S = 0.01
"""The same while records wait for the agent: what comes meanwhile joins them."""
CLOSE_S = 5.0

TUNING = {
    # The broker answers when it has a byte, so this is only the longest that an idle fetch is held there.
    "fetch.wait.max.ms": 100,
    **FETCH_ON,
    # Fetch on until either is reached. The second is the bound in memory, overshot by `fetch.max.bytes` a broker.
    "queued.min.messages": 50_000,
    "queued.max.messages.kbytes": 65_536,
    "fetch.max.bytes": 16_777_216,
    # A broker that is back is found within a second (10 s by default).
    "reconnect.backoff.max.ms": 1_000,
}
"""librdkafka's, where `client_config` says nothing else."""
REQUIRED = {
    # A group is only a name here: partitions are given to this consumer, and Faust commits.
    "group.id": "batch-transport-fetch-only",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # A position that is not in the topic has to be told, not skipped.
    "auto.offset.reset": "error",
    # Records of aborted transactions were never sent.
    "isolation.level": "read_committed",
    # The only way to learn that the offsets behind the last record are control records.
    "enable.partition.eof": True,
}


class Fetcher:
    """Fetches a topic in a thread. All methods are for the event loop's thread and return at once."""

    def __init__(
        self,
        topic: str,
        client_config: Mapping[str, Any],
        start_of: Callable[[int], int | None],
        prepare: Prepare | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.topic = topic
        self._config = {**TUNING, **client_config, **REQUIRED}
        self._start_of = start_of
        self._prepare: Prepare = prepare or (lambda messages: messages)
        self._limits = limits or Limits()
        self._backlog: Backlog | None = None
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._changed = threading.Event()
        self._wake: Callable[[], None] = lambda: None

    @property
    def is_assigned(self) -> bool:
        """Whether it fetches for an assignment."""
        return self._backlog is not None

    def assign(self, partitions: Collection[int], wake: Callable[[], None]) -> None:
        """Fetch these partitions, from where `start_of` says. `wake` is called, from the thread, when a batch is ready.

        Raises what `start_of` raises.
        """
        starts = {partition: self._start_of(partition) for partition in sorted(partitions)}
        self._wake = wake
        self._backlog = Backlog(starts, self._limits)
        self._changed.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"fetch {self.topic}", daemon=True)
            self._thread.start()
        log.info("fetching", extra={"topic": self.topic, "starts": starts})

    def revoke(self) -> None:
        """Fetch nothing until the next `assign`; what was fetched is gone."""
        self._backlog = None
        self._changed.set()

    def pause(self, partitions: Iterable[int]) -> None:
        """Hold back exactly these partitions; the others go on. Nothing is lost, and what waits of them is let go."""
        paused = frozenset(partitions)
        if self._backlog is not None and paused != self._backlog.paused:
            self._backlog.paused = paused
            self._changed.set()

    def take(self, partitions: Collection[int]) -> Batch | None:
        """The next batch of these partitions, if one is ready. Raises what ended the thread's work."""
        backlog = self._backlog
        if backlog is None:
            return None
        batch = backlog.take(partitions)
        if batch is not None:
            self._changed.set()
        elif backlog.failure is not None:
            raise backlog.failure
        return batch

    def close(self) -> None:
        """Let the thread end; it closes the consumer."""
        self._is_closing = True
        self.revoke()

    def join(self) -> bool:
        """Wait until the thread has ended (in an executor). False: it still prepares a batch; it is a daemon."""
        if self._thread is not None:
            self._thread.join(CLOSE_S)
            return not self._thread.is_alive()
        return True

    # From here on in the thread.

    def _run(self) -> None:
        consumer: Any = None
        mine: Backlog | None = None
        paused: frozenset[int] = frozenset()
        while not self._is_closing:
            self._changed.clear()
            backlog = self._backlog
            try:
                if consumer is None:
                    consumer = ck.Consumer(self._config, logger=log)
                if backlog is not mine:
                    mine, paused = backlog, frozenset()
                    self._assign(consumer, backlog)
                elif backlog is not None and backlog.paused != paused:
                    paused = backlog.paused
                    backlog.shed()
                    self._assign(consumer, backlog)
                if backlog is None or backlog.failure is not None:
                    self._changed.wait(POLL_S)
                else:
                    self._step(consumer, backlog)
            except Exception as error:  # noqa: BLE001 - the event loop raises it, see `take`
                if backlog is None:
                    log.warning("fetch: without an assignment: %s", error)
                else:
                    backlog.failure = self._as_ours(error)
                    self._wake()
                self._changed.wait(POLL_S)
        if consumer is not None:
            consumer.close()

    def _assign(self, consumer: Any, backlog: Backlog | None) -> None:
        # Also what librdkafka holds of the assignment before is dropped by this: it bumps the partitions' version.
        positions = backlog.positions() if backlog is not None else {}
        consumer.assign(
            [
                ck.TopicPartition(self.topic, partition, ck.OFFSET_BEGINNING if at is None else at)
                for partition, at in positions.items()
            ]
        )

    def _step(self, consumer: Any, backlog: Backlog) -> None:
        """One thing that can be done now: prepare a batch that is needed, else fetch, else wait for room."""
        if (cut := backlog.cut()) is not None:
            backlog.offer(self._batch_of(cut), cut.size)
            self._wake()
        elif not (room := backlog.room()):
            # librdkafka goes on until its own queue is full; nothing of it has to be served meanwhile.
            self._changed.wait(POLL_S)
        elif not backlog.has_raw():
            # consume() would wait until it has as many as it may return; poll() returns with the first.
            first = consumer.poll(POLL_S)
            if first is not None:
                self._sort(consumer, backlog, [first, *consumer.consume(min(room, FETCH_RECORDS), 0)])
        elif messages := consumer.consume(min(room, FETCH_RECORDS), 0):
            self._sort(consumer, backlog, messages)
        else:
            self._changed.wait(ROOM_S)

    def _batch_of(self, cut: Cut) -> Batch:
        try:
            records = self._prepare(cut.messages)
        except Exception as error:
            msg = (
                f"{self.topic}/{cut.partition}: records from {cut.start} to {cut.end} could not be prepared: "
                f"{type(error).__name__}: {error}"
            )
            raise ProcessError(msg) from error
        stamp_ms = cut.messages[-1].timestamp()[1] if cut.messages else -1
        return Batch(cut.partition, cut.start, cut.end, records, len(cut.messages), stamp_ms)

    def _sort(self, consumer: Any, backlog: Backlog, messages: list[Any]) -> None:
        """Records and errors to where they belong. Mostly it is a few long runs of one partition, without errors."""
        if any(map(_error_of, messages)):
            for (partition, is_error), run in groupby(messages, key=_kind_of):
                if is_error:
                    for message in run:
                        self._on_error(consumer, backlog, partition, message)
                else:
                    backlog.add(partition, list(run))
        else:
            for number, records in groupby(messages, key=_partition_of):
                backlog.add(number, list(records))

    def _on_error(self, consumer: Any, backlog: Backlog, partition: int, message: Any) -> None:
        error = message.error()
        if fetch_errors.is_end(error):
            backlog.reach(partition, message.offset())
        elif fetch_errors.is_position(error):
            at = backlog.positions().get(partition)
            if at is not None:
                raise fetch_errors.refused(self._place(partition), at, self._held(consumer, partition), error)
            # The beginning has moved between the question where it is and the first fetch: ask again.
            self._assign(consumer, backlog)
        elif (fatal := fetch_errors.fatal(self._place(partition), error)) is not None:
            raise fatal
        else:
            log.warning("fetch: %s", error.str(), extra={"code": error.name()})

    def _held(self, consumer: Any, partition: int) -> tuple[int, int] | None:
        try:
            return consumer.get_watermark_offsets(ck.TopicPartition(self.topic, partition), 5)  # type: ignore[no-any-return]
        except ck.KafkaException:
            return None

    def _place(self, partition: int) -> str:
        return f"{self.topic}/{partition}" if partition >= 0 else self.topic

    def _as_ours(self, error: Exception) -> Exception:
        if isinstance(error, PlaylakeError):
            return error
        ours = ProcessError(f"{self.topic}: fetching failed: {type(error).__name__}: {error}")
        ours.__cause__ = error
        return ours


_error_of = ck.Message.error
_partition_of: Any = ck.Message.partition


def _kind_of(message: Any) -> tuple[int, bool]:
    return message.partition(), message.error() is not None
