"""How old an event is when the live topic shows it, and when a SQL query does, at several rates.

The clock of an event starts before it is handed to the producer. It is on the live topic when a row of its partition
arrives whose `position` is behind it; it is in SQL when an answer of the server's `/v1/sql` shows such a position. Both
are what a reader outside sees, the last by polling. Producer, worker, server, readers and broker share the machine.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import confluent_kafka as ck
import httpx

from benchmarks import recording
from benchmarks.recording import Recording
from benchmarks.result import Section, interleave, middle, table
from benchmarks.stage import Stage, stage
from infra.kafka import consumer_config, producer_config
from infra.waiting import until
from schemas.registry import LIVE_QUALITY, PLAYBACK, TOPICS

RATES = (1_000, 20_000, 100_000)
SECONDS = 8.0
TICK_S = 0.005
"""So often the producer sends what is due."""
PROBES_A_SECOND = 200
PATIENCE_S = 40.0
POLL_SQL_S = 0.05
QUANTILES = (0.5, 0.99, 0.999)
SQL = f"SELECT partition, position FROM live.main.now WHERE topic = '{PLAYBACK.name}'"

Probe = tuple[int, int, float]
"""Partition, offset, when it was sent."""
Seen = list[tuple[float, int, int]]
"""When, partition, position: in the order of time."""


class Watch:
    """Notes in a thread how far each reader sees every partition."""

    def __init__(self, on: Stage) -> None:
        self._on = on
        self._ending = threading.Event()
        self.live: Seen = []
        self.sql: Seen = []
        self.problem = ""
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._watch_live, self._watch_sql)]

    @contextmanager
    def running(self) -> Iterator[Watch]:
        """Watch for the length of a block."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._ending.set()
            for thread in self._threads:
                thread.join()

    def _watch_live(self) -> None:
        consumer = ck.Consumer(consumer_config(self._on.settings, "watch", {"fetch.wait.max.ms": 10}))
        consumer.assign([ck.TopicPartition(LIVE_QUALITY.name, 0, ck.OFFSET_END)])
        highest: dict[int, int] = {}
        while not self._ending.is_set():
            for message in consumer.consume(500, 0.01):
                value = None if message.error() else message.value()
                if not value:
                    continue
                row = json.loads(value)
                if row["topic"] == PLAYBACK.name and row["position"] > highest.get(row["partition"], -1):
                    highest[row["partition"]] = row["position"]
                    self.live.append((time.perf_counter(), row["partition"], row["position"]))
        consumer.close()

    def _watch_sql(self) -> None:
        settings = self._on.settings
        with httpx.Client(base_url=f"http://{settings.host}:{settings.server_port}", timeout=30) as client:
            while not self._ending.wait(POLL_SQL_S):
                try:
                    answer = client.post("/v1/sql", json={"sql": SQL})
                except httpx.HTTPError as error:
                    self.problem = f"{type(error).__name__}: {error}"
                    continue
                now = time.perf_counter()
                if answer.status_code != 200:
                    self.problem = answer.text
                    continue
                self.problem = ""
                self.sql += [(now, partition, position) for partition, position in answer.json()["rows"]]


def measure(runs: int, scale: float) -> Section:
    """Every rate, interleaved."""
    section = Section("latency")
    seconds = max(1.0, SECONDS * scale)
    made = recording.record(int(max(RATES) * seconds))
    with stage() as on:
        on.make(*TOPICS)
        worker = on.python("worker", "streams.app")
        on.python("server", "warehouse.server")
        ready = Watch(on)
        send_at(on, made, 200, 1.0)
        with ready.running():
            try:
                until("rows on the live topic and in SQL", lambda: bool(ready.live and ready.sql), PATIENCE_S)
            except TimeoutError as error:
                msg = f"{error}; {ready.problem or worker.tail()}"
                raise RuntimeError(msg) from error
        contestants = {f"{rate:,}": partial(run, on, made, rate, seconds) for rate in RATES}
        results = interleave(section, contestants, runs, _show)
    rows = [
        [f"{name} events/s", *(_ms(middle([one[place][q] for one in found])) for place in (0, 1) for q in range(3))]
        for name, found in results.items()
    ]
    head = ["rate", *(f"{what} {quantile}" for what in ("live topic", "SQL") for quantile in ("p50", "p99", "p99.9"))]
    section.add(table(head, rows))
    for name in contestants.keys() - results.keys():
        section.add(f"{name} events/s: the worker did not keep up on this machine.")
    section.add(
        f"Milliseconds; medians over {runs} runs of {seconds:.0f} s of each run's quantiles, {PROBES_A_SECOND} probes "
        "a second. SQL is the server's answer over its live tables, polled."
    )
    return section


