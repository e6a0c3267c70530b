"""A disk that is slower than the topic: the sink waits, and does not hold what it can't write."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.kafka import producer_config
from infra.settings import Settings
from infra.topics import offsets
from schemas.registry import PLAYBACK
from schemas.tables import BRONZE
from schemas.topic import Topic
from tests.streams.bronze_world import event, positions, sink

pytestmark = [pytest.mark.kafka, pytest.mark.long]

SENT = 1_000_000
BOUND_KB = 800_000
"""Of an interpreter with its libraries (0.2 GB), what librdkafka holds (32 MB), what is pending (64 MB or 100,000
records, as messages and as columns) and what is being written."""


def test_memory_is_bounded_when_the_disk_is_slow(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    from confluent_kafka import Producer

    producer = Producer(producer_config(kafka, {"linger.ms": 20, "queue.buffering.max.messages": 200_000}))
    value = event(1)
    for number in range(SENT):
        while True:
            try:
                producer.produce(PLAYBACK.name, value, f"u{number % 97}")
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0
    resident = []
    with sink(kafka, "g", f"{BRONZE[PLAYBACK.name].name}: before commit", 2, "SLOW") as process:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert process.poll() is None
            status = Path(f"/proc/{process.pid}/status").read_text()
            resident.append(int(status.split("VmRSS:")[1].split()[0]))
            time.sleep(0.2)
        kept = sum(position for (topic, _), position in positions(kafka).items() if topic == PLAYBACK.name)
    print(
        f"kept {kept:,} of {SENT:,} records; at most {max(resident) / 1e3:,.0f} MB resident, at the end {resident[-1]}"
    )
    assert 0 < kept < sum(end for _, end in offsets(kafka, [PLAYBACK.name]).values()), "it was to be slow"
    assert max(resident) < BOUND_KB
