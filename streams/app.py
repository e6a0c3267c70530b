"""The stream worker: `python -m streams.app --worker 0`, or `--source cmcd` for players' reports.

Faust gives membership, assignment and recovery; the transport gives batches; `streams/live/` says what becomes of them.
Here is what joins them: load a partition, apply its batches, publish, and flush. A flush writes the records of state in
the order that `streams/live/partition.py` asks for, each step acknowledged by the broker before the next, and only then
acknowledges the batches. Whatever goes wrong ends the process: the supervisor starts it again, and the stored state
says where to go on.

Folding runs in a thread of its own, since compiled code gives the interpreter free: the event loop, the fetching thread
and librdkafka go on meanwhile. Only that thread touches partitions.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar, cast

import confluent_kafka as ck
import faust
from faust.types.tuples import TP

from infra import garbage
from infra import log as logs
from infra.errors import PlaylakeError, ProcessError
from infra.failpoints import failpoints
from infra.kafka import client_config, faust_credentials, producer_config
from infra.settings import Settings
from infra.topics import partition_count, topic_id
from schemas.registry import LIVE_QUALITY, MAX_RECORD_BYTES, STATE_LAG_MS
from streams import metrics
from streams.live import records
from streams.live.partition import STEPS, LivePartition, Rules
from streams.sources import PLAYBACK_SOURCE, SOURCES, Source
from streams.transport import Batch, BatchSchema, BatchTransport
from streams.warm import warm_fold

log = logging.getLogger("streams.app")
T = TypeVar("T")

NOW_S = 0.01
"""How often the partitions' state of affairs is published while records come; once a second when none do."""
SECOND = 1.0
MOST_ROWS = 20_000
"""When a flush publishes more rows of minutes than that, they are not published between flushes too."""
TURN_S = 0.005
"""How long a flush keeps the fold waiting at a time."""
REWRITE_S = STATE_LAG_MS / 1000 / 4
"""How old an unchanged bucket's record may become."""


class Outbox:
    """A producer of state or live records: librdkafka, so that a flush of thousands of records costs little."""

    def __init__(self, settings: Settings, *, linger_ms: int) -> None:
        config = {"linger.ms": linger_ms, "compression.type": "zstd", "message.max.bytes": MAX_RECORD_BYTES}
        self._producer = ck.Producer(producer_config(settings, config), logger=log)
        self._thread = ThreadPoolExecutor(1, "outbox")

    async def write(self, topic: str, records: Iterable[tuple[bytes, bytes | None]], partition: int) -> None:
        """Return when the broker has acknowledged all. Raises ProcessError if it has not."""
        if waiting := list(records):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, topic, waiting, partition)

    def _write(self, topic: str, records: list[tuple[bytes, bytes | None]], partition: int) -> None:
        failed: list[Any] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failed.append(error)

        for key, value in records:
            self._produce(topic, key, value, partition, delivered)
        unsent = self._producer.flush(30)
        if failed or unsent:
            reason = failed[0].str() if failed else "no acknowledgement within 30 s"
            msg = f"{topic}/{partition}: {len(failed) + unsent} of {len(records)} records were not written: {reason}"
            raise ProcessError(msg)

    def _produce(self, topic: str, key: bytes, value: bytes | None, partition: int, delivered: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, on_delivery=delivered)
                return
            except BufferError:
                self._producer.poll(0.1)


