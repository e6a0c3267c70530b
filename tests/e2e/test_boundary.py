"""Ten minutes of writing, publishing without a pause and asking every second; with and without publishes killed."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from infra.processes import PLAYLAKE
from infra.settings import ROOT
from tests.e2e.boundary import Watcher, Writer, wait_for, wait_until_answered
from tests.e2e.conftest import Platform, running

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1800)]

MINUTES = 10.0
FREEZE_S = 60
"""So that the cut-over moves through what is written."""
NEVER = 10_000_000
PARTS_LEFT_OUT = ("airflow", "collector")


@pytest.mark.parametrize("is_killed", [False, True], ids=["publishing", "publishing, killed now and then"])
def test_the_answer_never_jumps_and_equals_the_ledger(tmp_path: Path, is_killed: bool) -> None:
    with running(tmp_path, NEVER, without=PARTS_LEFT_OUT, live_freeze_after_s=FREEZE_S) as platform:
        writer = Writer(platform.settings, rate=100)
        watcher = Watcher(platform.settings, writer.ledger)
        writer.start()
        wait_until_answered(platform.settings)
        watcher.start()
        runs, kills = publish_for(platform, MINUTES * 60, random.Random(3) if is_killed else None)
        ledger = writer.stop()
        assert ledger.failed == 0 and ledger.sent == ledger.acknowledged
        at_the_end = wait_for(platform.settings, ledger.sent, 30)
        print(f"{runs} runs of batch, {kills} killed; {watcher.asked} questions, the slowest {watcher.slowest_s:.2f} s")
        print(f"publishes seen: {len(watcher.publishes)}; sent {dict(ledger.sent)}, answered {dict(at_the_end)}")
        assert at_the_end == ledger.sent

        time.sleep(FREEZE_S + 61)  # then gold answers for all of it
        platform.playlake("batch", timeout_s=900)
        (row,) = platform.sql("SELECT sum(events)::BIGINT AS n FROM gold.quality_minute WHERE rollup = 'title'")
        assert wait_for(platform.settings, ledger.sent, 10) == ledger.sent
        assert row["n"] == ledger.sent["events"]
        watcher.stopping.set()
        watcher.join(40)
        assert watcher.wrong == []
        assert len(watcher.publishes) >= 3, "on a busy machine a run of batch takes minutes"


def publish_for(platform: Platform, seconds: float, dice: random.Random | None) -> tuple[int, int]:
    """The batch chain again and again; with dice, one run in three is killed at any moment. Runs and kills."""
    end, runs, kills, took_s = time.monotonic() + seconds, 0, 0, 20.0
    env = {"PATH": "/usr/bin:/bin", **platform.settings.to_env()}
    while time.monotonic() < end:
        began = time.monotonic()
        run = subprocess.Popen([PLAYLAKE, "batch"], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        runs += 1
        if dice is not None and dice.random() < 1 / 3:
            # Mostly in its last part, where gold is committed, the record written and the files are built.
            time.sleep(took_s * (0.3 + 0.7 * dice.random() ** 0.5))
            kills += run.poll() is None
            run.send_signal(signal.SIGKILL)
            run.communicate()
            continue
        said, _ = run.communicate(timeout=900)
        assert run.returncode == 0, said.decode()
        took_s = time.monotonic() - began
    return runs, kills
