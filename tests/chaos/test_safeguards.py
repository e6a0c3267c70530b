"""For each safeguard the fault that it is there for. Without it the verdict is red: `make mutate` shows that."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from infra.settings import Settings
from infra.waiting import until
from schemas.registry import PLAYBACK
from schemas.tables import BRONZE, DEAD_LETTERS
from schemas.topic import Topic
from streams.bronze_tables import SOURCES
from tests.chaos.faults import REACHED_S, fall_asleep, strike
from tests.chaos.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.timeout(400)]
ROWS, LETTERS = BRONZE[PLAYBACK.name].name, DEAD_LETTERS.name
CLAIMS = {ROWS: 1, LETTERS: len(SOURCES)}
"""Commits of a process to a table before the first one that carries records."""

Worlds = Callable[..., AbstractContextManager[World]]


@pytest.fixture
def small_world(kafka: Settings, topics: dict[str, Topic], tmp_path: Path) -> Iterator[Worlds]:
    """Worlds on the shared broker, with nothing but a load into Kafka."""

    def world(**more: Any) -> World:
        return World(tmp_path / "world", seed=7, kafka=kafka, collector=False, rates={"kafka": 800.0}, **more)

    yield world


def assert_good(world: World) -> None:
    """What `make mutate` looks for in the output of a test that must fail."""
    verdict = world.calm()
    assert verdict.is_good, f"the verdict is red: {verdict.wrong}; {world.story()}"
    assert verdict.letters > 0


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
def test_a_sink_that_slept_around_its_commit(small_world: Worlds, moment: str) -> None:
    with small_world(sinks=2, workers=0) as world:
        fall_asleep(world.programs["sink-0"], f"{ROWS}: {moment}=stop@{CLAIMS[ROWS] + 2}")
        time.sleep(8)  # its session is over, and somebody else has its partitions
        world.progress.wait(60)
        world.programs["sink-0"].thaw()
        world.progress.wait(60)
        assert_good(world)


@pytest.mark.parametrize("table", [ROWS, LETTERS])
def test_a_sink_killed_between_its_two_commits(small_world: Worlds, table: str) -> None:
    with small_world(workers=0) as world:
        # Not at the same commit each time: which one carries records is the code's business.
        for nth in (1, 2, 3):
            strike(world.programs["sink-0"], f"{table}: after commit", CLAIMS[table] + nth)
            world.progress.wait(60)
        assert_good(world)


def test_a_worker_killed_between_state_and_position(small_world: Worlds) -> None:
    with small_world() as world:
        for _ in range(2):
            strike(world.programs["worker-0"], "state: before position", 3)
            world.progress.wait(60)
        assert_good(world)


def test_a_worker_that_slept_and_wrote_old_state(small_world: Worlds) -> None:
    with small_world(workers=2) as world:
        zombie, successor = world.programs["worker-0"], world.programs["worker-1"]
        fall_asleep(zombie, "state: before minutes=stop@4, state: before position=kill@4")
        time.sleep(8)
        world.progress.wait(60)
        time.sleep(3)  # its successor has written newer state of all that it had
        successor.freeze()  # or it would soon write over what the zombie writes
        exits = len(zombie.exits)
        zombie.thaw()
        until("the zombie ends", lambda: len(zombie.exits) > exits, 60, seen=zombie.tail)
        successor.kill()  # all that is known now is what the topic holds
        successor.wait_up()
        world.progress.wait(90)
        assert_good(world)


def test_a_worker_whose_transport_lost_a_batch(small_world: Worlds, tmp_path: Path) -> None:
    mark = tmp_path / "lose-one"
    with small_world() as world:
        worker = world.programs["worker-0"]
        worker.end()
        worker.argv = lambda: [sys.executable, "-m", "tests.chaos.lossy_worker", str(mark), "--worker", "0"]
        mark.touch()
        worker.start()
        until("a batch is lost", lambda: not mark.exists(), REACHED_S, seen=worker.tail)
        world.progress.wait(90)
        assert_good(world)
