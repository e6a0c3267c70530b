"""How many events a second one collector on one core takes, and how long an answer waits at half of that.

    python benchmarks/collector.py [--runs 5] [--seconds 4] [--connections 32] [--batch 50]

A real broker (acks=all), the collector on core 0, broker and client on core 1, all of them this run's own, in a
temporary folder. Requests are made before the clock starts; every event has an id of its own and an SDK's fields.
Full speed: each connection sends its next request when the answer is there. Half speed: requests leave at fixed times,
and an answer's time counts from when its request was due. Prints the median of the runs, and the machine.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.machine import machine
from infra import broker, health, topics
from infra.isolated import isolated_settings
from infra.settings import ROOT, Settings
from schemas.registry import TOPICS

COLLECTOR_CORE, OTHER_CORE = 0, 1
HEAD = (
    "POST /v1/events HTTP/1.1\r\nhost: collector\r\ncontent-type: application/json\r\nprefer: {prefer}\r\n"
    "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
    "\r\ncontent-length: {length}\r\n\r\n"
)


@dataclass
class Run:
    """What one run measured."""

    events: int
    seconds: float
    cpu_seconds: float
    waits: list[float]

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    def quantile(self, share: float) -> float:
        return sorted(self.waits)[min(len(self.waits) - 1, int(share * len(self.waits)))]


def main() -> None:
    arguments = argparse.ArgumentParser()
    for name, default in (("runs", 5), ("seconds", 4), ("connections", 32), ("batch", 50)):
        arguments.add_argument(f"--{name}", type=int, default=default)
    arguments.add_argument("--prefer", default="return=representation", help="or return=minimal")
    asked = arguments.parse_args()
    os.sched_setaffinity(0, {OTHER_CORE})
    with tempfile.TemporaryDirectory() as home, platform_at(Path(home)) as (settings, process):
        run(settings, process, asked, number=1, events=20_000)
        count = 0
        full: list[Run] = []
        half: list[Run] = []
        for number in range(asked.runs):
            rate = statistics.median(r.rate for r in full) if full else 40_000
            full.append(run(settings, process, asked, number=2 * number + 2, events=int(rate * asked.seconds)))
            pace = 25_000 / asked.batch
            half.append(run(settings, process, asked, number=2 * number + 3, events=25_000 * asked.seconds, pace=pace))
            print(f"run {number + 1}: {_text(full[-1])}; at 25,000/s: {_text(half[-1])}", flush=True)
            count += full[-1].events + half[-1].events
        there = sum(end - begin for begin, end in topics.offsets(settings, ["user.playback.events"]).values())
        assert there >= count, f"{count} events were acknowledged, Kafka has {there}"
    print(f"\n{machine()}\nbatches of {asked.batch}, {asked.connections} connections, {asked.prefer}, acks=all")
    middle = sorted(full, key=lambda r: r.rate)[len(full) // 2]
    print(f"full speed, median of {len(full)}: {_text(middle)}")
    middle = sorted(half, key=lambda r: r.quantile(0.99))[len(half) // 2]
    print(f"25,000 events/s, median of {len(half)}: {_text(middle)}")


def _text(run: Run) -> str:
    return (
        f"{run.rate:,.0f} events/s, {run.cpu_seconds / run.events * 1e6:.1f} µs of CPU an event, "
        f"p50 {run.quantile(0.5) * 1000:.1f} ms, p99 {run.quantile(0.99) * 1000:.1f} ms"
    )


def run(
    settings: Settings,
    process: psutil.Process,
    asked: argparse.Namespace,
    *,
    number: int,
    events: int,
    pace: float | None = None,
) -> Run:
    """Send the events; `pace` is requests a second, None for full speed."""
    requests = list(bodies(number, events // asked.batch, asked.batch, asked.prefer))
    accepted = b'"accepted":%d,' % asked.batch
    connections = [socket.create_connection((settings.host, settings.collector_port)) for _ in range(asked.connections)]
    idle = connections.copy()
    chosen = selectors.DefaultSelector()
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        chosen.register(connection, selectors.EVENT_READ)
    since: dict[socket.socket, float] = {}
    partial: dict[socket.socket, bytes] = {}
    waits: list[float] = []
    used, began, sent = _cpu(process), time.perf_counter(), 0
    while len(waits) < len(requests):
        now = time.perf_counter()
        while idle and sent < len(requests):
            due = began + sent / pace if pace else now
            if due > now:
                break
            connection = idle.pop()
            since[connection] = due
            connection.sendall(requests[sent])
            sent += 1
        timeout = max(0.0, began + sent / pace - now) if pace and sent < len(requests) and idle else 1.0
        for key, _ in chosen.select(timeout):
            connection = key.fileobj  # type: ignore[assignment]
            answer = partial.pop(connection, b"") + connection.recv(1_000_000)
            if not _is_whole(answer):
                partial[connection] = answer
                continue
            assert accepted in answer, answer[:1000]
            waits.append(time.perf_counter() - since[connection])
            idle.append(connection)
    seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return Run(len(requests) * asked.batch, seconds, _cpu(process) - used, waits)


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return len(body) >= length


def bodies(number: int, count: int, batch: int, prefer: str) -> Iterator[bytes]:
    """Whole requests of heartbeats, as a browser's SDK sends them."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for request in range(count):
        body = "[" + ",".join(
            f'{{"eventId":"{number:08x}-{request:08x}-{index:04x}","userId":"user-{(request * 7 + index) % 50_000}",'
            f'"sessionId":"session-{request}","contentId":"title-{index % 100}","eventType":"heartbeat",'
            f'"timestamp":"{at}","deviceType":"web","quality":"1080p","seq":{index},"positionMs":{index * 10_000},'
            f'"bitrateKbps":4500,"appVersion":"2.4.1","cdn":"cdn-a","sentAt":"{at}"}}'
            for index in range(batch)
        ) + "]"  # fmt: skip
        yield (HEAD.format(length=len(body), prefer=prefer) + body).encode()


@contextmanager
def platform_at(home: Path) -> Iterator[tuple[Settings, psutil.Process]]:
    """A broker and a collector on ports of their own."""
    settings = isolated_settings(home)
    broker.prepare(settings)
    started = []
    try:
        started.append(_start(broker.command(settings), OTHER_CORE, settings, "broker"))
        topics.wait_ready(settings)
        topics.ensure_topics(settings, TOPICS)
        started.append(
            _start([sys.executable, "-m", "streams.intake.collector"], COLLECTOR_CORE, settings, "collector")
        )
        answers = health.Http(f"http://{settings.host}:{settings.collector_port}/healthz")
        for _ in range(200):
            if answers(0) is None:
                break
            time.sleep(0.05)
        yield settings, psutil.Process(started[-1].pid)
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def _start(argv: list[str], core: int, settings: Settings, name: str) -> subprocess.Popen[bytes]:
    with (settings.home / f"{name}.log").open("wb") as out:
        pinned = ["taskset", "-c", str(core), *argv]
        return subprocess.Popen(pinned, cwd=ROOT, env=os.environ | settings.to_env(), stdout=out, stderr=out)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
