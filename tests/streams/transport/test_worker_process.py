"""The transport under Faust's worker in a process of its own: faults that take time, and how the process ends."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.settings import ROOT, Settings
from tests.conftest import RunningBroker, isolated_settings
from tests.streams.transport.world import create, send

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]
_numbers = itertools.count(time.time_ns())


class Child:
    """`tests.streams.transport.child` and what it said."""

    def __init__(self, settings: Settings, topic: str, behaviour: str = "") -> None:
        settings.home.mkdir(parents=True, exist_ok=True)
        self.log = settings.home / f"{behaviour or 'child'}-{next(_numbers)}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.streams.transport.child", topic, behaviour],
                cwd=ROOT, env={"PATH": "/usr/bin:/bin", **settings.to_env()}, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def batches(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"partition"')]

    @property
    def count(self) -> int:
        return sum(batch["count"] for batch in self.batches)

    def says(self, text: str) -> int:
        return self.log.read_text().count(text)

    def wait(self, condition: Callable[[], object], timeout_s: float = 40) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}"
            assert time.monotonic() < end, f"not within {timeout_s} s"
            time.sleep(0.05)

    def resident_mb(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def starting(*args: Any) -> Child:
        children.append(Child(*args))
        return children[-1]

    yield starting
    for child in children:
        if child.process.poll() is None:
            child.process.kill()
            child.process.wait()
        print(child.log.read_text()[-6000:])


@pytest.fixture
def topic(kafka: Settings) -> str:
    name = f"process-{next(_numbers)}"
    create(kafka, name)
    return name


@pytest.mark.long
@pytest.mark.parametrize(
    ("poison", "said"),
    [
        (b"poison", "/0: records from 2 to 3 could not be prepared: ValueError: this can't be decoded"),
        (b"poison-agent", "ValueError: this can't be applied"),
    ],
    ids=["prepare", "agent"],
)
def test_what_is_raised_ends_the_process(
    kafka: Settings, topic: str, start: Callable[..., Child], poison: bytes, said: str
) -> None:
    send(kafka, topic, [b"1", b"2"])
    child = start(kafka, topic)
    child.wait(lambda: child.count == 2)
    send(kafka, topic, [poison])
    assert child.process.wait(10) != 0
    assert child.says(said)


@pytest.mark.long
@pytest.mark.parametrize("behaviour", ["busy", "blocks"])
def test_a_slow_agent_stays_in_its_group(
    kafka: Settings, topic: str, start: Callable[..., Child], behaviour: str
) -> None:
    """Longer than session time-out (6 s) and `broker_max_poll_interval` (8 s) for the one that computes in a thread."""
    child = start(kafka, topic, behaviour)
    child.wait(lambda: child.says('"fetching"'))
    send(kafka, topic, [b"slow"])
    time.sleep(1)
    send(kafka, topic, [b"x"] * 50)
    child.wait(lambda: child.count == 51, 60)
    assert child.batches[-1]["gaps"] == []
    assert child.says('"fetching"') == 1, "one assignment all the time"


@pytest.mark.long
def test_memory_is_bounded_when_the_agent_stops(kafka: Settings, topic: str, start: Callable[..., Child]) -> None:
    """300 MB in the topic; twice as long a wait takes no more."""
    for _ in range(10):
        send(kafka, topic, [os.urandom(500)] * 60_000)
    child = start(kafka, topic, "never")
    child.wait(lambda: child.says('"fetching"'))
    time.sleep(6)
    first = child.resident_mb()
    time.sleep(6)
    second = child.resident_mb()
    print(f"resident: {first:.0f} MB, then {second:.0f} MB")
    assert second < 400
    assert second - first < 20
    began = time.monotonic()
    child.process.send_signal(signal.SIGTERM)
    child.process.wait(10)
    print(f"stopped in {time.monotonic() - began:.1f} s")


class OwnBroker(RunningBroker):
    """A broker that a test may kill and start again at the same place."""

    def start_again(self) -> None:
        self.__init__(self.settings)  # type: ignore[misc]


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[OwnBroker]:
    running = OwnBroker(isolated_settings(tmp_path / "own"))
    yield running
    running.stop(signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("away_s", [0, 20])
def test_a_broker_that_comes_back_is_waited_for(
    own_broker: OwnBroker, start: Callable[..., Child], away_s: float
) -> None:
    """Killed and started at once, and away for three session time-outs: the same process goes on, nothing is missed."""
    settings = own_broker.settings
    create(settings, "one")
    child = start(settings, "one")
    send(settings, "one", [b"x"] * 1000)
    child.wait(lambda: child.count == 1000)
    own_broker.stop(signal.SIGKILL)
    time.sleep(away_s)
    assert child.process.poll() is None
    own_broker.start_again()
    send(settings, "one", [b"x"] * 1000)
    child.wait(lambda: child.batches[-1]["end"] == 2000, 60)
    assert child.batches[-1]["gaps"] == []
    child.process.send_signal(signal.SIGTERM)
    assert child.process.wait(10) == 0


@pytest.mark.long
def test_it_stops_while_the_broker_is_away(own_broker: OwnBroker, start: Callable[..., Child]) -> None:
    settings = own_broker.settings
    create(settings, "one")
    child = start(settings, "one")
    send(settings, "one", [b"x"] * 1000)
    child.wait(lambda: child.count == 1000)
    own_broker.stop(signal.SIGKILL)
    time.sleep(2)
    began = time.monotonic()
    child.process.send_signal(signal.SIGTERM)
    child.process.wait(10)
    print(f"stopped in {time.monotonic() - began:.1f} s")
