"""Keeps `live.duckdb` less than a second behind the stream: reads the live topics from their beginning, writes the file
by rename.

What is kept: everything from the cut-over minute of the publish in force, up to `live_max_rows`. Beyond that the oldest
minutes go, and the file's `meta` names the gap. The first file is written when the topic has been read to its end, so
neither a restart of the server nor one of a stream worker shows fewer numbers than there were.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from prometheus_client import Counter, Gauge, Histogram

from infra.delta_scan import quoted
from infra.errors import ContractError
from infra.kafka import consumer_config
from infra.memory import give_back
from infra.settings import Settings
from schemas.registry import LIVE_ALERTS, LIVE_QUALITY
from warehouse import attach, publication
from warehouse.live_alerts import LiveAlerts
from warehouse.live_seconds import Place
from warehouse.live_state import LiveState

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PERIOD_S = 0.5
DUTY = 0.25
"""Share of the time that writing may take; a file that is slow to write is written less often."""
KEEP_REPLACED_S = 60.0
"""How long minutes stay after a publish has taken them over: readers may still hold the publish before."""
GIVE_BACK_S = 2.0
METADATA_S = 2.0
TOPIC_WAIT_S = 1.0
BATCH_RECORDS = 5_000
TOPICS = (LIVE_QUALITY, LIVE_ALERTS)

RECORDS = Counter("playlake_server_live_records", "Records of the live topic that were taken in")
REJECTED = Counter("playlake_server_live_rejected", "Records of the live topic that are no live values")
ROWS = Gauge("playlake_server_live_rows", "Rows of live minutes in memory")
GAP = Gauge("playlake_server_live_gap_seconds", "Length of the gap between published and live minutes")
WRITE_SECONDS = Histogram("playlake_server_live_write_seconds", "Time to write the live file")

logger = logging.getLogger(__name__)


class LiveFile:
    """Writes the state as a DuckDB file that readers attach while it is replaced."""

    def __init__(self, folder: Path, wall_clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._wall_clock = wall_clock
        self._connection: DuckDBPyConnection = duckdb.connect(":memory:", config={"threads": 1, "temp_directory": ""})
        self._connection.execute("SET TimeZone = 'UTC'")
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".{publication.LIVE}.*"):
            left.unlink()

    def write(self, state: LiveState, cutover_s: int, alerts: LiveAlerts | None = None) -> None:
        """Replace the live file. It need not survive a power cut, so nothing waits for the disk.

        `cutover_s`: first minute that published tables do not answer (epoch seconds); 0 when none answers any.
        """
        fresh = self._folder / f".{publication.LIVE}.{os.getpid()}"
        fresh.unlink(missing_ok=True)
        connection = self._connection
        connection.execute(f"ATTACH {quoted(fresh)} AS fresh")
        try:
            attach.create_live_tables(connection, "fresh")
            self._insert("quality_minute", state.table())
            self._insert("quality_second", state.last_hour.table())
            self._insert("now", state.now_table())
            if alerts is not None:
                self._insert("alerts", alerts.table())
            gap = self._gap(state, cutover_s)
            kept_from = max(gap[1] or 0, state.dropped_before_s, state.first_minute_s or 0) or None
            stamps = [None if second is None else datetime.fromtimestamp(second, UTC) for second in (kept_from, *gap)]
            now = datetime.fromtimestamp(self._wall_clock(), UTC)
            connection.execute("INSERT INTO fresh.main.meta VALUES (?, ?, ?, ?)", [now, *stamps])
        finally:
            connection.execute("DETACH fresh")
        fresh.chmod(0o444)
        fresh.replace(self._folder / publication.LIVE)
        ROWS.set(state.rows)
        GAP.set((gap[1] or 0) - (gap[0] or 0))

    def close(self) -> None:
        self._connection.close()

    def _gap(self, state: LiveState, cutover_s: int) -> tuple[int | None, int | None]:
        """Minutes that neither side has: from the cut-over to the first minute that live holds whole."""
        retained_s = int(self._wall_clock()) - LIVE_QUALITY.retention_ms // 1000
        lost_before_s = max(state.dropped_before_s, retained_s)
        return (cutover_s, lost_before_s) if 0 < cutover_s < lost_before_s else (None, None)

    def _insert(self, table: str, rows: pa.Table) -> None:
        self._connection.register("rows", rows)
        self._connection.execute(f"INSERT INTO fresh.main.{table} SELECT * FROM rows")
        self._connection.unregister("rows")


class LiveFeed:
    """The thread that reads the live topic and writes the live file."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.warehouse
        self._state = LiveState(settings.live_max_rows)
        self._alerts = LiveAlerts()
        self._file = LiveFile(self._folder)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._horizon = Horizon()
        self.written_at: float | None = None
        """When the file was last written (monotonic); None until the topic has been read once."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5)
        self._file.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except (KafkaException, duckdb.Error, OSError) as error:
                # The file that is there goes on answering, and says how old it is.
                logger.warning("live numbers stand still; trying again", extra={"reason": str(error)})
                self._stopping.wait(TOPIC_WAIT_S)

    def _follow(self) -> None:
        """Read the topic from its beginning and go on until stopped. Raises when the broker or the file fails."""
        config = consumer_config(self._settings, "playlake-server", {"enable.partition.eof": True})
        consumer = Consumer(config, logger=logging.getLogger("librdkafka"))
        try:
            behind = self._assign(consumer)
            self._forget(publication.cutover_s(self._folder))
            due = give_back_due = 0.0
            while not self._stopping.is_set():
                for message in consumer.consume(BATCH_RECORDS, 0.1):
                    self._take(message, behind)
                if not behind and time.monotonic() >= due:
                    due = self._write()
                if time.monotonic() >= give_back_due:
                    give_back_due = time.monotonic() + GIVE_BACK_S
                    give_back()
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> dict[Place, int]:
        """Take all partitions from their beginning, once the topics are there; where each ended when we began.

        The end as it was, since a topic that is written without a pause may never be read to its end.
        """
        while not self._stopping.is_set():
            topics = [consumer.list_topics(one.name, timeout=METADATA_S).topics[one.name] for one in TOPICS]
            if all(topic.error is None and topic.partitions for topic in topics):
                places = [TopicPartition(one.topic, n, OFFSET_BEGINNING) for one in topics for n in one.partitions]
                consumer.assign(places)
                return {(p.topic, p.partition): consumer.get_watermark_offsets(p, METADATA_S)[1] for p in places}
            self._stopping.wait(TOPIC_WAIT_S)
        return {}

    def _take(self, message: Message, behind: dict[Place, int]) -> None:
        place, offset, error = (message.topic() or "", message.partition() or 0), message.offset(), message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        if place in behind and (error is not None or offset is None or offset + 1 >= behind[place]):
            del behind[place]
        if error is not None:
            return
        key, value = message.key(), message.value()
        if key is None or (value is None and place[0] != LIVE_ALERTS.name):
            return
        try:
            if place[0] == LIVE_ALERTS.name:
                self._alerts.apply(key, value)
                return
            self._state.apply(key, value or b"")
            RECORDS.inc()
        except ContractError as wrong:
            REJECTED.inc()
            logger.warning("live record skipped", extra={"reason": wrong.detail, "offset": message.offset()})

    def _forget(self, cutover_s: int) -> None:
        self._state.forget_before(self._horizon.needed_from(cutover_s, time.monotonic()))

    def _write(self) -> float:
        """Write the file; when the next one is due (monotonic)."""
        started = time.monotonic()
        cutover_s = publication.cutover_s(self._folder)
        self._forget(cutover_s)
        self._alerts.forget(time.time_ns() // 1_000_000)
        with WRITE_SECONDS.time():
            self._file.write(self._state, cutover_s, self._alerts)
        self.written_at = time.monotonic()
        return started + max(PERIOD_S, (self.written_at - started) / DUTY)


class Horizon:
    """From which minute on live rows are needed: the cut-over in force, and for a while still the one before it."""

    def __init__(self) -> None:
        self._minute: int | None = None
        self._before: int | None = None
        self._since = 0.0

    def needed_from(self, cutover_s: int, now: float) -> int:
        """First minute to keep (epoch seconds); `now` is any clock that only goes forward."""
        if cutover_s != self._minute:
            self._before, self._minute, self._since = self._minute, cutover_s, now
        if self._before is not None and now - self._since < KEEP_REPLACED_S:
            return min(self._before, cutover_s)
        return cutover_s
