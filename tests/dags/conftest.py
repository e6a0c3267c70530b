"""A throw-away Airflow: its own home, its real configuration, and a fake playlake that writes down its calls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.airflow import environment as airflow
from infra.settings import Settings
from tests.conftest import isolated_settings

HERE = Path(__file__).parent


class Airflow:
    """Airflow's interpreter and environment on one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        airflow.prepare(settings)
        self.folder = settings.home / "fake"
        self.folder.mkdir()
        self.cli = Path(shutil.copy(HERE / "fake_playlake.py", self.folder / "playlake"))
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **airflow.environment(settings),
            "PLAYLAKE_CLI": str(self.cli),
            "PLAYLAKE_SILVER_EVERY_MINUTES": "5",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        subprocess.run(airflow.initialise_command(settings), env=self.env, check=True, capture_output=True, timeout=300)

    def command(self, *arguments: str) -> list[str]:
        return [str(self.settings.airflow_venv / "bin" / "python"), str(HERE / "probe.py"), *arguments]

    def ask(self, *questions: list[Any]) -> list[Any]:
        """What the probe answers to each question."""
        command = self.command("ask", json.dumps(questions))
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        answers: list[Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answers

    def tell(self, command: str, what: str) -> None:
        """How the fake behaves: `exit 1`, `once 1` (the first time only), `hold`, or nothing."""
        (self.folder / f"{command}.do").write_text(what)

    def calls(self) -> list[dict[str, Any]]:
        """Calls of the fake since the last `forget`."""
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def forget(self) -> None:
        for path in (*self.folder.glob("*.do"), *self.folder.glob("calls.jsonl")):
            path.unlink()


@pytest.fixture(scope="session")
def airflow_once(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    settings = isolated_settings(tmp_path_factory.mktemp("airflow"))
    if not settings.airflow_venv.exists():
        pytest.skip("Airflow's environment is not there; `make setup` makes it")
    return Airflow(settings)


@pytest.fixture
def airflow_home(airflow_once: Airflow) -> Iterator[Airflow]:
    """The one Airflow of the test run; the fake's calls are this test's own."""
    airflow_once.forget()
    yield airflow_once
    airflow_once.forget()
