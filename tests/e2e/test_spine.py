"""From a viewer's event to a live number, a SQL answer and a quality report, on all real parts, killed on the way."""

from __future__ import annotations

import json
import random
import subprocess
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer

from infra.processes import PLAYLAKE
from infra.settings import ROOT
from tests.e2e.conftest import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
LUMOS = ROOT.parent / "shared" / "data" / "lumos_abr_chunks.csv.gz"
KILLED = ("collector", "stream-0", "sink", "server", "broker", "spark", "airflow-scheduler", "airflow-dag-processor")


def test_everything_is_up_and_on_loopback(platform: Platform) -> None:
    assert {part["state"] for part in platform.parts().values()} <= {"healthy", "done"}
    said = platform.playlake("doctor")
    assert "127.0.0.1" in said and "0.0.0.0" not in said


def test_seed_event_is_live_within_two_seconds(platform: Platform) -> None:
    """Ten lines of a plain producer; the event as the contract's smallest."""
    event = {
        "userId": "user123", "contentId": "title456", "eventType": "play", "deviceType": "smart_tv", "quality": "4K",
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    producer = Producer({"bootstrap.servers": platform.settings.bootstrap, "partitioner": "murmur2_random"})
    url = f"http://127.0.0.1:{platform.settings.server_port}/v1/sql"
    question = (
        "SELECT sum(plays)::BIGINT AS n FROM live.quality_minute WHERE rollup = 'title' AND content_id = 'title456'"
    )
    body = json.dumps({"sql": question}).encode()
    producer.produce("user.playback.events", json.dumps(event).encode(), b"user123")
    assert producer.flush(10) == 0
    began = time.monotonic()
    while True:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            if json.load(answer)["rows"] == [[1]]:
                break
        assert time.monotonic() - began < 2, "the event is not in the live numbers after 2 s"
        time.sleep(0.05)


def test_all_adds_up_after_every_process_was_killed(platform: Platform, tmp_path: Path) -> None:
    """Simulated events, 1 % of them broken, 1 % sent twice, each process killed once; then batch, then reconcile."""
    run_with_kills(platform, tmp_path, events=30_000, rate=1_000)


def run_with_kills(platform: Platform, folder: Path, events: int, rate: int, chain_s: float = 300) -> None:
    summary = folder / "summary.json"
    options = {"--viewers": events // 40, "--minutes": 60, "--events": events, "--rate": rate}
    options |= {"--broken": 0.01, "--duplicates": 0.01, "--summary": summary}
    argv = [PLAYLAKE, "simulate", *(str(word) for option in options.items() for word in option)]
    sending = subprocess.Popen(argv, env={"PATH": "/usr/bin:/bin", **platform.settings.to_env()}, cwd=ROOT)
    try:
        dice = random.Random(events)
        for part in dice.sample(KILLED, len(KILLED)):
            time.sleep(dice.uniform(1, 2))
            platform.kill(part)
        assert sending.wait(600) == 0
    finally:
        sending.kill()
    platform.wait_up()
    if LUMOS.exists():
        platform.playlake("replay", "lumos", str(LUMOS))
    platform.playlake("reconcile", "--wait", "90", expect=(1,))  # silver has not run: it must say so
    platform.run_chain(chain_s)
    report = json.loads(platform.playlake("reconcile", "--wait", "90", "--json"))
    (row,) = platform.sql("""
        SELECT (SELECT sum(events) FROM live.quality_second) AS by_second,
               (SELECT sum(events) FROM live.now) AS in_all""")
    assert row["by_second"] == row["in_all"] > 0
    sent = json.loads(summary.read_text())["topics"]
    assert sum(topic["acknowledged"] for topic in sent.values()) == events
    broken = sum(topic["broken"] for topic in sent.values())
    duplicates = sum(topic["duplicates"] for topic in sent.values())
    print(platform.playlake("reconcile"))
    print({"sent": events, "broken": broken, "duplicates": duplicates, "report": report.get("totals")})
    letters = platform.playlake("deadletters", "list", "--limit", "100000").splitlines()
    assert len(letters) == broken
    assert duplicates > 0


def test_recorded_sessions_come_out_as_published(platform: Platform) -> None:
    if not LUMOS.exists():
        pytest.skip(f"the recorded sessions are not there: {LUMOS.name} beside the repository")
    rows = platform.sql("""
        SELECT extra->>'cap' AS cap, connection_type, extra->>'signal' AS signal, count(*) AS n
        FROM silver.sessions WHERE session_id LIKE '%@%' AND (extra->>'cap') IS NOT NULL GROUP BY ALL""")
    by = {name: sorted(sum(r["n"] for r in rows if r[name] == v) for v in {r[name] for r in rows}) for name in rows[0]}
    assert sum(row["n"] for row in rows) == 392
    assert (by["cap"], by["connection_type"], by["signal"]) == ([194, 198], [155, 237], [114, 137, 141])


def test_seed_event_is_in_silver_once(platform: Platform) -> None:
    (row,) = platform.sql(
        "SELECT count(*) AS n, any_value(end_reason) AS ended FROM silver.sessions WHERE content_id = 'title456'"
    )
    assert row["n"] == 1


def test_one_answer_over_live_and_gold(platform: Platform) -> None:
    (row,) = platform.sql("""
        SELECT (SELECT sum(plays) FROM metrics.quality_minute WHERE rollup = 'total')::BIGINT AS both,
               (SELECT sum(plays) FROM gold.quality_minute WHERE rollup = 'total')::BIGINT AS gold,
               (SELECT count(*) FROM silver.sessions WHERE NOT is_derived_id)::BIGINT AS sessions""")
    assert row["both"] > 0 and row["gold"] > 0 and row["sessions"] > 100


def test_quality_report_is_served(platform: Platform) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{platform.settings.server_port}/quality/") as page:
        assert "sessions" in page.read().decode()


def test_a_second_up_says_so_and_down_leaves_nothing(platform: Platform) -> None:
    assert "already up" in platform.playlake("up", "--detach")


@pytest.mark.chaos
def test_two_hundred_thousand_events_and_every_process_killed(platform: Platform, tmp_path: Path) -> None:
    """The same at size; `make chaos`."""
    run_with_kills(platform, tmp_path, events=200_000, rate=4_000, chain_s=600)
