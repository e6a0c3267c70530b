"""A run of the simulation: paced as asked, and in Kafka exactly as counted, whichever way it went."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.settings import ROOT, Settings
from schemas.registry import EVENT_TOPICS
from schemas.topic import Topic
from streams.intake.simulate import arriving, run
from streams.intake.simulation.audience import Audience
from streams.intake.simulation.faults import Faults
from streams.intake.targets import ToCollector, ToFile, ToKafka
from tests.streams.intake.collector_world import LETTERS, PLAYBACK, UI, RunningCollector, as_sent, letters, read_all

END_MS = 1_763_726_400_000
AUDIENCE = Audience(3, 60, END_MS - 1_800_000, END_MS)


class Clock:
    """Time that passes only in sleep."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.sleeps = 0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        self.sleeps += 1


class Remembering(ToFile):
    """A file that also remembers when each record came."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(path)
        self.clock, self.at = clock, list[float]()

    def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self.at.append(self.clock())
        super().send(topic, key, value)


def test_the_rate_bounds_and_the_file_has_what_was_counted(tmp_path: Path) -> None:
    clock = Clock(1_000.0)
    target = Remembering(tmp_path / "events.ndjson", clock)
    records = list(arriving(AUDIENCE, faults=Faults(broken=0.1, duplicates=0.1), events=2_000, catalogue=False))
    done = run(records, target, rate=500, clock=clock, sleep=clock.sleep)
    assert done.seconds == pytest.approx(1_900 / 500)
    lines = (tmp_path / "events.ndjson").read_bytes().split(b"\n")[:-1]
    assert lines == [record.value or b"null" for record in records]
    assert (done.sent.total(), done.acknowledged) == (2_000, done.sent)
    assert done.broken.total() == sum(record.kind == "broken" for record in records) > 0
    assert done.duplicates.total() == sum(record.kind == "duplicate" for record in records) > 0


def test_live_records_leave_when_it_is_time_never_before(tmp_path: Path) -> None:
    clock = Clock((END_MS - 1_800_000) / 1000)
    target = Remembering(tmp_path / "events.ndjson", clock)
    records = list(arriving(AUDIENCE, events=1_000, catalogue=False))
    run(records, target, live=True, clock=clock, sleep=clock.sleep)
    for left, record in zip(target.at, records, strict=True):
        assert -1e-6 < left - record.at_ms / 1000 <= 0.051


@pytest.mark.kafka
def test_kafka_holds_what_the_command_counted(kafka: Settings, topics: dict[str, Topic], tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    options = "--viewers 60 --minutes 30 --seed 3 --broken 0.05 --duplicates 0.05 --events 8000 --end 2026-01-15T20:00"
    command = [sys.executable, "-m", "playlake", "simulate", *options.split(), "--summary", str(summary)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | kafka.to_env(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(summary.read_text())["topics"]
    assert sum(topic["sent"] for topic in counts.values()) == 8_000
    assert counts.keys() >= {PLAYBACK, UI, "catalog.titles", "ads.events", "experiment.exposures"}
    for name in counts:
        records = read_all(kafka, name)
        assert len(records) == counts[name]["sent"] == counts[name]["acknowledged"]
        broken = sum(not _is_valid(topics[name], value) for *_, value in records)
        assert broken == counts[name]["broken"]
        copies = Counter(value for *_, value in records if _is_valid(topics[name], value))
        assert sum(copies.values()) - len(copies) == counts[name]["duplicates"]
        assert all(key for _, _, key, _ in records)
        assert counts[name]["broken"] > 0 < counts[name]["duplicates"] or counts[name]["sent"] < 200


@pytest.mark.kafka
def test_the_same_run_through_the_collector(collector: RunningCollector, kafka: Settings) -> None:
    records = list(arriving(AUDIENCE, faults=Faults(broken=0.05, duplicates=0.05), events=5_000))
    done = run(records, ToCollector(kafka))
    assert (done.acknowledged + done.rejected) == done.sent
    assert done.rejected == done.broken
    sent = {(record.topic, record.value) for record in records if record.kind != "broken"}
    there = [(topic, as_sent(value)) for topic in EVENT_TOPICS for *_, value in read_all(kafka, topic)]
    assert Counter(there) == Counter(sent), "the collector knows a repetition by its eventId"
    assert len(letters(kafka)) == done.broken.total()


@pytest.mark.kafka
def test_a_collector_that_is_killed_loses_nothing_that_was_acknowledged(
    kafka: Settings, topics: dict[str, Topic]
) -> None:
    """The simulator sends again what it heard nothing about; the events' ids tell a repetition."""
    first = RunningCollector(kafka)
    first.wait_listening()
    records = list(arriving(AUDIENCE, events=4_000))
    target = ToCollector(kafka)
    started: list[RunningCollector] = []

    def killing() -> Iterator[object]:
        for number, record in enumerate(records):
            if number == 1_700:
                first.process.kill()
                first.process.wait()
                started.append(RunningCollector(kafka))
            yield record

    done = run(killing(), target)  # type: ignore[arg-type]
    try:
        assert done.acknowledged == done.sent
        there = {as_sent(value) for topic in EVENT_TOPICS for *_, value in read_all(kafka, topic)}
        assert there == {record.value for record in records}
        assert read_all(kafka, LETTERS) == []
    finally:
        started[0].stop()


@pytest.mark.kafka
def test_to_kafka_waits_for_the_last_acknowledgement(kafka: Settings, topics: dict[str, Topic]) -> None:
    target = ToKafka(kafka)
    for number in range(1_000):
        target.send(UI, b"k", b"%d" % number)
    target.finish()
    assert target.acknowledged == Counter({UI: 1_000})


def _is_valid(topic: Topic, value: bytes | None) -> bool:
    from infra.errors import ContractError

    try:
        topic.decode(value)  # type: ignore[attr-defined]
    except ContractError:
        return False
    return True
