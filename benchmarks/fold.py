"""Decode + session fold + minute rollup with state that survives: our worker and its peers on the same records."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import httpx
import psutil

from benchmarks import recording
from benchmarks.peers.memory import peak_mb
from benchmarks.recording import Recording, Totals
from benchmarks.result import Run, Section, interleave, middle, table
from benchmarks.stage import Process, Stage, stage
from infra.kafka import consumer_config
from infra.setup.jars import BENCHMARK, JARS
from infra.setup.python import BENCH
from infra.waiting import until
from schemas.registry import EVENT_TOPICS, LIVE_QUALITY, PLAYBACK

PEERS = Path(__file__).with_name("peers")
LIMIT_S = 90.0
PARTS = ("events", "stalls", "stall_ms", "playing_ms", "bits")
OURS = {"stall_ms": "stall_ms", "bits": "bits_played"}


@dataclass(frozen=True)
class Peer:
    """A system that a user could pick instead."""

    file: str
    events: int
    """It gets so many of the recording's first events, so that a run takes seconds; the rate is what counts."""
    parallelism: int = 1
    guarantee: str = ""
    options: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS
    """What it publishes."""
    topics: tuple[str, ...] = ()
    """Topics that it wants to find; their names end so."""


EVENTS = 3_000_000
IN_STATE, AT_LEAST = "exactly once in state, rows at least once", "at least once"
COUNTS = ("--sums-only",)
RAW = "raw `consume()`"
WORKER, WORKERS = "playlake, 1 worker", "playlake, 2 workers"
PEER: dict[str, Peer] = {
    RAW: Peer("raw_consume", EVENTS, guarantee="none: the limit"),
    "Flink SQL, parallelism 1": Peer("flink_sql", 800_000, 1, IN_STATE),
    "Flink SQL, parallelism 2": Peer("flink_sql", 800_000, 2, IN_STATE),
    "Flink SQL, counts only, parallelism 1": Peer("flink_sql", 1_600_000, 1, IN_STATE, COUNTS, ("events", "stalls")),
    "Flink SQL, counts only, parallelism 2": Peer("flink_sql", 1_600_000, 2, IN_STATE, COUNTS, ("events", "stalls")),
    "Bytewax": Peer("bytewax_flow", 400_000, 1, IN_STATE),
    "Pathway": Peer("pathway_flow", 600_000, 1, AT_LEAST),
    "Quix Streams": Peer("quix_flow", 60_000, 1, AT_LEAST),
    "Faust as it comes": Peer("faust_table", 20_000, 1, AT_LEAST, topics=("-sessions-changelog", "-rows-changelog")),
}
GUARANTEE = "exactly once in state, rows absolute"


def measure(runs: int, scale: float) -> Section:
    """All contestants, interleaved. `scale` makes every input smaller, for a trial."""
    section = Section("fold")
    peers = {name: _scaled(peer, scale) for name, peer in PEER.items()}
    events = int(EVENTS * scale)
    made = recording.record(events)
    # No minute of the recording is frozen: the peers know nothing like it.
    with stage(live_freeze_after_s=86_400) as on:
        sizes = {_topic(peer.events): peer.events for peer in peers.values() if peer.events != events}
        on.make(*EVENT_TOPICS.values(), *(recording.layout(name) for name in sizes))
        recording.write(on.settings, made, {PLAYBACK.name: events} | sizes)
        contestants: dict[str, Callable[[], Run]] = {
            WORKER: partial(run_worker, on, made, events, 1),
            WORKERS: partial(run_worker, on, made, events, 2),
        }
        for name, peer in peers.items():
            topic = PLAYBACK.name if peer.events == events else _topic(peer.events)
            contestants[name] = partial(run_peer, on, made, peer, topic)
        results = interleave(section, contestants, runs, show)
    for name in contestants.keys() - results.keys():
        section.add(f"{name} did not come through: see the warnings.")
    section.add(_table(results, peers, events))
    section.add(
        f"{events:,} events of {_bytes(made):.0f} bytes, {made.sessions(events):,} sessions, 4 partitions; medians of "
        f"{runs} runs. The totals (events, stalls, stall ms, playing ms, bits) that each published were equal to the "
        "recording's."
    )
    return section


def show(run: Run) -> str:
    """One line."""
    return f"{run.rate:,.0f} events/s, {run.cpu_us:.1f} µs of CPU an event, {run.rss_mb:.0f} MB"


def run_peer(on: Stage, made: Recording, peer: Peer, topic: str) -> Run:
    """Start a peer's flow, wait for its end, compare what it published. Raises RuntimeError, AssertionError."""
    out = on.fresh(peer.file.replace("_", "-"))
    home = on.settings.home / out
    home.mkdir()
    on.make(recording.layout(out, 1), *(recording.layout(out + ending) for ending in peer.topics))
    python = Path(sys.executable) if peer.file == "faust_table" else BENCH / "bin" / "python"
    jar = next((JARS / BENCHMARK[0]).glob("flink-sql-connector-kafka-*.jar"))
    process = on.start(
        out,
        [python, PEERS / f"{peer.file}.py", "--bootstrap", on.settings.bootstrap, "--topic", topic,
         "--events", str(peer.events), "--out", out, "--home", home, "--parallelism", str(peer.parallelism),
         "--jar", jar, *peer.options],
    )  # fmt: skip
    try:
        until(f"the end of {peer.file}", lambda: process.process.poll() is not None, LIMIT_S)
    finally:
        process.kill()
    lines = [line for line in process.log.read_text(errors="replace").splitlines() if line.startswith('{"events"')]
    if not lines:
        msg = f"{peer.file} ended with {process.process.returncode} and no result:\n{process.tail()}"
        raise RuntimeError(msg)
    if peer.file != "raw_consume":
        got, expected = published(on, out), made.totals(peer.events)
        _check(peer.file, *({part: sums[part] for part in peer.parts} for sums in (got, expected)))
    on.drop(*(name for name in _topics(on) if name.startswith(out) or out in name))
    return Run(**json.loads(lines[-1]))


