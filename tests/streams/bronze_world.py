"""What the sink's tests share: records with a known share of broken ones, sink processes, and the invariant."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.kafka import consumer_config, producer_config
from infra.settings import ROOT, Settings
from infra.topics import offsets, topic_id
from schemas.registry import EVENT_TOPICS
from schemas.tables import BRONZE, DEAD_LETTERS
from streams.ownership import transaction_of

BROKEN = (
    b"",
    b"{",
    b"not json",
    b"\xff\xfe",
    b"[]",
    b'{"userId":"u"}',
    b'{"userId":"u","contentId":"t","eventType":"play","timestamp":"yesterday"}',
    b'{"userId":"u","contentId":"t","eventType":"explode","timestamp":"2026-01-15T20:30:45Z"}',
    b'{"contentId":"t","eventType":"play","timestamp":"2026-01-15T20:30:45Z"}',
    b'{"userId":"u","contentId":"t","eventType":"play","timestamp":"2026-01-15T20:30:45Z","x":"\xff"}',
    None,
)


def event(number: int) -> bytes:
    """A valid playback event whose id is its number."""
    return json.dumps(
        {
            "eventId": f"e{number}",
            "userId": f"u{number % 97}",
            "contentId": "t1",
            "eventType": "heartbeat",
            "timestamp": "2026-01-15T20:30:45Z",
            "number": number,
        }
    ).encode()


def ui_event(number: int) -> bytes:
    """A valid UI event."""
    body = {"eventId": f"i{number}", "userId": f"u{number % 97}", "eventType": "search", "query": "x"}
    return json.dumps(body | {"timestamp": "2026-01-15T20:30:45Z"}).encode()


def produce(settings: Settings, count: int, seed: int = 1, broken: float = 0.01, first: int = 0) -> int:
    """Records into both event topics; returns how many are broken."""
    from confluent_kafka import Producer

    choose = random.Random(seed)
    producer = Producer(producer_config(settings, {"linger.ms": 20}))
    bad = 0
    for number in range(first, first + count):
        is_bad = choose.random() < broken
        bad += is_bad
        topic, value = ("user.playback.events", event(number)) if number % 5 else ("user.ui.events", ui_event(number))
        producer.produce(topic, key=f"u{number % 97}".encode(), value=choose.choice(BROKEN) if is_bad else value)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(30) == 0
    return bad


@contextlib.contextmanager
def sink(settings: Settings, group: str, *fatal: str | int, newer: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A sink process, with a metrics port of its own; killed at the end if it still runs. `sink_child.py` says more."""
    from tests.conftest import free_ports

    own = replace(settings, sink_metrics_port=free_ports(1)[0], sink_commit_s=0.3)
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "sink.log").open("ab") as out:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.streams.sink_child",
                *(["--newer"] if newer else []),
                group,
                *map(str, fatal),
            ],
            env={**os.environ, **own.to_env()},
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    process.metrics_port = own.sink_metrics_port  # type: ignore[attr-defined]
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def wait_ready(process: subprocess.Popen[bytes], timeout_s: float = 30) -> None:
    """Return when the process answers /healthz."""
    until = time.monotonic() + timeout_s
    while True:
        assert process.poll() is None
        assert time.monotonic() < until
        try:
            with urllib.request.urlopen(f"{url(process)}/healthz", timeout=5) as answer:
                assert json.load(answer)["ready"] is True
                return
        except urllib.error.URLError:
            time.sleep(0.1)


def url(process: subprocess.Popen[bytes]) -> str:
    """Where the process shows its metrics."""
    return f"http://127.0.0.1:{process.metrics_port}"  # type: ignore[attr-defined]


def log_of(settings: Settings) -> str:
    return (settings.home / "sink.log").read_text()


