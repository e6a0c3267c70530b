"""The stream worker: `python -m streams.app --worker 0`, or `--source cmcd` for players' reports.

Faust gives membership, assignment and recovery; the transport gives batches; `streams/sessions.py` says what becomes
of them. Here is what joins them: load a partition, apply its batches, and flush. A flush writes the dirty buckets, then
the position, waits until the broker has both, and only then acknowledges the batches. Whatever goes wrong ends the
process: the supervisor starts it again, and the stored state says where to go on.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, cast

import confluent_kafka as ck
import faust
from faust.types.tuples import TP

from infra import log as logs
from infra.errors import PlaylakeError, ProcessError
from infra.failpoints import failpoints
from infra.kafka import client_config, faust_credentials, producer_config
from infra.settings import Settings
from infra.topics import partition_count, topic_id
from schemas.registry import LIVE_QUALITY
from streams import metrics
from streams.buckets import check_source, position_key, unpack_position
from streams.sessions import LivePartition, Rules, Snapshot
from streams.sources import PLAYBACK_SOURCE, SOURCES, Source
from streams.transport import Batch, BatchSchema, BatchTransport

log = logging.getLogger("streams.app")

LIVE_S = 1.0
"""How often the live topic is brought up to date."""


class Outbox:
    """Our producer of state and live records: librdkafka, so that a flush of thousands of records costs little."""

    def __init__(self, settings: Settings) -> None:
        self._producer = ck.Producer(
            producer_config(settings, {"linger.ms": 5, "compression.type": "zstd", "message.max.bytes": 8_000_000}),
            logger=log,
        )
        self._thread = ThreadPoolExecutor(1, "outbox")

    async def write(self, topic: str, records: Iterable[tuple[bytes, bytes]], partition: int) -> None:
        """Return when the broker has acknowledged all. Raises ProcessError if it has not."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, topic, list(records), partition)

    def _write(self, topic: str, records: list[tuple[bytes, bytes]], partition: int) -> None:
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

    def _produce(self, topic: str, key: bytes, value: bytes, partition: int, delivered: Any) -> None:
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
        self._source = source
        self._table = table
        self._settings = settings
        self._rules = Rules(settings.session_timeout_s * 1000, settings.live_freeze_after_s * 1000)
        self._topic_id = topic_id(settings, source.topic.name)
        self._partition_count = partition_count(settings, source.topic.name)
        self._outbox = Outbox(settings)
        self._partitions: dict[int, LivePartition] = {}
        self._unacked: list[Any] = []
        self._flushing = asyncio.Lock()
        self._flushed_at = 0.0
        self._step = failpoints(settings.failpoints)

    def start_of(self, number: int) -> int | None:
        """Where the transport begins to fetch a partition: after what its state has applied."""
        return self._load(number).next

    def _load(self, number: int) -> LivePartition:
        if number not in self._partitions:
            stored = self._table.data.data
            position = unpack_position(stored.get(position_key(number)))
            if position is not None:
                check_source(position, self._source, self._topic_id, self._partition_count)
            self._partitions[number] = LivePartition(
                number, stored, self._topic_id, self._partition_count, self._rules, source=self._source
            )
            at = self._partitions[number].next
            log.info("partition loaded", extra={"partition": number, "position": at})
        return self._partitions[number]

    def apply(self, event: Any) -> None:
        """Apply one delivered batch; it is acknowledged when the flush that holds it is durable."""
        batch = cast(Batch, event.value)
        began = time.perf_counter()
        self._load(batch.partition).apply(batch.start, batch.end, batch.records)
        self._unacked.append(event)
        metrics.APPLIED.inc(len(batch.records))
        metrics.APPLY_SECONDS.inc(time.perf_counter() - began)

    async def flush(self) -> None:
        """Make everything applied so far durable and visible, then acknowledge it."""
        async with self._flushing:
            began = time.perf_counter()
            acknowledge, self._unacked = self._unacked, []
            dirty = [partition for partition in self._partitions.values() if partition.is_dirty]
            for partition, snapshot in [(partition, partition.snapshot()) for partition in dirty]:
                await self._write(partition, snapshot)
            for event in acknowledge:
                event.ack()
            if dirty:
                metrics.FLUSH_SECONDS.observe(time.perf_counter() - began)

    async def _write(self, partition: LivePartition, snapshot: Snapshot) -> None:
        state = self._source.state.name
        self._step("state: before buckets")
        await self._outbox.write(state, snapshot.buckets, partition.number)
        self._step("state: before position")
        await self._outbox.write(state, [snapshot.position], partition.number)
        self._step("state: before live")
        await self._outbox.write(LIVE_QUALITY.name, snapshot.live, 0)
        self._table.data.data.update([*snapshot.buckets, snapshot.position])
        partition.written(snapshot)
        self._step("state: written")

    async def run(self) -> None:
        """Flush by timer, and say once a second how things are."""
        while not self._app.should_stop:
            await asyncio.sleep(min(self._settings.stream_flush_s, LIVE_S))
            await self.flush()
            now_ms = time.time_ns() // 1_000_000
            partitions = list(self._partitions.values())
            await self._outbox.write(LIVE_QUALITY.name, [partition.now(now_ms) for partition in partitions], 0)
            metrics.observe(partitions, now_ms)

    async def release(self) -> None:
        """Make state durable and let go of it: its next owner may be another worker."""
        await self.flush()
        self._partitions.clear()
        self._unacked.clear()


def build(settings: Settings, source: Source) -> faust.App:
    """The Faust app of the worker. Nothing runs yet."""
    app = faust.App(
        source.app_id,
        broker=[f"batch://{address}" for address in settings.bootstrap.split(",")],
        broker_credentials=faust_credentials(settings),
        store="newest-bucket://",
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
    transport.serve(source.topic.name, client_config(settings), worker.start_of)

    @app.agent(app.topic(source.topic.name, schema=BatchSchema()), concurrency=1)
    async def sessions(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                worker.apply(event)
            except PlaylakeError as error:
                die(error)
            await asyncio.sleep(0)  # or heartbeats starve

    @app.task  # type: ignore[untyped-decorator]
    async def flush_by_timer() -> None:
        try:
            await worker.run()
        except PlaylakeError as error:
            die(error)

    @app.on_partitions_revoked.connect  # type: ignore[arg-type]
    async def on_revoked(_app: Any, *args: Any, **_: Any) -> None:
        revoked: set[TP] = args[0]
        log.info("partitions revoked", extra={"partitions": sorted(tp.partition for tp in revoked)})
        await worker.release()

    @app.on_before_shutdown.connect  # type: ignore[arg-type]
    async def on_shutdown(_app: Any, *_args: Any, **_: Any) -> None:
        await worker.release()

    return app


def die(error: BaseException) -> NoReturn:
    """End the process before anything else is acknowledged."""
    log.critical("%s: %s", type(error).__name__, error)
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
    metrics.serve(settings.host, first_port + 10 * number)
    app = build(settings, source)
    worker = faust.Worker(app, loglevel="INFO", override_logging=False, quiet=True, redirect_stdouts=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
