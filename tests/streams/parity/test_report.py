"""The report on real parts: broker, stream worker, sink; gold and its publish are written as batch writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec
import pyarrow as pa
import pytest
from confluent_kafka import Producer
from deltalake import CommitProperties, DeltaTable, write_deltalake

from infra.errors import ProcessError
from infra.kafka import producer_config
from infra.settings import Settings
from infra.topics import offsets
from infra.waiting import until
from schemas.fact import from_ms, to_ms
from schemas.parity import Comparison, recent
from schemas.progress import Progress
from schemas.publication import PUBLISHED, Publish, write_record
from schemas.quality import DIMENSIONS, PARTS, STARTUP_BUCKETS
from schemas.registry import PLAYBACK
from schemas.tables import BRONZE
from schemas.topic import Topic
from streams.message import Message
from streams.parity.history import remember, telling
from streams.parity.live import positions as applied
from streams.parity.replay import Place
from streams.parity.report import parity
from streams.parity.rows import Amounts, RowKey, histogram_part
from streams.parity.text import as_json, as_text, trend
from streams.parity.window import newest
from tests.streams.bronze_world import query, sink, wait_caught_up
from tests.streams.parity.world import World
from tests.streams.test_reconcile import stream_worker

pytestmark = [pytest.mark.kafka, pytest.mark.long]


def sent_by(viewer: int, now: datetime) -> list[bytes]:
    """A viewing of four minutes: 20 minutes ago, where live is frozen, or (of odd viewers) right now.

    Of some viewers events overtake each other, or one comes twice.
    """
    begin = now - timedelta(minutes=4 if viewer % 2 else 20)
    told = [(0, "play"), (1, "first_frame"), (70, "stall_start"), (73, "stall_end"), (240, "stop")]
    if viewer % 3 == 0:
        told[2], told[3] = told[3], told[2]
    if viewer % 4 == 0:
        told.append((1, "first_frame"))
    return [
        msgspec.json.encode(
            {
                "eventId": f"v{viewer}-{kind}", "eventType": kind, "userId": f"u{viewer}", "sessionId": f"v{viewer}",
                "contentId": f"t{viewer % 3}", "country": "DE", "timestamp": begin + timedelta(seconds=at),
            }
        )
        for at, kind in told
    ]  # fmt: skip


def publish(settings: Settings, rows: Mapping[RowKey, Amounts]) -> None:
    """What batch leaves: gold whose commit names its sessions, sessions whose commit names bronze, the record."""
    bronze = DeltaTable(BRONZE[PLAYBACK.name].path(settings.lake_root)).version()
    root = settings.lake_root
    commit(f"{root}/silver/sessions", pa.table({"session_id": ["-"]}), {BRONZE[PLAYBACK.name].full_name: bronze})
    schema = pa.schema(
        [("rollup", pa.string()), ("minute", pa.timestamp("us", tz="UTC"))]
        + [(name, pa.string()) for name in DIMENSIONS]
        + [(part, pa.int64()) for part in PARTS]
        + [("startup_histogram", pa.list_(pa.int64()))]
    )
    gold = [
        {"rollup": key.rollup, "minute": from_ms(key.minute_ms), **dict(zip(DIMENSIONS, key.dimensions, strict=True))}
        | {part: amounts[part] for part in PARTS}
        | {"startup_histogram": [amounts[histogram_part(bucket)] for bucket in range(STARTUP_BUCKETS)]}
        for key, amounts in rows.items()
    ]
    sessions = DeltaTable(f"{root}/silver/sessions").version()
    commit(f"{root}/gold/quality_minute", pa.Table.from_pylist(gold, schema=schema), {"silver.sessions": sessions})
    versions = {"gold.quality_minute": DeltaTable(f"{root}/gold/quality_minute").version(), "silver.sessions": sessions}
    settings.warehouse.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    record = Publish(publish_id="p1", published_at=now, cutover_minute=now, versions=versions)
    write_record(settings.warehouse / PUBLISHED, record)


def commit(path: str, rows: pa.Table, complete: dict[str, int]) -> None:
    note = Progress(stage_id="s1", complete=complete).to_json()
    properties = CommitProperties(custom_metadata={"userMetadata": note})
    write_deltalake(path, rows, mode="overwrite", commit_properties=properties)


def of_bronze(settings: Settings, raws: Mapping[str, bytes]) -> list[Message]:
    """The records as the broker has them."""
    rows = query(
        BRONZE[PLAYBACK.name].path(settings.lake_root), 'SELECT partition, "offset", received_at, event_id FROM t'
    )
    return [Message(row["partition"], row["offset"], to_ms(row["received_at"]), raws[row["event_id"]]) for row in rows]


def compared(settings: Settings) -> Comparison:
    return parity(settings, newest(60, datetime.now(UTC)), 10)


def wait_applied(settings: Settings) -> None:
    """Return when the stream worker says that it has applied everything."""
    ends = {Place(*place): end for place, (_, end) in offsets(settings, [PLAYBACK.name]).items()}
    until("the worker applies all", lambda: applied(settings).items() >= ends.items(), 60, every_s=0.3)


def test_live_and_batch_meet_and_a_wrong_number_is_found(kafka: Settings, topics: dict[str, Topic]) -> None:
    kafka.home.mkdir(parents=True, exist_ok=True)
    producer = Producer(producer_config(kafka))
    raws: dict[str, bytes] = {}
    now = datetime.now(UTC)
    for viewer in range(24):
        for raw in sent_by(viewer, now):
            raws[json.loads(raw)["eventId"]] = raw
            producer.produce(PLAYBACK.name, key=f"u{viewer}".encode(), value=raw)
    producer.produce(PLAYBACK.name, key=b"u1", value=b"{")
    assert producer.flush(20) == 0
    with stream_worker(kafka), sink(kafka, "parity"):
        wait_caught_up(kafka)
        wait_applied(kafka)
        before = compared(kafka)
        assert before.holds, as_text(before)
        assert before.publish_id is None
        assert before.dead_letters == {"not_json": 1}
        [events] = [part for part in before.parts if part.part == "events"]
        assert events.live + sum(events.causes.values()) == 0
        assert events.live > 0
        assert -events.causes["still open"] == len(raws)

        rows = World(of_bronze(kafka, raws), kafka).batch_rows()
        publish(kafka, rows)
        after = compared(kafka)
        assert after.holds, as_text(after)
        assert {cause for part in after.parts for cause in part.causes} == {"late", "order"}
        assert "every difference is explained" in as_text(after)

        key = next(key for key in rows if rows[key]["events"])
        rows[key]["events"] += 1
        publish(kafka, rows)
        wrong = compared(kafka)
        assert not wrong.holds
        unexplained = [part for row in wrong.differing for part in row.parts if not part.is_explained]
        assert [(part.part, part.batch_unexplained) for part in unexplained] == [("events", 1)]
        assert not json.loads(as_json(wrong))["holds"]

        for report in (before, after, wrong):
            remember(kafka, report)
        past = recent(kafka.lake_root, 2, whole=True)
        assert past == [msgspec.structs.replace(one, differing=telling(one.differing)) for one in (after, wrong)]
        assert recent(kafka.lake_root, 1) == [msgspec.structs.replace(wrong, differing=[])]
        assert "1 unexplained" in trend(past)
    producer.produce(PLAYBACK.name, key=b"u1", value=raws["v1-play"])
    # The sink is gone, the worker goes on.
    with stream_worker(kafka):
        assert producer.flush(20) == 0
        wait_applied(kafka)
        with pytest.raises(ProcessError, match="is the sink running"):
            parity(kafka, newest(60, datetime.now(UTC)), 0)