def stop(process: subprocess.Popen[bytes]) -> float:
    """SIGTERM; returns how long it took. It must end with code 0."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    return time.monotonic() - began


def transactions(settings: Settings) -> dict[tuple[str, int], str]:
    """Partition of an event topic → the id under which its position is stored."""
    ids = {name: topic_id(settings, name) for name in EVENT_TOPICS}
    return {(name, partition): transaction_of(ids[name], partition) for name, partition in offsets(settings, ids)}


def positions(settings: Settings, stored_as: Mapping[tuple[str, int], str] | None = None) -> dict[tuple[str, int], int]:
    """Stored positions of the event topics. Who asks often hands in `transactions`, for which Kafka has to be asked."""
    from deltalake import DeltaTable

    paths = {name: table.path(settings.lake_root) for name, table in BRONZE.items()}
    handles = {name: DeltaTable(path) for name, path in paths.items() if DeltaTable.is_deltatable(path)}
    return {
        place: handles[place[0]].transaction_version(transaction) or 0
        for place, transaction in (stored_as or transactions(settings)).items()
        if place[0] in handles
    }


def wait_caught_up(settings: Settings, timeout_s: float = 60, *processes: subprocess.Popen[bytes]) -> None:
    """Return when every stored position is the end of its partition."""
    ends = {place: end for place, (_, end) in offsets(settings, EVENT_TOPICS).items()}
    stored_as = transactions(settings)
    until = time.monotonic() + timeout_s
    while (found := positions(settings, stored_as)) != ends:
        assert all(process.poll() is None for process in processes), log_of(settings)[-3000:]
        assert time.monotonic() < until, (found, ends, log_of(settings)[-3000:])
        time.sleep(0.1)


def query(path: str | Path, sql: str) -> list[dict[str, Any]]:
    import pyarrow as pa
    from deltalake import DeltaTable, QueryBuilder

    return pa.table(QueryBuilder().register("t", DeltaTable(path)).execute(sql).read_all()).to_pylist()  # type: ignore[no-any-return]


def in_kafka(settings: Settings, topic: str) -> dict[tuple[int, int], bytes | None]:
    """(partition, offset) → value of every record of a topic."""
    from confluent_kafka import Consumer, TopicPartition

    ends = {p: end for (_, p), (_, end) in offsets(settings, [topic]).items()}
    consumer = Consumer(consumer_config(settings, "tests", {"enable.partition.eof": True}))
    consumer.assign([TopicPartition(topic, p, 0) for p in ends])
    found: dict[tuple[int, int], bytes | None] = {}
    open_ends = set(ends)
    while open_ends:
        for message in consumer.consume(5000, 0.1):
            if message.error() is not None:
                open_ends.discard(message.partition())
            else:
                found[message.partition(), message.offset()] = message.value()
    consumer.close()
    return found


def assert_each_record_once(settings: Settings) -> Mapping[str, int]:
    """Every record of Kafka is in bronze or in the dead letters, once, as it was; nothing else is. Returns counts."""
    lake = settings.lake_root
    counts = {"rows": 0, "letters": 0}
    letters: dict[str, dict[tuple[int, int], bytes | None]] = {name: {} for name in EVENT_TOPICS}
    for row in query(DEAD_LETTERS.path(lake), "SELECT * FROM t WHERE topic <> 'dead.letters'"):
        place = row["partition"], row["offset"]
        assert place not in letters[row["topic"]], f"dead letter {place} twice"
        letters[row["topic"]][place] = row["value"]
    for name, table in BRONZE.items():
        sent = in_kafka(settings, name)
        rows = query(table.path(lake), 'SELECT "partition", "offset", event_id FROM t')
        ids = {(row["partition"], row["offset"]): row["event_id"] for row in rows}
        assert len(ids) == len(rows), f"{len(rows) - len(ids)} rows of {name} are doubled"
        assert not ids.keys() & letters[name].keys()
        assert ids.keys() | letters[name].keys() == sent.keys(), f"{name}: lost or invented"
        for place, value in letters[name].items():
            assert value == sent[place]
        for place, event_id in ids.items():
            assert json.loads(sent[place] or b"")["eventId"] == event_id
        counts["rows"] += len(rows)
        counts["letters"] += len(letters[name])
    return counts
