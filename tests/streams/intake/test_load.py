"""The load generator: records that obey their contracts, a rate that is kept, a ledger that tells the truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import PositionRefused, SettingsError
from infra.settings import Settings
from schemas.registry import EVENT_TOPICS
from schemas.topic import Topic
from streams.intake.load import ledger
from streams.intake.load.pool import Pool, Record
from streams.intake.load.run import Figures, Plan, run
from streams.intake.load.senders import KafkaSender
from streams.intake.load.verify import Comparison, verify
from tests.streams.intake.collector_world import RunningCollector, read_all

PLAYBACK, UI = "user.playback.events", "user.ui.events"


def take(pool: Pool, count: int) -> list[Record]:
    records: list[Record] = []
    while len(records) < count:
        records += pool.take(count - len(records))
    return records


def test_records_obey_their_contracts_and_are_all_different() -> None:
    pool = Pool("load-1", 0, seed=1, size=400)
    size = len(pool.take(10_000))
    records = take(pool, 3 * size)
    events = [EVENT_TOPICS[topic].decode(value) for topic, _, value in records]
    assert [event.event_id for event in events] == pool.event_ids(size + 1, len(records))
    assert [event.key.encode() for event in events] == [key for _, key, _ in records]
    assert {topic for topic, _, _ in records} >= {PLAYBACK, UI}
    # The next round is the same behaviour of other viewers.
    first, second = events[:size], events[size : 2 * size]
    assert [e.event_type for e in first] == [e.event_type for e in second]
    assert not {e.user_id for e in first} & {e.user_id for e in second} - {None}
    other = Pool("load-1", 1, seed=1, size=400)
    assert not {value for _, _, value in take(other, size)} & {value for _, _, value in records}


def test_a_ledger_goes_into_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("mine")
    with pytest.raises(SettingsError, match="holds something"):
        ledger.begin(tmp_path, ledger.Meta("r", "kafka", 0, []))
    with pytest.raises(SettingsError, match=r"meta\.json"):
        ledger.read_meta(tmp_path)


def test_without_a_broker_nothing_is_said_to_be_acknowledged() -> None:
    quick = Settings(kafka_bootstrap="127.0.0.1:1")
    sender = KafkaSender(quick, patience_s=0.5)
    sender.send(Pool("load-1", 0, seed=1, size=50).take(20))
    assert Counter(sender.settle()) == {"unknown": 20}


def load(settings: Settings, folder: Path, **what: object) -> tuple[Figures, list[str]]:
    lines: list[str] = []
    plan = Plan(**{"to": "kafka", "events": 3000, "seconds": 30, "pool": 2000, "ledger": folder, **what})  # type: ignore[arg-type]
    return run(settings, plan, lines.append), lines


@pytest.mark.kafka
def test_every_acknowledged_record_is_in_kafka_and_what_is_not_is_found_out(
    kafka: Settings, topics: dict[str, Topic], tmp_path: Path
) -> None:
    folder = tmp_path / "ledger"
    figures, _ = load(kafka, folder, processes=2)
    assert figures.outcomes == {"acked": 3000}
    assert sum(len(read_all(kafka, topic)) for topic in EVENT_TOPICS) == 3000
    rows = ledger.read(folder)
    assert Counter(rows["topic"].to_pylist()).keys() >= {PLAYBACK, UI}
    assert verify(kafka, folder) == Comparison("kafka", 3000, 0, 0, 0, 0, 0, 0, ())

    # A lie of each kind: a record that never was, one with other bytes, one that was left out, one that was refused.
    files = sorted(folder.glob("*.parquet"))
    table = pq.read_table(files[0])
    changed = table.to_pylist()
    changed[0]["event_id"] += "-never"
    changed[1]["sha256"] = b"\0" * 32
    changed[2]["outcome"], changed[3]["outcome"] = "nacked", "unknown"
    pq.write_table(pa.Table.from_pylist(changed, schema=table.schema), files[0])
    found = verify(kafka, folder)
    assert (found.acked, found.missing, found.changed) == (2998, 1, 1)
    assert (found.nacked_found, found.unknown_found, found.unsettled) == (1, 1, 1)
    assert not found.holds
    assert "expected 0" in found.as_text()
    # What is sent a second time is found out, too.
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    value = read_all(kafka, UI)[0][3]
    producer.produce(UI, value)
    producer.flush(10)
    assert verify(kafka, folder).repeated == 1


@pytest.mark.kafka
def test_through_the_collector_at_a_rate(collector: RunningCollector, kafka: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    figures, _ = load(kafka, folder, to="collector", events=1200, rate=400.0, batch=40)
    assert figures.outcomes == {"acked": 1200}
    assert 2.5 < figures.seconds < 8, "1200 events at 400/s are 3 s"
    assert "p99" in figures.as_text()
    found = verify(kafka, folder)
    assert found.holds
    assert (found.acked, found.repeated, found.unsettled) == (1200, 0, 0)
    assert len(list(folder.glob("*.parquet"))) >= 2, "a slow load settles as it goes"


@pytest.mark.kafka
def test_a_collector_that_is_down_leaves_nothing_acknowledged(
    collector: RunningCollector, kafka: Settings, tmp_path: Path
) -> None:
    from streams.intake.load.senders import CollectorSender

    sender = CollectorSender(kafka, batch=10, patience_s=1.0)
    pool = Pool("load-1", 0, seed=1, size=200)
    sender.send(pool.take(20))
    assert Counter(sender.settle()) == {"acked": 20}
    collector.stop()
    sender.send(pool.take(10))
    assert Counter(sender.settle()) == {"unknown": 10}


@pytest.mark.kafka
def test_topics_that_have_lost_their_beginning_prove_nothing(
    kafka: Settings, topics: dict[str, Topic], tmp_path: Path
) -> None:
    folder = tmp_path / "ledger"
    load(kafka, folder, events=100)
    meta = ledger.read_meta(folder)
    meta.starts[0] = (meta.starts[0][0], meta.starts[0][1], -1)
    (folder / ledger.META).write_bytes(msgspec.json.encode(meta))
    with pytest.raises(PositionRefused, match="to hold everything since"):
        verify(kafka, folder)
