"""What the sink refuses to go on with, on a real broker, and whether what it advises works when done to the letter."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.topics import admin, ensure_topics, offsets
from schemas.registry import PLAYBACK
from schemas.tables import BRONZE
from schemas.topic import Topic
from tests.conftest import delete_topics
from tests.streams.bronze_world import (
    assert_each_record_once,
    log_of,
    produce,
    query,
    sink,
    stop,
    wait_caught_up,
)

pytestmark = pytest.mark.kafka


def run_once(settings: Settings) -> None:
    with sink(settings, "g") as process:
        wait_caught_up(settings, 30, process)
        stop(process)


def refused(settings: Settings) -> str:
    """The sink's last words."""
    with sink(settings, "g") as process:
        assert process.wait(30) == 1
    return log_of(settings).splitlines()[-1]


def moved_away(settings: Settings, message: str) -> Iterator[Path]:
    """Do what the message says."""
    found = re.search(r"move both (\S+) and (\S+) away", message)
    assert found, message
    for number, folder in enumerate(map(Path, found.groups())):
        target = settings.home / f"moved-{number}"
        shutil.move(folder, target)
        yield target


@pytest.mark.long
def test_a_topic_that_was_created_again(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    bad = produce(kafka, 500, broken=0.1)
    run_once(kafka)
    delete_topics(kafka, [PLAYBACK.name])
    ensure_topics(kafka, [PLAYBACK])
    message = refused(kafka)
    assert "created again" in message
    rows, _letters = moved_away(kafka, message)
    assert query(rows, "SELECT count(*) AS n FROM t")[0]["n"] > 0, "it stays readable"
    produce(kafka, 300, seed=2, broken=0.0, first=1000)
    run_once(kafka)
    found = query(BRONZE[PLAYBACK.name].path(kafka.lake_root), "SELECT event_id FROM t")
    assert {row["event_id"] for row in found} == {f"e{n}" for n in range(1000, 1300) if n % 5}
    assert bad


def test_a_topic_with_another_number_of_partitions(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    from confluent_kafka.admin import NewPartitions

    produce(kafka, 100)
    run_once(kafka)
    client = admin(kafka)  # must outlive its answers
    for future in client.create_partitions([NewPartitions(PLAYBACK.name, 3)]).values():
        future.result()
    assert "has partitions 3, expected 2" in refused(kafka)
    # With the setting changed it is the lake that does not fit.
    message = refused(replace(kafka, topic_partitions=3))
    assert "expected 3" in message, "of the other topics"


@pytest.mark.long
def test_records_that_retention_took_unread(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    from confluent_kafka import TopicPartition

    produce(kafka, 500)
    run_once(kafka)
    produce(kafka, 500, seed=2, first=500)
    ends = {p: end for (_, p), (_, end) in offsets(kafka, [PLAYBACK.name]).items()}
    cuts = [TopicPartition(PLAYBACK.name, p, end - 10) for p, end in ends.items()]
    client = admin(kafka)  # must outlive its answers
    for future in client.delete_records(cuts).values():
        future.result()
    message = refused(kafka)
    assert "records went by retention, unread" in message
    assert query(BRONZE[PLAYBACK.name].path(kafka.lake_root), "SELECT count(*) AS n FROM t")[0]["n"] < 500
    list(moved_away(kafka, message))
    run_once(kafka)
    rows = query(
        BRONZE[PLAYBACK.name].path(kafka.lake_root), 'SELECT "partition", min("offset") AS low FROM t GROUP BY 1'
    )
    assert all(row["low"] >= ends[row["partition"]] - 10 for row in rows)


@pytest.mark.long
def test_the_newest_commit_was_not_on_the_disk_when_the_power_went(
    kafka: Settings, topics: Mapping[str, Topic]
) -> None:
    bad = produce(kafka, 1000, broken=0.05)
    table = BRONZE[PLAYBACK.name]
    # One claim, then the commit with the records: killed before it was flushed.
    with sink(kafka, "first", f"{table.name}: after commit", 2) as process:
        assert process.wait(30) == -9
    newest = max((Path(table.path(kafka.lake_root)) / "_delta_log").glob("*.json"))
    newest.write_bytes(b"")
    message = refused(kafka)
    found = re.search(r"(\S+\.json) is empty\. It is the newest commit .* move it out of the folder", message)
    assert found
    shutil.move(found[1], kafka.home / "cut.json")
    run_once(kafka)
    assert assert_each_record_once(kafka) == {"rows": 1000 - bad, "letters": bad}