Quantiles = tuple[list[float], list[float]]
"""Seconds to the live topic and to SQL, by QUANTILES."""


def run(on: Stage, made: Recording, rate: int, seconds: float) -> Quantiles:
    """Send at a rate and watch. Raises TimeoutError when the last probe is not seen."""
    with Watch(on).running() as watch:
        # What an earlier run has left is not this one's.
        _await(watch, send_at(on, made, 200, 0.2), "what was sent before")
        probes = send_at(on, made, rate, seconds)
        _await(watch, probes, f"all events of {rate}/s")
    return quantiles(waits(probes, watch.live)), quantiles(waits(probes, watch.sql))


def _await(watch: Watch, probes: list[Probe], what: str) -> None:
    last = {partition: max(o for p, o, _ in probes if p == partition) for partition in {p for p, _, _ in probes}}

    def seen(by: Seen) -> bool:
        return all(any(p == one and at > offset for _, p, at in reversed(by)) for one, offset in last.items())

    until(f"{what} on the live topic", lambda: seen(watch.live), PATIENCE_S, every_s=0.1)
    until(f"{what} in SQL", lambda: seen(watch.sql), PATIENCE_S, every_s=0.1)


def send_at(on: Stage, made: Recording, rate: int, seconds: float) -> list[Probe]:
    """Send events as they become due, and say where and when some of them went."""
    producer = ck.Producer(producer_config(on.settings, {"linger.ms": 0 if rate < 50_000 else 5}))
    probes: list[Probe] = []

    def delivered(sent: float, error: Any, message: Any) -> None:
        assert error is None, error
        probes.append((message.partition(), message.offset(), sent))

    every = max(1, rate // PROBES_A_SECOND)
    total, sent, began = int(rate * seconds), 0, time.perf_counter()
    while sent < total:
        due = min(total, int((time.perf_counter() - began) * rate))
        for key, value in made.records(due, sent, round(time.time() * 1000)):
            if sent % every == 0:
                producer.produce(PLAYBACK.name, value, key, on_delivery=partial(delivered, time.perf_counter()))
            else:
                recording.send(producer, PLAYBACK.name, key, value)
            sent += 1
        producer.poll(0)
        time.sleep(TICK_S)
    assert not producer.flush(60)
    return probes


def waits(probes: list[Probe], seen: Seen) -> list[float]:
    """Seconds from each probe's sending until its partition's position was seen behind it."""
    found = []
    for partition in {probe[0] for probe in probes}:
        mine = iter([(at, position) for at, p, position in seen if p == partition])
        at, position = next(mine)
        for _, offset, sent in sorted(probe for probe in probes if probe[0] == partition):
            while position <= offset:
                at, position = next(mine)
            found.append(at - sent)
    return found


def quantiles(values: list[float]) -> list[float]:
    """The QUANTILES of them."""
    ordered = sorted(values)
    return [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in QUANTILES]


def _show(found: Quantiles) -> str:
    return "; ".join(
        f"{what} p50 {_ms(one[0])}, p99 {_ms(one[1])}, p99.9 {_ms(one[2])} ms"
        for what, one in zip(("live", "SQL"), found, strict=True)
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}"