class Worker:
    """The partitions that this process owns, and the flush that makes their state durable."""

    def __init__(self, app: faust.App, table: Any, settings: Settings, source: Source) -> None:
        self._app = app
        self._transport = cast(BatchTransport, app.transport)
        self._source = source
        self._table = table
        self._settings = settings
        self._rules = Rules(
            settings.session_timeout_s * 1000,
            settings.live_freeze_after_s * 1000,
            rewrite_after=max(1, int(REWRITE_S / settings.stream_flush_s)),
        )
        self._topic_id = topic_id(settings, source.topic.name)
        self._partition_count = partition_count(settings, source.topic.name)
        self._state = Outbox(settings, linger_ms=5)
        self._live = Outbox(settings, linger_ms=0)
        self._now_live = Outbox(settings, linger_ms=0)
        self._thread = ThreadPoolExecutor(1, "fold")
        self._partitions: dict[int, LivePartition] = {}
        self._unacked: list[Any] = []
        self._flushing = asyncio.Lock()
        self._concurrent: dict[int, int] = {}
        self._rows_flushed = 0
        self._step = failpoints(settings.failpoints)

    async def _run(self, function: Callable[..., T], *args: Any) -> T:
        """In the thread that owns the partitions."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    async def _steps(self, steps: Iterator[T]) -> AsyncIterator[T]:
        """What the iterator makes, for TURN_S at a time in that thread: what waits for it has its turn in between."""
        is_over = False
        while not is_over:
            made, is_over = await self._run(_turn, steps)
            for one in made:
                yield one

    def start_of(self, number: int) -> int | None:
        """Where the transport begins to fetch a partition: after what its state has applied."""
        return self._thread.submit(self._load, number).result().next

    def _load(self, number: int) -> LivePartition:
        if number not in self._partitions:
            stored = self._table.data.data
            position = stored.get(records.position_key(number))
            if position is not None:
                at = records.unpack(records.Position, position)
                records.check_source(at, self._source, self._topic_id, self._partition_count)
            began = time.perf_counter()
            live = LivePartition(
                number, stored, self._topic_id, self._partition_count, self._rules, source=self._source
            )
            self._partitions[number] = live
            took_ms = round((time.perf_counter() - began) * 1000)
            known = {"partition": number, "position": live.next, "sessions": len(live.sessions), "took_ms": took_ms}
            log.info("partition loaded", extra=known)
        return self._partitions[number]

    async def apply(self, event: Any) -> None:
        """Apply one delivered batch; it is acknowledged when the flush that holds it is durable."""
        if not self._transport.is_current(event):
            return  # its partition went to somebody else
        batch = cast(Batch, event.value)
        began = time.perf_counter()
        self._unacked.append(event)
        await self._run(self._apply, batch)
        metrics.APPLIED.inc(batch.count)
        metrics.APPLY_SECONDS.inc(time.perf_counter() - began)

    def _apply(self, batch: Batch) -> None:
        self._load(batch.partition).apply(batch.start, batch.end, batch.records)
        # Whoever waits for its acknowledgement needs no more than where it ended.
        batch.records = None

    async def flush(self, *, everything: bool = False) -> None:
        """Publish what changed, and make it durable (all of it, or as much as a flush may weigh); then acknowledge."""
        async with self._flushing:
            began = time.perf_counter()
            flushed = False
            self._rows_flushed = 0
            for partition in list(self._partitions.values()):
                flushed |= await self._flush(partition, everything=everything)
            if flushed:
                metrics.FLUSH_SECONDS.observe(time.perf_counter() - began)

    async def _flush(self, partition: LivePartition, *, everything: bool) -> bool:
        snapshot = None
        async for made in self._steps(partition.snapshot(everything=everything)):
            snapshot = made
        self._step("state: before live")
        self._rows_flushed += await self._publish_rows(partition)
        if snapshot is None:
            return False
        for name, step in zip(STEPS, snapshot.steps, strict=True):
            self._step(f"state: before {name}")
            await self._state.write(self._source.state.name, step, partition.number)
        self._step("state: written")
        stored = self._table.data.data
        for key, value in snapshot.records():
            if value is None:
                stored.pop(key, None)
            else:
                stored[key] = value
        await self._run(partition.written, snapshot)
        self._acknowledge(partition.number, snapshot.offset)
        return True

    def _acknowledge(self, number: int, offset: int) -> None:
        waiting = []
        for event in self._unacked:
            batch = cast(Batch, event.value)
            if batch.partition == number and batch.end <= offset:
                event.ack()
            else:
                waiting.append(event)
        self._unacked = waiting

    async def flush_by_timer(self) -> None:
        """Go on until the app stops. Rows are published twice as often, as long as they are not many."""
        while not self._app.should_stop:
            await asyncio.sleep(self._settings.stream_flush_s / 2)
            if self._rows_flushed < MOST_ROWS:
                await self.publish_rows()
            await asyncio.sleep(self._settings.stream_flush_s / 2)
            await self.flush()

    async def publish_rows(self) -> None:
        """Publish the minutes' rows that changed. Never beside a flush, which forgets frozen rows once they are out."""
        async with self._flushing:
            for partition in list(self._partitions.values()):
                await self._publish_rows(partition)

    async def _publish_rows(self, partition: LivePartition) -> int:
        """How many."""
        count = 0
        async for rows in self._steps(partition.live_rows()):
            await self._live.write(LIVE_QUALITY.name, rows, 0)
            count += len(rows)
        return count

    async def publish_by_timer(self) -> None:
        """Say how things are: soon after they changed, and once a second anyway."""
        said: dict[int, int | None] = {}
        said_at = 0.0
        while not self._app.should_stop:
            await asyncio.sleep(NOW_S)
            partitions = list(self._partitions.values())
            if time.monotonic() - said_at >= SECOND:
                said, said_at = {}, time.monotonic()
                self._concurrent = await self._run(_concurrent, partitions)
                metrics.observe(partitions, self._concurrent)
            changed = [partition for partition in partitions if said.get(partition.number, -1) != partition.next]
            if changed:
                said |= {partition.number: partition.next for partition in changed}
                await self._now_live.write(LIVE_QUALITY.name, await self._run(self._now, changed), 0)

    def _now(self, partitions: Iterable[LivePartition]) -> list[tuple[bytes, bytes | None]]:
        return [partition.say(_now_ms(), self._concurrent.get(partition.number, 0)) for partition in partitions]

    async def release(self) -> None:
        """Make state durable and let go of it: its next owner may be another worker."""
        await self.flush(everything=True)
        self._partitions.clear()
        self._unacked.clear()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _concurrent(partitions: Iterable[LivePartition]) -> dict[int, int]:
    return {partition.number: partition.concurrent(_now_ms()) for partition in partitions}


