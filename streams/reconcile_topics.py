"""The Kafka side of conservation: where topics end, what the stream published, whether an offset holds a record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.errors import ProcessError
from infra.kafka import consumer_config
from infra.settings import Settings
from infra.topics import offsets
from schemas.registry import LIVE_QUALITY
from schemas.standing import Standing, is_standing, read_standing

if TYPE_CHECKING:
    from confluent_kafka import Consumer

GROUP = "playlake-reconcile"
"""Never joined: partitions are assigned by hand."""
RECENT = 20_000
"""Records of the live topic that are read first; every partition is in there about once a second."""
FAR = 5_000
"""A gap further away than this is jumped to."""
POLL_S = 0.1
SILENCE_S = 15.0


@dataclass(frozen=True)
class Cut:
    """Up to where a partition is counted. `live`: what the stream said of it, at its own position."""

    topic: str
    partition: int
    end: int
    live: Standing | None = None

    @property
    def live_position(self) -> int:
        return self.live.position if self.live else 0


def cuts(settings: Settings, topics: Iterable[str]) -> dict[tuple[str, int], Cut]:
    """(topic, partition) → cut at its present end."""
    return {place: Cut(*place, end) for place, (_, end) in offsets(settings, topics).items()}


def live_standings(settings: Settings, topics: frozenset[str]) -> dict[tuple[str, int], Standing]:
    """(topic, partition) → what the stream last published of it.

    `topics`: those of which something is expected, and looked for further back.
    """
    ends = offsets(settings, [LIVE_QUALITY.name])
    found: dict[tuple[str, int], Standing] = {}
    for partition, low, high in ((p, low, high) for (_, p), (low, high) in ends.items()):
        for start in sorted({low, max(low, high - RECENT)}, reverse=True):
            newest: dict[tuple[str, int], Standing] = {}
            for _offset, key, value in read_records(settings, LIVE_QUALITY.name, partition, start, high):
                if value is not None and key is not None and is_standing(key):
                    said = read_standing(value)
                    newest[said.topic, said.partition] = said
            found = newest | found
            if topics <= {topic for topic, _ in found}:
                break
    return found


def find_records(settings: Settings, topic: str, partition: int, gaps: Iterable[tuple[int, int]]) -> str:
    """Offsets of the gaps [first, following) at which Kafka does hold a record, as text; empty if it holds none."""
    low, _high = offsets(settings, [topic])[topic, partition]
    lost: list[str] = []
    batch: list[tuple[int, int]] = []
    for first, following in sorted(gaps):
        if first < low:
            lost.append(f"{first}..{min(following, low) - 1} (gone from Kafka by now: can't be told)")
        if following > low:
            gap = (max(first, low), following)
            if batch and gap[0] - batch[-1][1] > FAR:
                lost += _records_in(settings, topic, partition, batch)
                batch = []
            batch.append(gap)
    if batch:
        lost += _records_in(settings, topic, partition, batch)
    return ", ".join(lost[:10]) + (f" and {len(lost) - 10} more" if len(lost) > 10 else "")


def _records_in(settings: Settings, topic: str, partition: int, gaps: list[tuple[int, int]]) -> list[str]:
    """Offsets with a record, within gaps that lie close together."""
    inside = iter(gaps)
    first, following = next(inside)
    found = []
    for offset, _key, _value in read_records(settings, topic, partition, first, gaps[-1][1]):
        while offset >= following and (gap := next(inside, None)) is not None:
            first, following = gap
        if first <= offset < following:
            found.append(str(offset))
    return found


def read_records(
    settings: Settings, topic: str, partition: int, start: int, end: int
) -> Iterator[tuple[int, bytes | None, bytes | None]]:
    """Offset, key and value of the records of [start, end), as a consumer that respects transactions sees them."""
    from confluent_kafka import Consumer, TopicPartition

    if start >= end:
        return
    consumer = Consumer(consumer_config(settings, GROUP, {"enable.partition.eof": True, "auto.offset.reset": "error"}))
    try:
        consumer.assign([TopicPartition(topic, partition, start)])
        yield from _until(consumer, end)
    finally:
        consumer.close()


def _until(consumer: Consumer, end: int) -> Iterator[tuple[int, bytes | None, bytes | None]]:
    from confluent_kafka import KafkaError

    heard = time.monotonic()
    while True:
        messages: list[Any] = consumer.consume(5_000, POLL_S)
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENCE_S:
            msg = f"Kafka sent nothing for {SILENCE_S:.0f} s, before offset {end}"
            raise ProcessError(msg)
        for message in messages:
            error = message.error()
            if error is None and message.offset() < end:
                yield message.offset(), message.key(), message.value()
            elif error is None or error.code() == KafkaError._PARTITION_EOF:
                if message.offset() >= end:
                    return
            else:
                msg = f"reading back from Kafka failed: {error.str()}"
                raise ProcessError(msg)