def run_worker(on: Stage, made: Recording, events: int, workers: int) -> Run:
    """`streams.app` as it is shipped, watched through its metrics: from the first record applied to the last."""
    on.forget_stream()
    started = [on.python(f"worker-{number}", "streams.app", "--worker", str(number)) for number in range(workers)]
    try:
        return _watch(on, started, made, events)
    finally:
        for process in started:
            process.stop()


def _watch(on: Stage, started: list[Process], made: Recording, events: int) -> Run:
    ports = [on.settings.stream_metrics_port + 10 * number for number in range(len(started))]
    pages = [f"http://{on.settings.host}:{port}/metrics" for port in ports]
    known = [psutil.Process(process.pid) for process in started]
    end, begin = time.monotonic() + LIMIT_S, None
    with httpx.Client(timeout=10) as client:
        while True:
            now, applied = time.perf_counter(), sum(_applied(client, page) for page in pages)
            if begin is None and applied:
                begin = (now, _cpu(known), applied)
            if begin and applied >= events:
                break
            for process in started:
                process.check()
            if time.monotonic() > end:
                msg = f"expected the worker to apply {events} events in {LIMIT_S:.0f} s, it applied {applied}"
                raise TimeoutError(msg)
            time.sleep(0.01)
    run = Run(int(applied - begin[2]), now - begin[0], _cpu(known) - begin[1], sum(peak_mb(one.pid) for one in known))
    expected = made.totals(events)
    until("the last live rows", lambda: ours(on)["events"] >= events, 30, every_s=0.5)
    _check("playlake", ours(on), expected)
    return run


def ours(on: Stage) -> Totals:
    """What our live topic says: the rows by country and device, added up."""
    sums = dict.fromkeys(PARTS, 0)
    for value in _last_values(on, LIVE_QUALITY.name):
        if value.get("rollup") == "country_device":
            for part in PARTS:
                sums[part] += value[OURS.get(part, part)]
    return sums


def published(on: Stage, topic: str) -> Totals:
    """What a peer's topic says: the last value of each row, added up."""
    sums = dict.fromkeys(PARTS, 0)
    for value in _last_values(on, topic):
        for part in PARTS:
            sums[part] += value[part]
    return sums


def _last_values(on: Stage, topic: str) -> list[dict[str, Any]]:
    """The last value of each key; of one that has windows, of each window."""
    consumer = ck.Consumer(consumer_config(on.settings, on.fresh("totals"), {"enable.partition.eof": True}))
    consumer.assign([ck.TopicPartition(topic, 0, 0)])
    rows: dict[tuple[bytes | str | None, int | None], dict[str, Any]] = {}
    try:
        while True:
            for message in consumer.consume(1000, 10):
                if message.error():
                    return list(rows.values())
                if raw := message.value():
                    value = json.loads(raw)
                    rows[message.key(), value.get("start")] = value
    finally:
        consumer.close()


def _check(name: str, got: Totals, expected: Totals) -> None:
    assert got == expected, f"{name} published {got}, the recording has {expected}"


def _applied(client: httpx.Client, page: str) -> float:
    try:
        text = client.get(page).text
    except httpx.HTTPError:
        return 0.0
    return float(text.partition("\nplaylake_stream_records_applied_total ")[2].partition("\n")[0] or 0)


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _table(results: dict[str, list[Run]], peers: dict[str, Peer], events: int) -> str:
    rates = {name: middle([run.rate for run in runs]) for name, runs in results.items()}
    rows = [
        [
            name,
            f"{rates[name]:,.0f}",
            f"{rates[WORKER] / rates[name]:.2f} ×" if WORKER in rates else "",
            f"{middle([run.cpu_us for run in runs]):.2f}",
            f"{middle([run.rss_mb for run in runs]):.0f}",
            f"{peers[name].events if name in peers else events:,}",
            peers[name].guarantee if name in peers else GUARANTEE,
        ]
        for name, runs in sorted(results.items(), key=lambda item: -rates[item[0]])
    ]
    head = ["contestant", "events/s", "1 worker is", "CPU µs/event", "peak MB", "events read", "after a crash"]
    return table(head, rows)


def _scaled(peer: Peer, scale: float) -> Peer:
    return replace(peer, events=max(1000, int(peer.events * scale)))


def _topic(events: int) -> str:
    return f"recorded.{events}"


def _topics(on: Stage) -> list[str]:
    from infra.topics import admin

    return list(admin(on.settings).list_topics(timeout=30).topics)


def _bytes(made: Recording) -> float:
    values = [len(value) for _, value in made.records(min(1000, len(made.at_ms)))]
    return sum(values) / len(values)
