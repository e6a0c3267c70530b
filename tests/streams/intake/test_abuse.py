"""Who sends too much, too slowly or nonsense hurts nobody else: a table of what came back and what the others felt."""

from __future__ import annotations

import asyncio
import gzip
import socket
import statistics
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Self

import httpx
import pytest
import zstandard

from infra.settings import Settings
from schemas.topic import Topic
from streams.intake import http_server
from tests.streams.intake.app_world import App
from tests.streams.intake.collector_world import SEED, RunningCollector

ATTACK_S = 0.8
OTHERS_MS, OTHERS_TIMES = 200, 10
"""What the median of others may wait while an attack goes on: so long, or so many times what they wait without one.
They share two cores with attacker and broker, and with whatever else runs. Their slowest answer is printed."""


class Others:
    """A client that behaves: an event every 20 ms on one connection, and how long each answer took."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.waits: list[float] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        with httpx.Client(timeout=15) as client:
            name, number = uuid.uuid4().hex.encode(), 0
            while not self._stop.is_set():
                number += 1
                began = time.monotonic()
                event = SEED[:-1] + b',"eventId":"%s-%d"}' % (name, number)
                try:
                    answer = client.post(f"{self._url}/v1/events", content=event)
                    if answer.json().get("accepted") != 1:
                        self.failures.append(answer.text)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                self.waits.append(time.monotonic() - began)
                time.sleep(0.02)


Attack = Callable[[Settings, float], Counter[str]]


def connect(settings: Settings) -> socket.socket:
    return socket.create_connection((settings.host, settings.collector_port), 10)


def slow_heads(settings: Settings, until: float) -> Counter[str]:
    """Slow-loris: 300 requests whose headers come a byte at a time."""
    return trickle(settings, until, b"POST /v1/events HTTP/1.1\r\nhost: x\r\nx-slow: ", 300)


def slow_bodies(settings: Settings, until: float) -> Counter[str]:
    """300 bodies that announce the largest size and come a byte at a time."""
    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n[" % settings.collector_max_body_bytes
    return trickle(settings, until, head, 300)


def trickle(settings: Settings, until: float, begin: bytes, count: int) -> Counter[str]:
    connections = [connect(settings) for _ in range(count)]
    for connection in connections:
        connection.sendall(begin)
    while time.monotonic() < until:
        for connection in connections:
            with suppress(OSError):
                connection.sendall(b"x")
        time.sleep(0.1)
    for connection in connections:
        connection.close()
    return Counter({"no answer": count})


def endless_header(settings: Settings, until: float) -> Counter[str]:
    """One header that never ends."""
    came: Counter[str] = Counter()
    while time.monotonic() < until:
        with connect(settings) as connection:
            connection.sendall(b"POST /v1/events HTTP/1.1\r\nx-long: ")
            try:
                for _ in range(200):
                    connection.sendall(b"x" * 65_536)
                came["took 13 MB"] += 1
            except OSError:
                came["closed"] += 1
    return came


def posting(*bodies: tuple[bytes, dict[str, str]]) -> Attack:
    def attack(settings: Settings, until: float) -> Counter[str]:
        came: Counter[str] = Counter()
        url = f"http://{settings.host}:{settings.collector_port}/v1/events"
        with httpx.Client(timeout=30) as client:
            while time.monotonic() < until:
                for body, headers in bodies:
                    try:
                        answer = client.post(url, content=body, headers=headers)
                        came[f"{answer.status_code} {answer.json().get('error', '')}".strip()] += 1
                    except httpx.TransportError:
                        came["closed"] += 1
        return came

    return attack


LIMIT = Settings().collector_max_body_bytes
BOMB = bytes(200_000_000)
ATTACKS: dict[str, tuple[Attack, set[str]]] = {
    "slow heads": (slow_heads, {"no answer"}),
    "slow bodies": (slow_bodies, {"no answer"}),
    "endless header": (endless_header, {"closed"}),
    "huge body": (posting((b" " * (6 * LIMIT), {})), {"413 too_large"}),
    "dense array": (posting((b"[" + b"1," * (LIMIT // 2 - 2) + b"1]", {})), {"413 too_many"}),
    "deep": (posting((b"[" * (LIMIT // 2) + b"]" * (LIMIT // 2), {})), {"400 not_json"}),
    "binary": (posting((bytes(range(256)) * 4000, {})), {"400 not_json"}),
    "bombs": (
        posting(
            (gzip.compress(BOMB), {"content-encoding": "gzip"}),
            (zstandard.ZstdCompressor().compress(BOMB), {"content-encoding": "zstd"}),
        ),
        {"413 too_large"},
    ),
}


@pytest.mark.kafka
def test_what_others_feel(kafka: Settings, topics: dict[str, Topic]) -> None:
    settings = replace(kafka, collector_max_connections=10_000)
    collector = RunningCollector(settings)
    collector.wait_listening()
    try:
        assert collector.post(SEED).status_code == 200  # the first one waits until the producer knows the topic
        allowed = 0.0
        print(f"\n{'attack':<16}{'came back':<34}{'others: median':>15}{'slowest':>10}")
        for name, (attack, expected) in {"none": (quiet, set()), **ATTACKS}.items():
            with Others(collector.url) as others:
                came = attack(settings, time.monotonic() + ATTACK_S)
            waits = [1000 * wait for wait in others.waits]
            said = ", ".join(f"{count} × {what}" for what, count in came.items())
            print(f"{name:<16}{said:<34}{statistics.median(waits):>12.0f} ms{max(waits):>7.0f} ms", flush=True)
            assert others.failures == [], name
            assert set(came) == expected, name
            allowed = allowed or max(OTHERS_MS, OTHERS_TIMES * statistics.median(waits))
            assert statistics.median(waits) < allowed, name
        assert collector.process.poll() is None
        assert collector.stop() == 0
    finally:
        collector.stop()


def quiet(_settings: Settings, until: float) -> Counter[str]:
    time.sleep(max(0.0, until - time.monotonic()))
    return Counter()


async def served(settings: Settings, **changes: object) -> tuple[http_server.uvicorn.Server, asyncio.Task[None]]:
    app = App(**changes)
    server = http_server.server(app.collector.app(), settings, 1)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    return server, task


@pytest.mark.parametrize(
    "begin",
    [b"", b"POST /v1/events HTTP/1.1\r\nhost", b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\nGET /met"],
    ids=["nothing", "half a head", "half a second head"],
)
async def test_a_head_that_does_not_come_ends_the_connection(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(http_server, "HEAD_S", 0.3)
    server, task = await served(settings)
    reader, writer = await asyncio.open_connection(settings.host, settings.collector_port)
    writer.write(begin)
    began = time.monotonic()
    with suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)
    assert 0.2 < time.monotonic() - began < 3
    server.should_exit = True
    await task


async def test_an_answer_that_is_not_read_ends_the_connection(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HEAD_S", 0.3)
    server, task = await served(settings)
    _, writer = await asyncio.open_connection(settings.host, settings.collector_port, limit=1024)
    request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            while not writer.transport.is_closing():
                writer.write(request * 20)
                await asyncio.sleep(0.02)
    assert writer.transport.is_closing()
    server.should_exit = True
    await task


async def test_one_network_has_so_many_connections_and_no_more(settings: Settings) -> None:
    server, task = await served(replace(settings, collector_max_connections=3))
    pairs = [await asyncio.open_connection(settings.host, settings.collector_port) for _ in range(5)]
    answers = []
    for reader, writer in pairs:
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        with suppress(ConnectionError):
            answers.append((await asyncio.wait_for(reader.read(), 5))[:12])
    assert [answer for answer in answers if answer] == [b"HTTP/1.1 200"] * 3
    again, writer = await asyncio.open_connection(settings.host, settings.collector_port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert (await asyncio.wait_for(again.read(), 5)).startswith(b"HTTP/1.1 200"), "who has gone does not count"
    server.should_exit = True
    await task


async def test_a_body_that_does_not_come_is_answered(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr("streams.intake.gate.BODY_S", 0.2)
    server, task = await served(settings)
    reader, writer = await asyncio.open_connection(settings.host, settings.collector_port)
    writer.write(b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n[")
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408")
    writer.close()
    server.should_exit = True
    await task
