"""The whole platform, started by its own command with ports and a state folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.demo import AirflowApi
from infra.processes import PLAYLAKE
from infra.settings import ROOT, Settings
from tests.conftest import isolated_settings
from tests.quick_spark import QUICK

CHAIN = ("silver", "gold", "quality", "publish")


class Platform:
    """A running platform, used by commands and addresses only."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def playlake(self, *arguments: str, expect: tuple[int, ...] = (0,), timeout_s: float = 300) -> str:
        """Run a command; its output. Fails when the exit code is not expected."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "JAVA_TOOL_OPTIONS": QUICK,
            **self.settings.to_env(),
        }
        done = subprocess.run(
            [PLAYLAKE, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout_s
        )
        assert done.returncode in expect, f"playlake {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Rows of an answer."""
        answer = json.loads(self.playlake("sql", "--format", "json", query))
        names = [column["name"] for column in answer["columns"]]
        return [dict(zip(names, row, strict=True)) for row in answer["rows"]]

    def parts(self) -> dict[str, dict[str, Any]]:
        """Part → what `playlake status` says of it."""
        return {part["name"]: part for part in json.loads(self.playlake("status", "--json", expect=(0, 1)))["parts"]}

    def kill(self, part: str) -> None:
        """`kill -9` of a part's process."""
        os.kill(self.parts()[part]["pid"], signal.SIGKILL)

    def wait_up(self, timeout_s: float = 120) -> None:
        """Wait until every part is up again."""
        end = time.monotonic() + timeout_s
        while not all(part["state"] in ("healthy", "done") for part in self.parts().values()):
            assert time.monotonic() < end, {name: part["state"] for name, part in self.parts().items()}
            time.sleep(1)

    def task_log(self) -> str:
        """The end of what the task that ran last has said."""
        logs = sorted(self.settings.home.glob("airflow/logs/dag_id=*/**/*.log"), key=lambda path: path.stat().st_mtime)
        return logs[-1].read_text()[-4000:] if logs else "no task has run"

    def run_chain(self, timeout_s: float = 300) -> None:
        """Trigger silver in Airflow and wait until publish has succeeded on what it brought."""
        api = AirflowApi(self.settings)
        began = time.time()
        api.call("POST", "dags/silver/dagRuns", {"dag_run_id": f"test-{began:.0f}", "logical_date": None})
        while (states := {dag: api.last_state(dag, began) for dag in CHAIN})["publish"] != "success":
            assert "failed" not in states.values(), f"{states}\n{self.task_log()}"
            assert time.time() - began < timeout_s, states
            time.sleep(1)


@contextmanager
def running(home: Path, silver_every_minutes: int, **others: Any) -> Iterator[Platform]:
    """Every part, up. `others`: settings."""
    settings = isolated_settings(home)
    settings = replace(
        settings, topic_partitions=4, silver_every_minutes=silver_every_minutes, spark_driver_memory="1g", **others
    )
    platform = Platform(settings)
    try:
        platform.playlake("up", "--detach", timeout_s=240)
        yield platform
    finally:
        platform.playlake("down", timeout_s=120)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose timetable starts nothing in our lifetime: a test says when the chain runs."""
    with running(tmp_path_factory.mktemp("platform"), silver_every_minutes=10_000_000) as platform:
        yield platform