def _turn(steps: Iterator[T]) -> tuple[list[T], bool]:
    """What they make in TURN_S, and whether that was all."""
    made = []
    until = time.perf_counter() + TURN_S
    for one in steps:
        made.append(one)
        if time.perf_counter() >= until:
            return made, False
    return made, True


def build(settings: Settings, source: Source) -> faust.App:
    """The Faust app of the worker. Nothing runs yet."""
    app = faust.App(
        source.app_id,
        broker=[f"batch://{address}" for address in settings.bootstrap.split(",")],
        broker_credentials=faust_credentials(settings),
        store="newest-record://",
        datadir=str(settings.home / f"stream-{source.name}"),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=partition_count(settings, source.topic.name),
        consumer_auto_offset_reset="earliest",
        table_standby_replicas=0,
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        broker_session_timeout=6.0,
        # A broker that has just started may not name the topics yet: nothing is assigned then, until the next look.
        consumer_metadata_max_age_ms=5_000,
        broker_heartbeat_interval=2.0,
        broker_max_poll_interval=300.0,
        broker_commit_interval=5.0,
    )
    raw: faust.Schema[bytes, bytes] = faust.Schema(
        key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
    table = app.Table("buckets", partitions=app.conf.topic_partitions, key_type=bytes, value_type=bytes, schema=raw)
    worker = Worker(app, table, settings, source)
    transport = cast(BatchTransport, app.transport)
    transport.serve(source.topic.name, client_config(settings), worker.start_of, source.prepare)

    @app.agent(app.topic(source.topic.name, schema=BatchSchema()), concurrency=1)
    async def sessions(stream: Any) -> None:
        async for event in stream.noack().events():
            with fatal():
                await worker.apply(event)

    @app.task  # type: ignore[untyped-decorator]
    async def flush() -> None:
        with fatal():
            await worker.flush_by_timer()

    @app.task  # type: ignore[untyped-decorator]
    async def publish() -> None:
        with fatal():
            await worker.publish_by_timer()

    @app.on_partitions_revoked.connect  # type: ignore[arg-type]
    async def on_revoked(_app: Any, *args: Any, **_: Any) -> None:
        revoked: set[TP] = args[0]
        log.info("partitions revoked", extra={"partitions": sorted(tp.partition for tp in revoked)})
        with fatal():
            await worker.release()

    @app.on_before_shutdown.connect  # type: ignore[arg-type]
    async def on_shutdown(_app: Any, *_args: Any, **_: Any) -> None:
        with fatal():
            await worker.release()

    return app


@contextmanager
def fatal() -> Iterator[None]:
    """Whatever goes wrong inside ends the process, before anything else is acknowledged. Faust would go on with the
    next batch."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - nothing may survive
        die(error)


def die(error: BaseException) -> NoReturn:
    """End the process at once."""
    log.critical("%s: %s", type(error).__name__, error, exc_info=None if isinstance(error, PlaylakeError) else error)
    sys.stdout.flush()
    os._exit(1)


def main() -> None:
    """Run one worker until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", type=int, default=0, help="number of this worker, from 0")
    parser.add_argument("--source", choices=SOURCES, default=PLAYBACK_SOURCE.name, help="what sessions are made of")
    arguments = parser.parse_args()
    settings, source, number = Settings.from_env(), SOURCES[arguments.source], arguments.worker
    logs.setup(f"stream-{number}" if source is PLAYBACK_SOURCE else f"stream-{source.name}-{number}")
    first_port = settings.stream_metrics_port if source is PLAYBACK_SOURCE else settings.stream_cmcd_metrics_port
    warm_fold()
    garbage.look_less_often()
    metrics.serve(settings.host, first_port + 10 * number)
    app = build(settings, source)
    worker = faust.Worker(app, loglevel="INFO", override_logging=False, quiet=True, redirect_stdouts=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
