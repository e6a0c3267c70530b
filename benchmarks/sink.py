"""How many rows a second one bronze sink brings from Kafka into Delta, exactly once and on the disk.

    python benchmarks/sink.py [--runs 5] [--events 1500000] [--all-topics] [--commit-rows 100000]

A real broker of this run's own, filled once with what `playlake load` sends (of playback only, unless asked for all
topics). Each run is a sink process with a lake of its own, from the first record on. Its rate is
taken from the Delta logs: rows of all commits but the first, over the time from the first commit to the last; so
neither its start nor the measuring counts. Between the runs, the same records by a bare `consume()`: what no sink in
Python could exceed. Prints the median of the runs, and the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.machine import machine
from infra import broker, topics
from infra.isolated import isolated_settings
from infra.kafka import consumer_config
from infra.settings import ROOT, Settings
from schemas.registry import EVENT_TOPICS, PLAYBACK, TOPICS
from schemas.tables import BRONZE
from streams.bronze import CONSUMER, POLL_RECORDS
from streams.intake.load.pool import Pool
from streams.intake.load.senders import KafkaSender

PATIENCE_S = 120


@dataclass
class Run:
    """What one run measured."""

    rows: int
    seconds: float
    cpu_seconds: float
    commits: int

    @property
    def rate(self) -> float:
        return self.rows / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.rate:,.0f} rows/s, {self.cpu_seconds / self.rows * 1e6:.2f} µs of CPU a row, "
            f"{self.rows / max(1, self.commits):,.0f} rows a commit"
        )


def main() -> None:
    arguments = argparse.ArgumentParser()
    for name, default in (("runs", 5), ("events", 1_500_000), ("commit-rows", 100_000)):
        arguments.add_argument(f"--{name}", type=int, default=default)
    arguments.add_argument("--all-topics", action="store_true")
    asked = arguments.parse_args()
    names = list(EVENT_TOPICS) if asked.all_topics else [PLAYBACK.name]
    with tempfile.TemporaryDirectory() as home:
        settings = replace(isolated_settings(Path(home)), sink_commit_rows=asked.commit_rows)
        broker.prepare(settings)
        process = _start(broker.command(settings), settings, "broker")
        try:
            topics.wait_ready(settings)
            topics.ensure_topics(settings, TOPICS)
            size = fill(settings, names, asked.events)
            sinks, bare = [], []
            for number in range(asked.runs):
                bare.append(consume(settings, names, asked.events))
                sinks.append(sink(settings, number, asked.events))
                print(f"run {number + 1}: {sinks[-1]}; bare consume() {bare[-1]:,.0f}/s", flush=True)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    middle = sorted(sinks, key=lambda r: r.rate)[len(sinks) // 2]
    print(f"\n{machine()}\n{asked.events:,} events of {size:.0f} bytes, commits of {asked.commit_rows:,} rows")
    print(f"sink, median of {asked.runs}: {middle}")
    print(f"bare consume(), median of {asked.runs}: {statistics.median(bare):,.0f}/s")


def _start(argv: list[str], settings: Settings, name: str) -> subprocess.Popen[bytes]:
    with (settings.home / f"{name}.log").open("wb") as out:
        return subprocess.Popen(argv, cwd=ROOT, env=os.environ | settings.to_env(), stdout=out, stderr=out)


def fill(settings: Settings, names: list[str], count: int) -> float:
    """Records into the topics; returns their mean size in bytes."""
    pool, sender = Pool("bench", 0, 1, 20_000), KafkaSender(settings)
    sent = size = 0
    outcomes: set[str] = set()
    while sent < count:
        records = [record for record in pool.take(10_000) if record[0] in names][: count - sent]
        sender.send(records)
        sent += len(records)
        size += sum(len(value) for _, _, value in records)
        if sent % sender.epoch < len(records):
            outcomes |= set(sender.settle())
    assert outcomes | set(sender.settle()) == {"acked"}
    return size / sent


def consume(settings: Settings, names: list[str], count: int) -> float:
    """Records a second, without looking at them."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(consumer_config(settings, "bare", {**CONSUMER, "enable.partition.eof": False}))
    consumer.assign([TopicPartition(name, partition, 0) for name, partition in topics.offsets(settings, names)])
    seen = len(consumer.consume(POLL_RECORDS, 5))
    first, began = seen, time.perf_counter()
    while seen < count:
        seen += len(consumer.consume(POLL_RECORDS, 5))
    seconds = time.perf_counter() - began
    consumer.close()
    return (seen - first) / seconds


def sink(settings: Settings, number: int, count: int) -> Run:
    """One sink process, until everything is in its lake."""
    own = replace(settings, home=settings.home / f"run{number}")
    own.home.mkdir()
    program = (
        f"from streams.bronze import run; from infra.settings import Settings; run(Settings.from_env(), 'g{number}')"
    )
    process = _start([sys.executable, "-c", program], own, "sink")
    try:
        found: dict[Path, tuple[int, int]] = {}
        at_first, until = 0.0, time.monotonic() + PATIENCE_S
        while sum(rows for rows, _ in found.values()) < count:
            assert process.poll() is None, (own.home / "sink.log").read_text()[-2000:]
            assert time.monotonic() < until, (
                f"{sum(rows for rows, _ in found.values())} of {count} rows in {PATIENCE_S} s"
            )
            time.sleep(0.02)
            look(own, found)
            at_first = at_first or (cpu(process.pid) if any(rows for rows, _ in found.values()) else 0.0)
        used = cpu(process.pid) - at_first
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    commits = sorted((at, rows) for rows, at in found.values() if rows)
    rows = sum(rows for _, rows in commits[1:])
    return Run(rows, (commits[-1][0] - commits[0][0]) / 1e9, used, len(commits) - 1)


def look(settings: Settings, found: dict[Path, tuple[int, int]]) -> None:
    """Rows and time (ns) of every commit that is new."""
    for table in BRONZE.values():
        for file in Path(table.path(settings.lake_root)).glob("_delta_log/*.json"):
            if file not in found and (text := file.read_text()):
                adds = [entry["add"] for entry in map(json.loads, text.splitlines()) if "add" in entry]
                rows = sum(json.loads(add["stats"])["numRecords"] for add in adds)
                found[file] = rows, file.stat().st_mtime_ns


def cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
