"""One part alone, as a container runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from infra.settings import ROOT, Settings
from infra.waiting import until


def part(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.part", *arguments],
        cwd=ROOT, env=os.environ | settings.to_env(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_an_unknown_part_is_refused_with_the_known_ones(settings: Settings) -> None:
    done = part(settings, "run", "brokr")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no part 'brokr' with these settings; there are broker, topics, ")


@pytest.mark.kafka
def test_the_broker_alone_answers_when_it_is_up_and_ends_when_told(settings: Settings) -> None:
    before = part(settings, "check", "broker")
    assert before.returncode == 1
    assert before.stderr.startswith("error: broker is not up: ")
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.part", "run", "broker"],
        cwd=ROOT, env=os.environ | settings.to_env(), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        until("the broker is up", lambda: part(settings, "check", "broker").returncode == 0, 60, every_s=0.5)
    finally:
        process.terminate()
        code = process.wait(20)
    assert code in (0, 143)
    assert part(settings, "check", "broker").returncode == 1
