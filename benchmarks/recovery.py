"""How long a killed worker's partitions stand still, and what an open session costs in memory.

The worker folds so many open sessions, gets SIGKILL, and another is started at once, as the supervisor would. Meanwhile
events keep coming. Recovery ends when the live topic shows, for every partition, a position behind all that had been
sent at the kill: group time-out (6 s), reading the state back and catching up are in it.
"""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

import confluent_kafka as ck
import httpx

from benchmarks import recording
from benchmarks.result import Section, interleave, middle, table
from benchmarks.stage import Process, Stage, stage
from infra.kafka import consumer_config
from infra.topics import offsets
from infra.waiting import until
from schemas.registry import LIVE_QUALITY, PLAYBACK, TOPICS

SIZES = (10_000, 100_000, 1_000_000)
FILL_S = 240.0
RECOVER_S = 120.0
SETTLE_S = 3.0
"""Some flushes after the last event, so that memory and state are what they stay."""
AFTER_KILL = 400


class World:
    """A stage with a worker that holds so many open sessions."""

    def __init__(self, on: Stage, sessions: int) -> None:
        self.on = on
        self.sessions = sessions
        self._sent = 0
        on.drop(PLAYBACK.name)
        on.make(PLAYBACK)
        on.forget_stream()
        self.worker = self._start()
        self.send(sessions)
        try:
            until(f"{sessions} open sessions", lambda: self.open_sessions() >= sessions, FILL_S, every_s=0.5)
            self.wait_for(self.ends())
        except TimeoutError as error:
            self.worker.kill()
            msg = f"{error}; {self.worker.tail()}"
            raise RuntimeError(msg) from error
        time.sleep(SETTLE_S)

    def _start(self) -> Process:
        return self.on.python("worker", "streams.app")

    def send(self, count: int) -> None:
        """Heartbeats, each of the next session in turn: the first round opens them."""
        producer = recording.bulk_producer(self.on.settings)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for number in range(self._sent, self._sent + count):
            viewer = number % self.sessions
            value = (
                f'{{"eventId":"{number:016x}","eventType":"heartbeat","timestamp":"{now}","userId":"user-{viewer}",'
                f'"sessionId":"session-{viewer:012d}","contentId":"title-{viewer % 5000}","deviceType":"web",'
                f'"seq":{number // self.sessions},"positionMs":1000,"bitrateKbps":4500,"country":"US","cdn":"cdn-a",'
                f'"appVersion":"5.1.2"}}'
            )
            recording.send(producer, PLAYBACK.name, b"user-%d" % viewer, value.encode())
            if number % 1000 == 0:
                producer.poll(0)
        self._sent += count
        assert not producer.flush(60)

    def ends(self) -> dict[int, int]:
        """Partition → offset after its last record."""
        return {partition: end for (_, partition), (_, end) in offsets(self.on.settings, [PLAYBACK.name]).items()}

    def wait_for(self, ends: dict[int, int]) -> None:
        """Until the live topic shows that everything before these offsets is in. Raises TimeoutError."""
        consumer = ck.Consumer(consumer_config(self.on.settings, "watch", {"fetch.wait.max.ms": 10}))
        consumer.assign([ck.TopicPartition(LIVE_QUALITY.name, 0, ck.OFFSET_BEGINNING)])
        missing = dict(ends)
        end = time.monotonic() + RECOVER_S
        try:
            while missing:
                for message in consumer.consume(500, 0.01):
                    value = None if message.error() else message.value()
                    if not value:
                        continue
                    row = json.loads(value)
                    if row["topic"] == PLAYBACK.name and row["position"] >= missing.get(row["partition"], 1 << 62):
                        del missing[row["partition"]]
                if time.monotonic() > end:
                    self.worker.check()
                    msg = f"expected the live topic to reach {missing} within {RECOVER_S:.0f} s"
                    raise TimeoutError(msg)
        finally:
            consumer.close()

    def open_sessions(self) -> int:
        """As the worker's metrics say."""
        self.worker.check()
        settings = self.on.settings
        try:
            text = httpx.get(f"http://{settings.host}:{settings.stream_metrics_port}/metrics", timeout=10).text
        except httpx.HTTPError:
            return 0
        lines = [line for line in text.splitlines() if line.startswith("playlake_stream_open_sessions{")]
        return sum(int(float(line.rpartition(" ")[2])) for line in lines)

    def rss_mb(self) -> float:
        """Resident memory of the worker."""
        status = Path(f"/proc/{self.worker.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def kill_and_recover(self) -> float:
        """Seconds from SIGKILL until all that was sent meanwhile is in. Raises TimeoutError."""
        began = time.perf_counter()
        self.worker.kill()
        self.worker = self._start()
        self.send(AFTER_KILL)
        self.wait_for(self.ends())
        seconds = time.perf_counter() - began
        time.sleep(SETTLE_S)
        return seconds


def measure(runs: int, scale: float) -> Section:
    """Each size: fill, then kill again and again."""
    section = Section("recovery")
    rows: list[list[str]] = []
    memory: dict[int, float] = {}
    with stage() as on:
        on.make(*TOPICS)
        for size in SIZES:
            sessions = max(1000, int(size * scale))
            print(f"  filling {sessions:,} sessions", flush=True)
            try:
                world = World(on, sessions)
            except (RuntimeError, TimeoutError) as error:
                section.warn(f"{sessions:,} sessions: {error}")
                continue
            filled = world.rss_mb()
            name = f"{sessions:,}"
            found = interleave(section, {name: partial(World.kill_and_recover, world)}, runs, lambda s: f"{s:.1f} s")
            if name in found:
                memory[sessions] = world.rss_mb()
                times = found[name]
                rows.append(
                    [name, f"{middle(times):.1f}", f"{max(times):.1f}", f"{filled:,.0f}", f"{memory[sessions]:,.0f}"]
                )
            world.worker.kill()
    section.add(table(["open sessions", "median s", "worst s", "MB, filled", "MB, recovered"], rows))
    if len(memory) > 1:
        few, many = min(memory), max(memory)
        each = (memory[many] - memory[few]) * 2**20 / (many - few)
        section.add(
            f"Memory of an open session: {each:,.0f} bytes (resident memory at {many:,} less that at {few:,} sessions, "
            "by their difference; state, index, the table that recovery fills and the allocator's waste are in it)."
        )
    section.add(f"{runs} kills at each size, the next when the worker had flushed.")
    return section
