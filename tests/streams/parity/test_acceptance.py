"""Everything at once: simulated viewers, 1 % of their events late, workers and sink killed, then a real batch.

Before the batch the report names the cause of every difference; after it, batch is exact.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from infra.processes import PLAYLAKE
from infra.settings import ROOT, Settings
from schemas.parity import Comparison, PartParity
from schemas.registry import PLAYBACK
from streams.parity.report import parity
from streams.parity.text import as_text
from streams.parity.window import newest
from tests.chaos import faults_batch
from tests.chaos.programs import Program
from tests.chaos.world import World
from tests.streams.bronze_world import wait_caught_up
from tests.streams.parity.test_report import wait_applied

FREEZE_S = 20
SEED = 11


class Size(NamedTuple):
    """How many viewers come within how many seconds, and how many events that is at the least."""

    viewers: int
    seconds: int
    events: int


class Audience(World):
    """The fault suite's world, with simulated viewers in place of its load."""

    def __init__(self, home: Path, kafka: Settings, size: Size) -> None:
        settings = replace(kafka, live_freeze_after_s=FREEZE_S)
        super().__init__(home, seed=SEED, workers=2, collector=False, kafka=settings)
        words = ["--viewers", str(size.viewers), "--seconds", str(size.seconds), "--seed", str(SEED)]
        argv = [sys.executable, "-m", "tests.streams.parity.late_load", *words]
        self.load = Program("load", lambda: argv, self.settings.to_env(), home / "load.log")

    def start_load(self) -> None:
        self.programs["load"] = self.load
        self.load.start()
        self.load.wanted = False  # the keeper may not start it again

    def kill_until_all_is_sent(self) -> int:
        """kill -9 of a worker or the sink every few seconds; how many times."""
        dice, kills = random.Random(SEED), 0
        while self.load.is_up:
            time.sleep(dice.uniform(8, 16))
            victim = dice.choice([*self.named("worker"), *self.named("sink")])
            if victim.is_up:
                victim.kill()
                kills += 1
        assert self.load.wait(1) == 0, self.load.tail()
        return kills

    def sent(self) -> dict[str, int]:
        """Playback events by kind, as the load says itself."""
        kinds: dict[str, int] = json.loads(self.load.log.read_text().splitlines()[-1])
        return kinds

    def compared(self, minutes: int) -> Comparison:
        """The report over all of it."""
        found = parity(self.settings, newest(minutes, datetime.now(UTC)), 60, most_records=10_000_000)
        print(as_text(found, 5))
        return found

    def batch(self) -> None:
        """The whole chain, by a Spark server of our own."""
        faults_batch.spark(self)
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), **self.settings.to_env()}
        done = subprocess.run(
            [PLAYLAKE, "batch"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def events_of(found: Comparison) -> PartParity:
    [events] = (part for part in found.parts if part.part == "events")
    return events


@pytest.mark.kafka
@pytest.mark.spark
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(23_000, 90, 100_000), id="100k", marks=[pytest.mark.long, pytest.mark.timeout(1200)]),
        pytest.param(Size(66_000, 300, 1_000_000), id="1M", marks=[pytest.mark.chaos, pytest.mark.timeout(3600)]),
    ],
)
@pytest.mark.usefixtures("topics")
def test_exact_after_batch_and_every_difference_has_its_cause_before(
    kafka: Settings, tmp_path: Path, size: Size
) -> None:
    with Audience(tmp_path, kafka, size) as world:
        kills = world.kill_until_all_is_sent()
        world.wait_healthy()
        sent = world.sent()
        print(f"{sent} of {size.viewers} viewers, {kills} kills; {world.story()}")
        assert sent["valid"] >= size.events and kills >= size.seconds // 20
        wait_caught_up(world.settings)
        wait_applied(world.settings)
        minutes = 2 + (size.seconds + 600) // 60

        before = world.compared(minutes)
        assert before.holds
        assert before.publish_id is None
        counted = events_of(before)
        live = counted.live + counted.causes["late"] + counted.causes.get("duplicate", 0)
        assert live + counted.causes.get("order", 0) == sent["valid"], "of the order are those that live holds"
        assert -counted.causes["still open"] == sent["valid"]
        assert counted.causes["late"] > sent["valid"] // 200
        assert sum(before.dead_letters.values()) == sent["broken"]

        world.batch()
        after = world.compared(minutes)
        assert after.holds
        assert events_of(after).batch == sent["valid"], f"every event of {PLAYBACK.name} once"
        causes = {cause for part in after.parts for cause in part.causes}
        assert {"late", "order"} <= causes
        assert not {"still open", "not live yet"} & causes
