"""The ledger of a load against what Kafka holds: is every acknowledged record there, with the bytes that were sent?"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import topics as kafka_topics
from infra.errors import PositionRefused
from infra.kafka import consumer_config
from infra.settings import Settings
from streams.intake.load.ledger import Meta, read, read_meta

if TYPE_CHECKING:
    import pyarrow as pa

TIMEOUT_S = 30.0
ID = re.compile(rb'^\{"eventId":"([^"]+)"')
ADDED = re.compile(rb'((?:,"country":"[^"]*")?(?:,"client":\{.*\})?(?:,"receivedAt":"[^"]*")?)\}$')
"""What a collector may have added behind the time of an event, where every record of a load ends."""


@dataclass(frozen=True)
class Comparison:
    """Numbers of records. It holds when what was acknowledged is there, as it was sent."""

    to: str
    acked: int
    missing: int
    """Acknowledged, and not in Kafka."""
    changed: int
    """In Kafka with other bytes than were sent."""
    repeated: int
    """More than once in Kafka. Over HTTP a client that had no answer sends again, and silver keeps one."""
    nacked_found: int
    unknown_found: int
    unsettled: int
    """In Kafka, but not in the ledger: its generator was killed, or had sent what it could not write down any more."""
    examples: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not (self.missing or self.changed or (self.repeated and self.to == "kafka"))

    def as_text(self) -> str:
        """One line a number; a broken promise is marked."""
        bad = {"missing": True, "changed": True, "repeated": self.to == "kafka"}
        numbers = ("acked", "missing", "changed", "repeated", "nacked_found", "unknown_found", "unsettled")
        lines = [
            f"{name.replace('_', ' '):<14}{getattr(self, name):>14,}"
            f"{'  <-- expected 0' if bad.get(name) and getattr(self, name) else ''}"
            for name in numbers
        ]
        return "\n".join([*lines, *(f"e.g. {example}" for example in self.examples)])


def verify(settings: Settings, folder: Path) -> Comparison:
    """Read what Kafka has got since the run began, and compare.

    Raises PositionRefused when the topics do not hold everything since then any more.
    """
    import pyarrow.compute as pc

    meta = read_meta(folder)
    held = _held(settings, meta)
    counted = held.group_by("event_id").aggregate([("sha256", "min"), ("sha256", "max"), ("sha256", "count")])
    both = read(folder).join(counted, "event_id", join_type="full outer")
    outcome, times = both["outcome"], pc.fill_null(both["sha256_count"], 0)
    is_there = pc.greater(times, 0)

    def is_(name: str) -> Any:
        return pc.fill_null(pc.equal(outcome, name), False)

    same = pc.and_(pc.equal(both["sha256"], both["sha256_min"]), pc.equal(both["sha256"], both["sha256_max"]))
    missing = pc.and_(is_("acked"), pc.invert(is_there))
    changed = pc.and_(is_there, pc.invert(pc.fill_null(same, True)))
    examples = [
        f"{name} {event_id}"
        for name, mask in (("missing", missing), ("changed", changed))
        for event_id in both.filter(mask)["event_id"].slice(0, 3).to_pylist()
    ]

    def count(mask: pa.ChunkedArray) -> int:
        return int(pc.sum(mask).as_py() or 0)

    return Comparison(
        to=meta.to,
        acked=count(is_("acked")),
        missing=count(missing),
        changed=count(changed),
        repeated=count(pc.greater(times, 1)),
        nacked_found=count(pc.and_(is_("nacked"), is_there)),
        unknown_found=count(pc.and_(is_("unknown"), is_there)),
        unsettled=count(pc.is_null(outcome)),
        examples=tuple(examples),
    )


def _held(settings: Settings, meta: Meta) -> pa.Table:
    """event_id and sha256 of every record of the run that Kafka holds, as often as it does."""
    import pyarrow as pa
    from confluent_kafka import Consumer, TopicPartition

    places = {(topic, partition): start for topic, partition, start in meta.starts}
    ends = {
        place: span for place, span in kafka_topics.offsets(settings, {topic for topic, _ in places}).items()
        if place in places
    }  # fmt: skip
    for place, start in places.items():
        first = ends[place][0] if place in ends else None
        if first is None or first > start:
            msg = f"expected {place[0]}/{place[1]} to hold everything since offset {start}, it begins at {first}"
            raise PositionRefused(msg)
    left = {place: end for place, (_, end) in ends.items() if end > places[place]}
    prefix, is_collected = meta.run.encode() + b"-", meta.to != "kafka"
    schema = pa.schema([("event_id", pa.string()), ("sha256", pa.binary(32))])
    batches: list[pa.RecordBatch] = []
    if not left:
        return schema.empty_table()
    consumer = Consumer(consumer_config(settings, "playlake-load-verify", {"enable.partition.eof": True}))
    try:
        consumer.assign([TopicPartition(*place, places[place]) for place in left])
        heard = time.monotonic()
        while left:
            messages = consumer.consume(20_000, timeout=0.5)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > TIMEOUT_S:
                msg = f"expected records up to {left}, none came within {TIMEOUT_S:.0f} s"
                raise PositionRefused(msg)
            ids: list[str] = []
            digests: list[bytes] = []
            for message in messages:
                place = (message.topic() or "", message.partition() or 0)
                at = message.offset() or 0
                if place in left and at >= left[place] - (0 if message.error() else 1):
                    del left[place]
                value = message.value()
                if message.error() or value is None:
                    continue
                found = ID.match(value)
                if found and found[1].startswith(prefix):
                    ids.append(found[1].decode())
                    digests.append(hashlib.sha256(_as_sent(value, is_collected)).digest())
            batches.append(pa.record_batch([pa.array(ids, pa.string()), pa.array(digests, pa.binary(32))], schema))
    finally:
        consumer.close()
    return pa.Table.from_batches(batches, schema)


def _as_sent(value: bytes, is_collected: bool) -> bytes:
    """The record without its closing brace and without what a collector has added before that."""
    added = ADDED.search(value) if is_collected else None
    return value[: added.start()] if added else value[:-1]
