"""Old and new contract at once: the processes of a rolling upgrade share the tables, and no field is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.delta_scan import query as duckdb
from infra.delta_scan import scan
from infra.kafka import producer_config
from infra.settings import Settings
from schemas.table import Table
from schemas.tables import BRONZE
from schemas.tables.events import bronze_table
from schemas.topic import EventTopic, Topic
from streams.bronze_rows import Decoder, sorted_by
from streams.delta_sink import DeltaSink
from tests.streams.bronze_world import assert_each_record_once, log_of, sink, stop, wait_caught_up, wait_ready
from tests.streams.delta_world import Record
from tests.streams.newer_contract import COLUMN, FIELD, OLDER, newer

SOURCE = {OLDER.name: "id i, 2 partitions"}


def search(number: int) -> bytes:
    body = {"eventId": f"e{number}", "userId": f"u{number % 7}", "eventType": "search", "query": "x"}
    return json.dumps(body | {"timestamp": "2026-01-15T20:30:45Z", FIELD: number, "odd": 1}).encode()


class Release:
    """One process's view: its contract, its decoder, its handle."""

    def __init__(self, topic: EventTopic, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table: Table = bronze_table(topic)
        with monkeypatch.context() as patch:
            patch.setitem(BRONZE, topic.name, self.table)
            self.decoder = Decoder(topic)
        self.sink = DeltaSink(self.table, str(lake), SOURCE, sorted_by(topic))

    def commit(self, partition: int, number: int) -> None:
        name = f"bronze/i/{partition}"
        rows = self.decoder.decode([Record(number, search(number))]).rows
        self.sink.commit(rows, {name: (self.sink.stored(name), number + 1)})


def assert_no_field_is_lost(found: list[dict[str, Any]]) -> set[bool]:
    """Each row has the field, in its column or in `extra`; returns which of the two occur."""
    for row in found:
        number, extra = int(row["event_id"][1:]), json.loads(row["extra"])
        assert extra.get(FIELD, row[COLUMN]) == number
        assert (row[COLUMN] is None) == (FIELD in extra), "in one place"
        assert extra["odd"] == 1
    return {row[COLUMN] is None for row in found}


def test_an_old_process_goes_on_beside_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Release(OLDER, tmp_path, monkeypatch)
    old.commit(0, 0)
    new = Release(newer(), tmp_path, monkeypatch)
    # No PositionMoved: that the table has gained a column is no reason to read records again.
    old.commit(0, 1)
    new.commit(1, 2)
    old.commit(0, 3)
    again = Release(OLDER, tmp_path, monkeypatch)
    again.commit(0, 4)
    new.commit(1, 5)
    found = duckdb(f"SELECT event_id, extra, {COLUMN} FROM {scan(new.sink.path)}")
    assert len(found) == 6
    assert assert_no_field_is_lost(found) == {True, False}


def test_several_new_processes_start_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Release(OLDER, tmp_path, monkeypatch)
    table = bronze_table(newer())
    started: list[DeltaSink] = []
    threads = [
        threading.Thread(target=lambda: started.append(DeltaSink(table, str(tmp_path), SOURCE))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for number in range(10):
        old.commit(0, number)
    for thread in threads:
        thread.join()
    assert len(started) == 4
    assert old.sink.stored("bronze/i/0") == 10
    logs = [file.read_text() for file in sorted((old.sink.path / "_delta_log").glob("*.json"))]
    assert sum('"operation":"ADD COLUMN"' in text for text in logs) == 1


@pytest.mark.kafka
@pytest.mark.long
def test_old_and_new_processes_share_a_topic(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    from confluent_kafka import Producer

    producer = Producer(producer_config(kafka))

    def send(first: int) -> None:
        for number in range(first, first + 500):
            producer.produce(OLDER.name, key=f"u{number % 7}".encode(), value=search(number))
        assert producer.flush(20) == 0

    with sink(kafka, "g") as old:
        send(0)
        wait_caught_up(kafka, 30, old)
        with sink(kafka, "g", newer=True) as new:
            wait_ready(new)
            for part in range(1, 5):
                send(part * 500)
                wait_caught_up(kafka, 60, old, new)
            stop(old)
            send(2500)
            wait_caught_up(kafka, 60, new)
            stop(new)
    assert assert_each_record_once(kafka)["letters"] == 0
    found = duckdb(f"SELECT event_id, extra, {COLUMN} FROM {scan(BRONZE[OLDER.name].path(kafka.lake_root))}")
    assert len(found) == 3000
    assert assert_no_field_is_lost(found) == {True, False}
    assert "another process got in between" not in log_of(kafka)
