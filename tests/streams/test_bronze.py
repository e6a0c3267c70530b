"""The sink on a real broker: every record once, whatever kills it."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
import urllib.request
from collections.abc import Mapping

import pytest

from infra.kafka import producer_config
from infra.settings import Settings
from infra.topics import offsets
from infra.waiting import until
from schemas.examples import fullest, smallest
from schemas.registry import EVENT_TOPICS, PLAYBACK
from schemas.table import Table
from schemas.tables import BRONZE, DEAD_LETTERS
from schemas.topic import Topic
from streams.bronze_tables import SOURCES
from tests.streams.bronze_world import (
    assert_each_record_once,
    event,
    log_of,
    produce,
    query,
    sink,
    stop,
    url,
    wait_caught_up,
    wait_ready,
)

pytestmark = pytest.mark.kafka
MOMENTS = ("before files", "before commit", "after commit")


@pytest.mark.parametrize("kills", [pytest.param(3, marks=pytest.mark.long), pytest.param(20, marks=pytest.mark.chaos)])
def test_killed_at_random_moments_it_loses_and_doubles_nothing(
    kafka: Settings, topics: Mapping[str, Topic], kills: int
) -> None:
    bad, parts = 0, 6 * kills
    done = threading.Event()

    def keep_producing() -> None:
        nonlocal bad
        for part in range(parts):
            bad += produce(kafka, 1000, seed=part, first=part * 1000)
            if not done.is_set():
                time.sleep(1)

    producing = threading.Thread(target=keep_producing)
    producing.start()
    choose = random.Random(7)
    for number in range(kills):
        # Groups of their own: a group waits for its dead members first, and it is no part of what is tested here.
        with sink(kafka, f"g{number}") as process:
            wait_ready(process)
            time.sleep(choose.uniform(0.5, 3))
            assert process.poll() is None, log_of(kafka)[-3000:]
            process.kill()
    done.set()
    producing.join()
    with sink(kafka, "g") as process:
        # Where the killed ones got everything done, it would be told to stop before it listens.
        wait_ready(process)
        wait_caught_up(kafka, 60, process)
        assert stop(process) < 10
    assert assert_each_record_once(kafka) == {"rows": parts * 1000 - bad, "letters": bad}


@pytest.mark.long
@pytest.mark.parametrize(
    ("table", "claims", "moment"),
    [
        *((BRONZE[PLAYBACK.name], 1, moment) for moment in MOMENTS),
        *((DEAD_LETTERS, len(SOURCES), moment) for moment in MOMENTS),
    ],
)
def test_killed_at_a_chosen_moment(
    kafka: Settings, topics: Mapping[str, Topic], table: Table, claims: int, moment: str
) -> None:
    bad = produce(kafka, 3000, broken=0.05)
    # A table's first commits are claims; the next one carries records.
    with sink(kafka, "first", f"{table.name}: {moment}", claims + 1) as process:
        assert process.wait(30) == -9, log_of(kafka)[-3000:]
    has_rows, has_letters = (
        query(one.path(kafka.lake_root), "SELECT count(*) AS n FROM t")[0]["n"] > 0
        for one in (BRONZE[PLAYBACK.name], DEAD_LETTERS)
    )
    assert has_letters == (table is not DEAD_LETTERS or moment == "after commit")
    assert has_rows == (table is not DEAD_LETTERS and moment == "after commit")
    bad += produce(kafka, 1000, broken=0.05, seed=2, first=3000)
    with sink(kafka, "second") as process:
        wait_caught_up(kafka, 30, process)
        stop(process)
    assert assert_each_record_once(kafka) == {"rows": 4000 - bad, "letters": bad}


@pytest.mark.long
def test_two_processes_share_and_take_over(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    bad = produce(kafka, 3000)
    every = len(offsets(kafka, SOURCES))

    def is_shared() -> bool:
        claims = [line for line in log_of(kafka).splitlines() if "claimed partitions" in line]
        return any(0 < len(json.loads(line)["positions"]) < every for line in claims)

    with sink(kafka, "g") as first, sink(kafka, "g") as second:
        wait_caught_up(kafka, 30, first, second)
        until("both to have a part of the partitions", is_shared, 30)
        for part in range(1, 4):
            bad += produce(kafka, 1000, seed=part, first=3000 * part)
        stop(first)
        bad += produce(kafka, 1000, seed=9, first=20_000)
        wait_caught_up(kafka, 30, second)
        stop(second)
    assert assert_each_record_once(kafka) == {"rows": 7000 - bad, "letters": bad}


@pytest.mark.parametrize(
    ("table", "claims"),
    [(BRONZE[PLAYBACK.name], 1), pytest.param(DEAD_LETTERS, len(SOURCES), marks=pytest.mark.long)],
)
def test_one_that_slept_before_its_commit_is_too_late(
    kafka: Settings, topics: Mapping[str, Topic], table: Table, claims: int
) -> None:
    bad = produce(kafka, 3000, broken=0.05)
    with sink(kafka, "g", f"{table.name}: before commit", claims + 1, "SIGSTOP") as zombie:
        _, status = os.waitpid(zombie.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), log_of(kafka)[-3000:]
        with sink(kafka, "g") as other:
            wait_caught_up(kafka, 60, other)
            zombie.send_signal(signal.SIGCONT)
            bad += produce(kafka, 1000, broken=0.05, seed=2, first=3000)
            wait_caught_up(kafka, 60, zombie, other)
            for process in (zombie, other):
                stop(process)
    assert "another process got in between" in log_of(kafka)
    assert assert_each_record_once(kafka) == {"rows": 4000 - bad, "letters": bad}


def test_an_event_of_every_kind_reaches_its_table(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    from confluent_kafka import Producer

    producer = Producer(producer_config(kafka))
    sent: dict[str, list[str]] = {}
    for topic in EVENT_TOPICS.values():
        for event_type in topic.rank:
            for how, example in (("smallest", smallest), ("fullest", fullest)):
                event = example(topic, event_type) | {"eventId": f"{event_type}-{how}"}
                raw = json.dumps(event).encode()
                producer.produce(topic.name, raw, topic.decode(raw).key)
                sent.setdefault(topic.name, []).append(event["eventId"])
        producer.produce(topic.name, b'{"eventType":"teleport"}', b"k")
    assert producer.flush(20) == 0
    with sink(kafka, "g") as process:
        wait_caught_up(kafka, 30, process)
        stop(process)
    rows = sum(map(len, sent.values()))
    assert assert_each_record_once(kafka) == {"rows": rows, "letters": len(EVENT_TOPICS)}
    for name, table in BRONZE.items():
        found = query(table.path(kafka.lake_root), "SELECT event_id, extra FROM t")
        assert sorted(row["event_id"] for row in found) == sorted(sent[name])
        assert {row["extra"] for row in found} == {None}, "no field of a contract is an unknown one"


def test_a_batch_of_broken_records_moves_the_position(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    produce(kafka, 500, broken=1.1)
    with sink(kafka, "g") as process:
        wait_caught_up(kafka, 30, process)
        stop(process)
    assert assert_each_record_once(kafka) == {"rows": 0, "letters": 500}


def test_control_records_are_no_gap_and_no_lag(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    from confluent_kafka import Producer

    producer = Producer(producer_config(kafka, {"transactional.id": "t"}))
    producer.init_transactions(20)
    for number, commit in enumerate((True, False, True, False)):
        producer.begin_transaction()
        for n in range(10):
            producer.produce("user.playback.events", key=b"u1", value=event(number * 10 + n))
        producer.flush(10)
        (producer.commit_transaction if commit else producer.abort_transaction)(20)
    with sink(kafka, "g") as process:
        wait_caught_up(kafka, 30, process)
        stop(process)
    rows = query(BRONZE["user.playback.events"].path(kafka.lake_root), "SELECT event_id FROM t")
    assert {row["event_id"] for row in rows} == {f"e{n}" for n in (*range(10), *range(20, 30))}
    assert len(rows) == 20


def test_what_a_collector_rejected_is_kept_once(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    from confluent_kafka import Producer

    letter = {
        "source": "collector", "at": "2026-01-15T20:30:45Z", "topic": None, "partition": None, "offset": None,
        "reason": "unknown_event_type", "field": "eventType", "detail": "d", "key": None, "value": "eyI=", "size": 2,
    }  # fmt: skip
    producer = Producer(producer_config(kafka))
    producer.produce("dead.letters", value=json.dumps(letter).encode())
    producer.produce("dead.letters", value=json.dumps(letter | {"source": "sink"}).encode())
    producer.produce("dead.letters", value=b"what is this")
    producer.flush(10)
    produce(kafka, 10, broken=1.1)
    for _ in range(2):
        with sink(kafka, "g") as process:
            wait_ready(process)
            wait_caught_up(kafka, 30, process)
            time.sleep(1)
            stop(process)
    rows = query(DEAD_LETTERS.path(kafka.lake_root), "SELECT * FROM t WHERE topic = 'dead.letters'")
    assert sorted((row["reason"], row["value"]) for row in rows) == [
        ("not_json", b"what is this"),
        ("unknown_event_type", b'{"'),
    ]
    assert assert_each_record_once(kafka)["letters"] == 10


def test_it_tells_how_it_is(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    bad = produce(kafka, 2000, broken=0.05)
    with sink(kafka, "g") as process:
        wait_caught_up(kafka, 30, process)
        time.sleep(1)
        wait_ready(process)
        with urllib.request.urlopen(f"{url(process)}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        stop(process)
    figures = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]

    def of(name: str) -> list[float]:
        return [float(value) for full, value in figures if full.startswith(name)]

    assert sum(of('playlake_sink_rows_total{table="user')) == 2000 - bad
    assert sum(of("playlake_sink_dead_letters_total")) == bad
    assert set(of("playlake_sink_lag{")) == {0.0}
