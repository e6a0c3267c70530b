"""The fault suite in short: a sink dies at its worst moment, a worker at any; then the ledger's verdict."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from infra.settings import Settings
from schemas.topic import Topic
from streams.intake.load.ledger import Writer
from tests.chaos.faults import strike
from tests.chaos.test_safeguards import ROWS
from tests.chaos.verdict import judge_ledger
from tests.chaos.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


def test_killed_they_lose_and_double_nothing(kafka: Settings, topics: dict[str, Topic], tmp_path: Path) -> None:
    with World(tmp_path, seed=3, kafka=kafka, collector=False, rates={"kafka": 800.0}) as world:
        strike(world.programs["sink-0"], f"{ROWS}: after commit", 3)
        world.programs["worker-0"].kill()
        world.progress.wait(90)
        verdict = world.calm()
        print(verdict, world.story())
        assert verdict.is_good, verdict.wrong
        assert verdict.acked > 1000 and verdict.letters > 5
        assert_a_wrong_ledger_is_seen(world)


def assert_a_wrong_ledger_is_seen(world: World) -> None:
    """Each query finds what it is there for."""
    forged = world.home / "forged"
    forged.mkdir()
    writer = Writer(forged, 0)
    record = ("user.playback.events", b"k", b"v")
    writer.settle([record], ["kafka-forged-1"], [hashlib.sha256(b"v").digest()], ["acked"])
    writer.close()
    assert set(judge_ledger(world.settings, [*world.ledgers, forged]).wrong) == {"lost"}
    assert "invented" in judge_ledger(world.settings, [forged]).wrong
    (first,) = world.ledgers
    again = world.home / "again"
    again.mkdir()
    for file in sorted(first.glob("*.parquet"))[:1]:
        (again / file.name).write_bytes(file.read_bytes())
    assert set(judge_ledger(world.settings, [first, again]).wrong) == {"lost"}, "two copies were acked, one is there"
