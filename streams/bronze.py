"""The bronze sink, a process of its own: `python -m streams.bronze`. Every record of every event topic ends in its
bronze table or in the dead letters, exactly once; several processes share the partitions by their consumer group.

Delta is the only truth for progress: an assignment begins with a claim (`streams/ownership.py` says why that is exact),
which also says where to read on. Offsets committed to the group are there to be looked at.
While one batch is decoded and committed, by a thread of its own, the next one is fetched.
When a commit finds that another process got in between, what is pending is dropped and read again. Whatever else goes
wrong ends the process: started again, it goes on from the log.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

from infra import garbage
from infra import log as logs
from infra.errors import PlaylakeError, PositionRefused, ProcessError
from infra.failpoints import failpoints
from infra.kafka import consumer_config, producer_config
from infra.kafka_positions import SINK_GROUP
from infra.settings import Settings
from infra.topics import ensure_topics, offsets, partition_count, topic_id
from schemas.registry import DEAD_LETTER_TOPIC, EVENT_TOPICS
from streams.bronze_metrics import Metrics, serve
from streams.bronze_tables import SOURCES, BronzeTables, Pending
from streams.bronze_writer import Writer
from streams.delta_log import PositionMoved
from streams.ownership import Owned

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from streams.dead_letters import DeadLetter

log = logging.getLogger("streams.bronze")

GROUP = SINK_GROUP
POLL_RECORDS = 10_000
POLL_S = 0.1
MAX_PENDING_BYTES = 64_000_000
CONSUMER = {
    # Never skip: an offset that Kafka does not know is an error.
    "auto.offset.reset": "error",
    # Tells the position behind control records, which are no messages.
    "enable.partition.eof": True,
    "partition.assignment.strategy": "range",
    # A killed process holds its partitions for so long.
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 2_000,
    "queued.max.messages.kbytes": 32_768,
}


class Sink:
    """One process of a consumer group. `step` is told what comes next wherever a crash may fall in between."""

    def __init__(
        self, settings: Settings, group: str = GROUP, step: Callable[[str], None] = lambda _name: None
    ) -> None:
        from confluent_kafka import Consumer, Producer

        self._settings = settings
        self._metrics = Metrics()
        self._stopping = False
        ensure_topics(settings, [*EVENT_TOPICS.values(), DEAD_LETTER_TOPIC])
        self._sources = {name: self._source(name) for name in SOURCES}
        self._tables = BronzeTables(settings.lake_root, self._sources, step)
        self._pending = Pending()
        self._writer = Writer(self._tables)
        self._owned: dict[tuple[str, int], Owned] = {}
        self._to_claim: list[tuple[str, int]] = []
        """Assigned and not yet ours. Until they are, nothing that was fetched counts."""
        self._why = ""
        self._flushed = time.monotonic()
        librdkafka = logging.getLogger("librdkafka")
        self._consumer = Consumer(consumer_config(settings, group, CONSUMER), logger=librdkafka)
        self._producer = Producer(producer_config(settings, {"linger.ms": 50}), logger=librdkafka)

    def stop(self) -> None:
        """Flush and return from `run` soon."""
        self._stopping = True

    def run(self) -> None:
        """Go on until `stop`."""
        settings = self._settings
        end_metrics = serve(self._metrics, settings.host, settings.sink_metrics_port)
        self._consumer.subscribe(
            list(SOURCES), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        log.info("started", extra={"topics": list(SOURCES), "lake": settings.lake_root})
        try:
            while not self._stopping:
                messages = self._consumer.consume(POLL_RECORDS, POLL_S)
                if self._to_claim:
                    # Some of the messages may be of an earlier assignment, or behind a position that is not ours.
                    self._claim()
                else:
                    self._take(messages)
                self._settle(wait=False)
                if self._is_due():
                    self._flush()
                self._producer.poll(0)
                self._metrics.turn()
            self._flush()
            self._settle()
        finally:
            self._consumer.close()
            self._producer.flush(2)
            end_metrics()
        log.info("stopped")

    def _on_assign(self, consumer: Any, partitions: Sequence[Any]) -> None:
        # Nothing is fetched before the claim says from where.
        consumer.assign([])
        self._to_claim = [(p.topic, p.partition) for p in partitions]
        self._why = "assigned"

    def _on_revoke(self, _consumer: Any, _partitions: Sequence[Any]) -> None:
        # A commit under way may still get through or not: either is exact, and the next claim, ours included, sees it.
        self._metrics.forget(self._owned)
        self._owned.clear()
        self._to_claim = []
        self._pending = Pending()

    def _claim(self) -> None:
        """Take over what was assigned, and read from where the log says."""
        from confluent_kafka import TopicPartition

        self._settle()
        wanted, self._to_claim = sorted(self._to_claim), []
        self._owned.clear()
        self._pending = Pending()
        for name, pairs in groupby(wanted, key=lambda pair: pair[0]):
            if (now := self._source(name)) != self._sources[name]:
                msg = f"topic {name} was {self._sources[name]} and is now {now}; start again to be told what to do"
                raise PositionRefused(msg)
            ends = offsets(self._settings, [name])
            mine = {partition: ends[name, partition] for _, partition in pairs}
            for owned in self._tables.claim(name, topic_id(self._settings, name), mine):
                self._owned[name, owned.partition] = owned
        self._metrics.claims.labels(self._why).inc()
        positions = {f"{topic}/{partition}": owned.position for (topic, partition), owned in self._owned.items()}
        log.info("claimed partitions", extra={"why": self._why, "positions": positions})
        self._consumer.assign([TopicPartition(o.topic, o.partition, o.position) for o in self._owned.values()])

    def _source(self, name: str) -> str:
        """What makes a topic this very one."""
        return f"id {topic_id(self._settings, name)}, {partition_count(self._settings, name)} partitions"

    def _take(self, messages: Sequence[Message]) -> None:
        errors = [message for message in messages if message.error() is not None]
        records = [message for message in messages if message.error() is None] if errors else messages
        # What is consumed at once are mostly long runs of one partition, each in the order of its offsets.
        for place, run in groupby(records, _place):
            if owned := self._owned.get(place):
                self._take_run(owned, list(run))
        # What is said of a partition's end is behind its records.
        for message in errors:
            self._heed(cast("KafkaError", message.error()), self._owned.get(_place(message)), _offset(message))

    def _take_run(self, owned: Owned, run: list[Message]) -> None:
        if _offset(run[0]) < owned.next or owned.known_letters:
            run = [one for one in run if _offset(one) >= owned.next]
            last = _offset(run[-1]) if run else owned.next - 1
            run = [one for one in run if _offset(one) not in owned.known_letters]
        else:
            last = _offset(run[-1])
        # A jump is legal: control records and aborted transactions have offsets too.
        owned.next = last + 1
        self._pending.add(owned.topic, run, sum(map(len, run)))

    def _heed(self, error: KafkaError, owned: Owned | None, offset: int) -> None:
        """What librdkafka says among the records."""
        from confluent_kafka import KafkaError

        if error.code() == KafkaError._PARTITION_EOF:
            if owned is not None:
                owned.next = max(owned.next, offset)
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            msg = f"Kafka does not have what comes next ({error.str()}); start again to be told what to do"
            raise PositionRefused(msg)
        elif error.fatal():
            msg = f"the consumer can't go on: {error.str()}"
            raise ProcessError(msg)
        else:
            log.warning("broker trouble", extra={"error": error.str()})

    def _is_due(self) -> bool:
        if self._pending.count >= self._settings.sink_commit_rows or self._pending.bytes >= MAX_PENDING_BYTES:
            return True
        return not self._writer.is_busy and time.monotonic() - self._flushed >= self._settings.sink_commit_s

    def _flush(self) -> None:
        """Everything pending on its way into the lake, once the commit before is through."""
        self._settle()
        self._flushed = time.monotonic()
        moved = [owned for owned in self._owned.values() if owned.next != owned.position]
        if moved:
            self._writer.start(moved, self._pending)
            self._pending = Pending()
        else:
            self._show_lag()

    def _settle(self, wait: bool = True) -> None:
        """See what came of the commit under way; without `wait`, only if it has ended."""
        if not (wait or self._writer.is_done) or not (commit := self._writer.take()):
            return
        # By its partitions: they may have been taken away since, or been claimed anew.
        is_ours = all(self._owned.get((owned.topic, owned.partition)) is owned for owned in commit.owned)
        try:
            rows = commit.rows.result()
        except PositionMoved as error:
            log.warning("another process got in between; reading again", extra={"detail": str(error)})
            if is_ours:
                self._to_claim, self._why = list(self._owned), "moved"
                # Nothing more is committed before the claim.
                self._owned.clear()
                self._pending = Pending()
            return
        commit.keep()
        self._metrics.flushed(rows, time.monotonic() - commit.began)
        self._announce(commit.pending.letters)
        if is_ours:
            self._show_positions(commit.owned)
            self._show_lag()

    def _announce(self, letters: Iterable[DeadLetter]) -> None:
        """Best effort: the table has them. What came by the topic itself is not repeated there."""
        for (topic, reason), count in Counter((letter.topic, letter.reason) for letter in letters).items():
            self._metrics.letters.labels(topic, reason).inc(count)
        for letter in letters:
            if letter.topic != DEAD_LETTER_TOPIC.name:
                try:
                    self._producer.produce(DEAD_LETTER_TOPIC.name, value=letter.announcement(), key=letter.key)
                except BufferError:
                    self._metrics.unannounced.inc()

    def _show_positions(self, moved: Iterable[Owned]) -> None:
        from confluent_kafka import TopicPartition

        at = [TopicPartition(owned.topic, owned.partition, owned.position) for owned in moved]
        self._consumer.commit(offsets=at, asynchronous=True)

    def _show_lag(self) -> None:
        from confluent_kafka import TopicPartition

        for (topic, partition), owned in self._owned.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            self._metrics.position.labels(topic, str(partition)).set(owned.position)
            self._metrics.lag.labels(topic, str(partition)).set(max(0, high - owned.position))


def _place(message: Message) -> tuple[str, int]:
    """Topic and partition: whatever is consumed has them."""
    return cast("tuple[str, int]", (message.topic(), message.partition()))


def _offset(message: Message) -> int:
    return cast("int", message.offset())


def run(settings: Settings, group: str = GROUP, step: Callable[[str], None] = lambda _name: None) -> None:
    """Run until SIGTERM or SIGINT, then flush and end with code 0; an error of ours: 1."""
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        sink = Sink(settings, group, step)
        garbage.look_less_often()
        for number in signals:
            signal.signal(number, lambda *_: sink.stop())
        sink.run()
    except PlaylakeError as error:
        log.critical("%s: %s", type(error).__name__, error)
        sys.exit(1)


if __name__ == "__main__":
    logs.setup("sink")
    own = Settings.from_env()
    run(own, step=failpoints(own.failpoints))
