"""docs/sql.md as a reader takes it: every example is copied and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from infra.settings import ROOT, Settings
from tests.browser.views import shared
from tests.conftest import isolated_settings
from tests.documents import examples, questions
from tests.warehouse.lake import Lake
from tests.warehouse.serving import Running
from tests.warehouse.terminal import Terminal
from warehouse.sandbox.pool import Sandbox

DOCUMENT = ROOT / "docs" / "sql.md"
EXAMPLES = examples(DOCUMENT)
TRIED = {"prompt", "shell", "json", "arrow", "cancel", "catalog", "keys", "file", "adbc"}

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = isolated_settings(tmp_path_factory.mktemp("document") / "home")
    made = replace(made, kafka_bootstrap=f"127.0.0.1:{made.kafka_port}")
    Lake(made).publish("p1")
    return made


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[Running]:
    running = Running(settings)
    yield running
    running.stop()


def environment(settings: Settings) -> dict[str, str]:
    found = {k: v for k, v in os.environ.items() if not k.startswith("PLAYLAKE_")} | settings.to_env()
    found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"
    return found | {"PYTHONPATH": str(ROOT)}


def run(settings: Settings, folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env=environment(settings), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shell(settings: Settings, folder: Path, name: str) -> str:
    code = EXAMPLES[name].replace("127.0.0.1:8701", f"127.0.0.1:{settings.server_port}")
    return run(settings, folder, "bash", "-ec", code)


def test_every_example_is_tried() -> None:
    assert set(EXAMPLES) == TRIED


def test_prompt(settings: Settings, tmp_path: Path) -> None:
    with Terminal([sys.executable, "-m", "playlake", "sql"], environment(settings), folder=tmp_path) as terminal:
        terminal.wait_for("playlake>")
        for line in EXAMPLES["prompt"].splitlines():
            terminal.type(f"{line}\r")
            if line.startswith("\\") or line.endswith(";"):
                terminal.wait_for_prompt()
                assert "error:" not in terminal.text(), f"{line}\n{terminal.text()}"
        terminal.wait_for("timing is off")
    assert pq.read_table(tmp_path / "plays.parquet").num_rows == 60


def test_shell(settings: Settings, tmp_path: Path) -> None:
    said = shell(settings, tmp_path, "shell")
    assert "cutover_minute" in said and "minute,plays\n" in said
    assert json.loads(said.splitlines()[-1])["rows"] == [[2]]
    assert pq.read_table(tmp_path / "sessions.parquet")["session_id"].to_pylist() == ["s3", "s2"]


@needs_curl
def test_json(server: Running, settings: Settings, tmp_path: Path) -> None:
    answer = json.loads(shell(settings, tmp_path, "json"))
    assert (answer["row_count"], answer["rows"][0]) == (30, ["2026-01-15T11:30:00Z", 10])
    assert list(answer) == ["query_id", "columns", "rows", "row_count", "truncated", "elapsed_ms", "publish_id"]


def test_arrow(server: Running, settings: Settings, tmp_path: Path) -> None:
    code = EXAMPLES["arrow"].replace("127.0.0.1:8701", f"127.0.0.1:{settings.server_port}")
    said = run(settings, tmp_path, sys.executable, "-c", code)
    assert "startup_ms: int64" in said and said.endswith(" 2\n")


def test_file(settings: Settings, tmp_path: Path) -> None:
    said = run(settings, tmp_path, sys.executable, "-c", opened(settings, "file"))
    assert [line.strip("│").split() for line in said.splitlines() if "2026" in line] == [["2026-01-15", "│", "0.0"]]


def test_adbc(settings: Settings, tmp_path: Path) -> None:
    assert '[["s3","s2"]]' in run(settings, tmp_path, sys.executable, "-c", opened(settings, "adbc"))


def opened(settings: Settings, name: str) -> str:
    return EXAMPLES[name].replace("var/warehouse", str(settings.warehouse))


@needs_curl
def test_cancel(server: Running, settings: Settings, tmp_path: Path) -> None:
    said = shell(settings, tmp_path, "cancel")
    assert '"id":"too-long-1"' in said and '"state":"cancelled"' in said and '"reason":"cancelled"' in said


@needs_curl
def test_catalog(server: Running, settings: Settings, tmp_path: Path) -> None:
    catalog = json.loads(shell(settings, tmp_path, "catalog"))
    [column] = [
        column
        for table in catalog["tables"]
        for column in table["columns"]
        if (table["schema"], table["name"], column["name"]) == ("gold", "quality_minute", "stall_ms")
    ]
    assert (column["unit"], column["comment"]) == ("ms", "time in such stalls, ms")
    assert set(catalog["tables"][0]["freshness"]) == {"published_at", "as_of", "newest", "live_at"}


@needs_curl
def test_keys(server: Running, settings: Settings, tmp_path: Path) -> None:
    said = shell(settings, tmp_path, "keys")
    assert '"rows":[[1]]' in said and "1 key of ana revoked" in said
    assert [line.split()[:4:2] for line in said.splitlines() if line.startswith("ana ")] == [["ana", "query"]]


def test_questions_to_start_from_are_answered() -> None:
    with Sandbox(shared().settings) as sandbox:
        found = {title: sandbox.query(sql).table.num_rows for title, sql in questions(DOCUMENT).items()}
    assert len(found) == DOCUMENT.read_text().count("\n### ") >= 8
    assert [title for title, rows in found.items() if not rows] == []


def test_defaults_are_those_of_the_settings() -> None:
    text = DOCUMENT.read_text()
    plain = Settings()
    for line in text[text.index("## Limits") : text.index("## The audit log")].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[1].startswith("`"):
            names = [name.strip("` ") for name in cells[1].split(",")]
            told = [float(number.replace(",", "")) for number in cells[2].split(", ")]
            assert told == [float(getattr(plain, name)) for name in names], line
