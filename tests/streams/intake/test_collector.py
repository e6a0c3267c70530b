"""The collector against a real broker: what it answers is what Kafka has."""

from __future__ import annotations

import base64
import gzip
import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import zstandard

from infra import topics as kafka_topics
from infra.settings import Settings
from schemas.registry import TOPICS
from tests.streams.intake.collector_world import (
    BAD_DEVICE,
    CLICK,
    PLAYBACK,
    SEED,
    UI,
    RunningCollector,
    as_sent,
    letters,
    read_all,
)

pytestmark = pytest.mark.kafka


def test_valid_events_in_any_form_are_in_kafka_as_they_were_sent_where_the_answer_says(
    collector: RunningCollector, kafka: Settings
) -> None:
    packers = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}
    expected = {}
    for form in ("array", "ndjson", *packers):
        events = [event.replace(b"user123", form.encode()) for event in (SEED, CLICK, SEED.replace(b"play", b"stop"))]
        body = b"[" + b" ,\n".join(events) + b"]" if form == "array" else b"\n".join(events)
        if pack := packers.get(form):
            answer = collector.post(pack(body), **{"content-encoding": form})
        else:
            answer = collector.post(body)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert (said["accepted"], said["duplicate"], said["rejected"], said["unknown"]) == (3, 0, 0, 0)
        assert [v["topic"] for v in said["events"]] == [PLAYBACK, UI, PLAYBACK]
        expected |= {
            (v["topic"], v["partition"], v["offset"]): (form.encode(), events[v["index"]]) for v in said["events"]
        }
    there = {(topic, p, o): (k, as_sent(v)) for topic in (PLAYBACK, UI) for p, o, k, v in read_all(kafka, topic)}
    assert there == expected


def test_the_smallest_event_alone_is_enough(collector: RunningCollector, kafka: Settings) -> None:
    assert collector.post(SEED).json()["accepted"] == 1
    ((*_, value),) = read_all(kafka, PLAYBACK)
    assert as_sent(value) == SEED
    assert json.loads(value or b"").keys() - json.loads(SEED).keys() <= {"eventId", "receivedAt", "client"}


def test_a_partly_bad_batch_gets_a_verdict_per_event_and_loses_nothing(
    collector: RunningCollector, kafka: Settings
) -> None:
    huge = SEED[:-1] + b',"note":"' + b"x" * kafka.collector_max_event_bytes + b'"}'
    lines = [SEED, BAD_DEVICE, b'{"eventType":"teleport"}', b'{"half":', CLICK, b"\xff\xfe", SEED[:-1] + b"]", huge]
    answer = collector.post(b"\n".join(lines))
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["accepted"], said["rejected"], said["unknown"]) == (2, 6, 0)
    verdicts = [(v["status"], v.get("reason"), v.get("field")) for v in said["events"]]
    assert verdicts == [
        ("accepted", None, None),
        ("rejected", "invalid_field", "deviceType"),
        ("rejected", "unknown_event_type", "eventType"),
        ("rejected", "not_json", None),
        ("accepted", None, None),
        ("rejected", "not_json", None),
        ("rejected", "not_json", None),
        ("rejected", "too_large", None),
    ]
    assert all(v["detail"] for v in said["events"] if v["status"] == "rejected")
    kept = letters(kafka)
    assert {letter["source"] for letter in kept} == {"collector"}
    assert [base64.b64decode(letter["value"]) for letter in kept[:-1]] == [
        line for line, (status, *_) in zip(lines[:-1], verdicts, strict=False) if status == "rejected"
    ]
    assert (kept[0]["reason"], kept[0]["field"]) == ("invalid_field", "deviceType")
    assert huge.startswith(base64.b64decode(kept[-1]["value"])) and kept[-1]["size"] == len(huge)
    minimal = collector.post(b"\n".join(lines), prefer="return=minimal").json()
    assert (minimal["accepted"], minimal["duplicate"]) == (0, 2), "what was acknowledged before is known"
    assert [v["index"] for v in minimal["events"]] == [1, 2, 3, 5, 6, 7]


def test_only_a_body_without_anything_to_read_is_a_client_error(collector: RunningCollector, kafka: Settings) -> None:
    unreadable = [b"", b"userId=1", b"[" + SEED]
    for body, status, reason in (
        (b"", 400, "not_json"),
        (b"userId=1", 400, "not_json"),
        (b"[" + SEED, 400, "not_json"),
        (b" " * (kafka.collector_max_body_bytes + 1), 413, "too_large"),
        (b"[" + b"0," * kafka.collector_max_events + b"0]", 413, "too_many"),
        (gzip.compress(b" " * (kafka.collector_max_body_bytes + 1)), 413, "too_large"),
    ):
        encoding = {"content-encoding": "gzip"} if body.startswith(b"\x1f\x8b") else {}
        answer = collector.post(body, **encoding)
        assert (answer.status_code, answer.json()["error"]) == (status, reason)
    assert collector.post(SEED, **{"content-encoding": "br"}).status_code == 415
    assert collector.post(SEED, "?topic=user.playback.event").status_code == 404
    assert collector.post(b"[3]").json()["events"][0]["reason"] == "invalid_field"
    assert collector.post(CLICK, f"?topic={PLAYBACK}").json()["events"][0]["reason"] == "unknown_event_type"
    nothing = {"accepted": 0, "duplicate": 0, "rejected": 0, "unknown": 0, "events": []}
    assert collector.post(b"[]").json() == nothing
    assert read_all(kafka, PLAYBACK) == []
    kept = [base64.b64decode(letter.get("value", "")) for letter in letters(kafka)]
    assert kept == [*unreadable, b"3", CLICK], "what can't be read is kept, what is refused is not"


