"""Conservation, on real parts: what adds up is said to, and each thing that does not is named."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from infra.kafka import producer_config
from infra.settings import ROOT, Settings
from infra.topics import offsets
from schemas.cmcd.wire import read_report
from schemas.derive import arrow_schema
from schemas.events.cmcd import CmcdEvent
from schemas.progress import Progress
from schemas.registry import CMCD, EVENT_TOPICS, PLAYBACK
from schemas.tables import BRONZE, SILVER_EVENTS
from schemas.topic import Topic
from streams.commands import app
from streams.reconcile import Line, Report, as_text, reconcile
from tests.streams.bronze_world import event, produce, query, sink, stop, ui_event, wait_caught_up

pytestmark = pytest.mark.kafka


@contextlib.contextmanager
def stream_worker(settings: Settings, source: str = "playback") -> Iterator[None]:
    with (settings.home / "stream.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.app", "--source", source, "--worker", "1"],
            env={**os.environ, **settings.to_env()},
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def produce_awkward(settings: Settings) -> int:
    """Broken records, events that come twice, and transactions; returns the number of second copies."""
    from confluent_kafka import Producer

    produce(settings, 3000, broken=0.02)
    again = 40
    producer = Producer(producer_config(settings))
    for number in range(1, 5 * again, 5):
        producer.produce(PLAYBACK.name, key=b"u1", value=event(100_000 + number))
        producer.produce(PLAYBACK.name, key=b"u1", value=event(100_000 + number))
    producer.flush(20)
    transactional = Producer(producer_config(settings, {"transactional.id": "t"}))
    transactional.init_transactions(20)
    for number, commit in enumerate((True, False)):
        transactional.begin_transaction()
        transactional.produce("user.ui.events", key=b"u1", value=ui_event(200_000 + number))
        transactional.flush(10)
        (transactional.commit_transaction if commit else transactional.abort_transaction)(20)
    return again


def produce_reports(settings: Settings) -> int:
    """Reports of a few players: two come twice, one is broken, two wait for another that never comes."""
    from confluent_kafka import Producer

    producer = Producer(producer_config(settings))
    for player in range(20):
        for seq in (0, 1, 2, 2, 4) if player < 2 else range(4):
            line = f'cid="t",e=ps,sid="p{player}",sn={seq},sta={"sprpa"[seq]},ts={time.time_ns() // 1_000_000},v=2'
            report = read_report(line.encode(), CmcdEvent, "", datetime.now(UTC))
            producer.produce(CMCD.name, key=report.key.encode(), value=msgspec.json.encode(report))
    producer.produce(CMCD.name, key=b"p0", value=b"{}")
    assert producer.flush(20) == 0
    return 2


def write_silver(settings: Settings) -> None:
    """Silver as batch leaves it: the first copy of each event, and the bronze version it holds."""
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable, QueryBuilder, write_deltalake

    for name, table in SILVER_EVENTS.items():
        bronze = DeltaTable(BRONZE[name].path(settings.lake_root))
        columns = ", ".join(f'"{c.name}"' for c in table.columns if c.name != "event_date")
        rows = (
            QueryBuilder()
            .register("t", bronze)
            .execute(
                f"SELECT {columns}, CAST(occurred_at AS DATE) AS event_date FROM ("
                'SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY received_at, "partition", "offset") AS n '
                "FROM t) WHERE n = 1"
            )
            .read_all()
        )
        schema = arrow_schema(table.columns)
        first = pa.table(rows).select(schema.names).cast(schema)
        path = table.path(settings.lake_root)
        DeltaTable.create(path, schema, partition_by=["event_date"])
        note = Progress(stage_id="s1", complete={BRONZE[name].full_name: bronze.version()})
        write_deltalake(
            path,
            first,
            mode="append",
            commit_properties=CommitProperties(custom_metadata={"userMetadata": note.to_json()}),
        )


def failing(report: Report) -> dict[tuple[str, str, int], Line]:
    return {(line.equation, line.topic, line.partition): line for line in report.lines if not line.holds}


def test_what_adds_up_and_what_does_not(
    kafka: Settings, topics: Mapping[str, Topic], monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = replace(kafka, stream_flush_s=0.3)
    kafka.home.mkdir(parents=True)
    again = produce_awkward(kafka) + produce_reports(kafka)
    with sink(kafka, "g") as process, stream_worker(kafka), stream_worker(kafka, "cmcd"):
        wait_caught_up(kafka, 60, process)
        before = reconcile(kafka, wait_s=60)
        stop(process)
    assert {equation for equation, _, _ in failing(before)} == {"silver"}, as_text(before)
    assert all("silver is behind" in line.why and "silver has none" in line.why for line in failing(before).values())
    assert before.duplicates == again
    assert sum(before.dead_letters.values()) > 30
    assert {line.equation for line in before.lines} == {"kafka", "silver", "live", "live rejects"}
    assert len(before.lines) == 2 * len(offsets(kafka, EVENT_TOPICS)) + 2 * 2 * 2
    reports = [line for line in before.lines if line.topic == CMCD.name]
    assert sum(line.left for line in reports if line.equation == "live rejects") == 1
    assert any("still open 0" not in line.terms for line in reports if line.equation == "live"), "none is held"
    assert sum("control" in line.terms for line in before.lines) == 1

    write_silver(kafka)
    monkeypatch.setattr(os, "environ", kafka.to_env())
    answer = CliRunner().invoke(app, ["reconcile", "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.output)["holds"] is True

    bronze, silver = (Path(tables[PLAYBACK.name].path(kafka.lake_root)) for tables in (BRONZE, SILVER_EVENTS))
    row = query(bronze, 'SELECT "partition" AS p, "offset" AS o FROM t ORDER BY "offset" DESC LIMIT 1')[0]
    with damaged(bronze, f'DELETE "partition" = {row["p"]} AND "offset" = {row["o"]}'):
        found = failing(reconcile(kafka))
        assert f"in Kafka and not in the lake: {row['o']}" in found["kafka", PLAYBACK.name, row["p"]].why
    with damaged(bronze, f'REPEAT "partition" = {row["p"]} AND "offset" = {row["o"]}'):
        assert "1 records are there twice" in failing(reconcile(kafka))["kafka", PLAYBACK.name, row["p"]].why
    with damaged(silver, f'DELETE "partition" = {row["p"]} AND "offset" < 3'):
        assert failing(reconcile(kafka)).keys() == {("silver", PLAYBACK.name, row["p"])}
    produce(kafka, 10, broken=0, first=300_000)
    late = reconcile(kafka)
    assert any("the sink is behind" in line.why for line in failing(late).values())
    assert CliRunner().invoke(app, ["reconcile"]).exit_code == 1


@contextlib.contextmanager
def damaged(table: Path, how: str) -> Iterator[None]:
    """The table with one thing wrong; whole again afterwards."""
    import pyarrow as pa
    from deltalake import DeltaTable, QueryBuilder, write_deltalake

    whole = table.with_name("whole")
    shutil.copytree(table, whole)
    what, _, where = how.partition(" ")
    handle = DeltaTable(table)
    if what == "DELETE":
        assert handle.delete(where)["num_deleted_rows"]
    else:
        rows = QueryBuilder().register("t", handle).execute(f"SELECT * FROM t WHERE {where}").read_all()
        write_deltalake(handle, pa.table(rows).replace_schema_metadata(), mode="append")
    try:
        yield
    finally:
        shutil.rmtree(table)
        whole.rename(table)