def test_a_web_page_may_send_and_the_metrics_count(collector: RunningCollector) -> None:
    preflight = httpx.options(f"{collector.url}/v1/events", headers={"origin": "https://tv.example"})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-methods"] == "GET, POST"
    answer = collector.post(b"\n".join([SEED, BAD_DEVICE]), **{"content-type": "text/plain;charset=UTF-8"})
    assert answer.headers["access-control-allow-origin"] == "*"
    page = httpx.get(f"{collector.url}/metrics").text
    assert 'playlake_collector_events_total{status="accepted",topic="user.playback.events"} 1.0' in page
    assert 'playlake_collector_events_total{status="rejected",topic=""} 1.0' in page


def test_many_clients_at_once_are_all_in_kafka(collector: RunningCollector, kafka: Settings) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def client(number: int) -> int:
        users = [SEED.replace(b"user123", b"user%d-%d" % (number, i)) for i in range(200)]
        bodies = [b"\n".join(users).replace(b"title456", b"title%d" % i) for i in range(5)]
        with httpx.Client(timeout=30) as session:
            return sum(session.post(f"{collector.url}/v1/events", content=body).json()["accepted"] for body in bodies)

    with ThreadPoolExecutor(8) as pool:
        accepted = sum(pool.map(client, range(8)))
    records = read_all(kafka, PLAYBACK)
    assert accepted == len(records) == 8 * 5 * 200
    partition_of: dict[bytes | None, set[int]] = {}
    for partition, _, key, _ in records:
        partition_of.setdefault(key, set()).add(partition)
    assert {len(partitions) for partitions in partition_of.values()} == {1}


def test_sigterm_answers_what_is_in_flight_and_exits_0(collector: RunningCollector, kafka: Settings) -> None:
    lines = b"\n".join(SEED.replace(b"user123", b"user%d" % i) for i in range(5000))
    with (
        httpx.Client(timeout=30) as session,
        session.stream("POST", f"{collector.url}/v1/events", content=lines) as answer,
    ):
        began = time.monotonic()
        assert collector.stop() == 0
        assert time.monotonic() - began < 9
        answer.read()
    assert answer.json()["accepted"] == len(read_all(kafka, PLAYBACK)) == 5000
    assert '"unacknowledged": 0' in collector.log.read_text()


@pytest.mark.long
def test_what_was_promised_while_the_broker_was_dead_is_in_kafka_though_the_collector_was_killed_too(
    tmp_path: Path,
) -> None:
    from tests.conftest import RunningBroker, isolated_settings

    settings = replace(isolated_settings(tmp_path / "own"), collector_spool_bytes=100_000)
    broker = RunningBroker(settings)
    collector = RunningCollector(settings)
    try:
        collector.wait_listening()
        assert httpx.get(f"{collector.url}/healthz").status_code == 503, "its topics are not there"
        kafka_topics.ensure_topics(settings, TOPICS)
        assert httpx.get(f"{collector.url}/healthz").status_code == 200
        events = [SEED[:-1] + b',"eventId":"e%d"}' % i for i in range(75)]
        assert collector.post(b"\n".join(events[:25])).status_code == 200

        broker.stop(signal.SIGKILL)
        said = collector.post(b"\n".join([*events[25:50], BAD_DEVICE])).json()
        assert (said["accepted"], said["rejected"], said["unknown"]) == (25, 1, 0)
        assert not any("offset" in verdict for verdict in said["events"]), "they are in the spool"

        collector.process.kill()
        collector.process.wait()
        collector = RunningCollector(settings)
        collector.wait_listening()
        assert collector.post(b"\n".join(events[50:])).json()["accepted"] == 25
        assert collector.stop() == 0, "SIGTERM: what was promised stays in the spool"
        collector = RunningCollector(settings)
        collector.wait_listening()
        fillers = [b"\n".join(SEED[:-1] + b',"eventId":"f%d-%d"}' % (n, i) for i in range(100)) for n in range(20)]
        answers = [collector.post(filler) for filler in fillers]
        assert {answer.status_code for answer in answers} == {200, 503}
        assert answers[-1].status_code == 503
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert answers[-1].json()["unknown"] == 100
        assert all("spool is full" in verdict["detail"] for verdict in answers[-1].json()["events"])

        broker = RunningBroker(settings)
        wanted = 75 + sum(answer.json()["accepted"] for answer in answers)
        collector.wait_drained()
        records = [value or b"" for *_, value in read_all(settings, PLAYBACK)]
        assert len(records) == wanted
        assert [as_sent(value) for value in records if b'"eventId":"e' in value] == events
        assert [letter["field"] for letter in letters(settings)] == ["deviceType"]
        assert collector.post(SEED).json()["events"][0]["offset"] >= 0, "straight to Kafka again"
        assert collector.stop() == 0
    finally:
        collector.stop()
        broker.stop()
