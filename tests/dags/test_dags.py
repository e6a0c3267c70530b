"""The DAGs as Airflow sees them, and what they run: its own interpreter answers, in its own environment."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from infra.settings import ROOT
from infra.waiting import until
from playlake import join
from tests.dags.conftest import Airflow

pytestmark = pytest.mark.timeout(400)

CHAIN = {
    "maintenance": ([], []),
    "silver": ([], ["silver"]),
    "gold": (["silver"], ["gold_staged"]),
    "quality": (["gold_staged"], ["gold_audited"]),
    "publish": (["gold_audited"], ["warehouse"]),
    "parity": (["warehouse"], []),
}
"""DAG → the assets that wake it, the assets that it updates."""
POOLS = {
    "maintenance": ["bronze", "silver"], "silver": ["silver"], "gold": ["gold"], "quality": ["gold"],
    "publish": ["gold"], "parity": ["bronze"],
}  # fmt: skip
"""DAG → the pool of each of its tasks."""


def test_dag_files_import_nothing_but_airflow_and_the_standard_library() -> None:
    own = {path.stem for path in (ROOT / "dags").glob("*.py")}
    for path in (ROOT / "dags").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | own | {"airflow"}, f"{path.name} imports {name}"


RESTATED = {
    ("scheduled", "2026-01-15T10:00+00:00", "2026-01-15T10:05+00:00"): [],
    ("manual", "", ""): [],
    ("backfill", "2026-01-15T00:00+00:00", "2026-01-16T00:00+00:00"): ["--from", "2026-01-15", "--to", "2026-01-15"],
    ("backfill", "2026-01-15T23:00+00:00", "2026-01-16T01:00+00:00"): ["--from", "2026-01-15", "--to", "2026-01-16"],
    ("manual", "", "", "2026-01-01", "2026-01-07"): ["--from", "2026-01-01", "--to", "2026-01-07"],
    ("manual", "", "", "2026-01-01", ""): ["--from", "2026-01-01", "--to", "2026-01-01"],
}
"""Type, start and end of a run, dates asked for in the form → arguments of its first command."""


@pytest.fixture(scope="session")
def dags(airflow_once: Airflow) -> dict[str, Any]:
    (seen,) = airflow_once.ask(["structure"])
    assert seen["errors"] == {}
    found: dict[str, Any] = seen["dags"]
    return found


@pytest.mark.airflow
def test_structure(dags: dict[str, Any]) -> None:
    assert set(dags) == set(CHAIN)
    for name, dag in dags.items():
        tasks = dag["tasks"].values()
        assert (dag["schedule"], [name for task in tasks for name in task["outlets"]]) == CHAIN[name]
        assert [task["pool"] for task in tasks] == POOLS[name]
        assert all(task["owner"] == "playlake" and task["retries"] > 0 for task in tasks)
        assert dag["file"] == f"{name}.py"
        assert (dag["paused"], dag["catchup"], dag["runs_at_once"]) == (False, False, 1)
        assert dag["tags"]
        assert len(dag["doc"]) > 200
    pools = json.loads((ROOT / "infra" / "airflow" / "pools.json").read_text())
    used = {name for names in POOLS.values() for name in names}
    assert {name: pool["slots"] for name, pool in pools.items()} == dict.fromkeys(used, 1)


@pytest.mark.airflow
def test_every_command_of_a_dag_exists(dags: dict[str, Any]) -> None:
    """Parsed by the real command line: an unknown command, argument or option is a usage error."""
    root: Any = get_command(join())
    for dag in dags.values():
        for task in dag["tasks"].values():
            for command in task["commands"]:
                context = root.make_context("playlake", list(command))
                name, chosen, rest = root.resolve_command(context, list(command))
                chosen.make_context(name, rest)


@pytest.mark.airflow
def test_timetable_follows_the_setting_and_a_run_knows_its_dates(airflow_home: Airflow) -> None:
    schedules, *dates = airflow_home.ask(["timetables", 5, 60, 240, 1440, 7], *(["dates", *run] for run in RESTATED))
    assert schedules == {
        "5": "CronDataIntervalTimetable */5 * * * *",
        "60": "CronDataIntervalTimetable 0 */1 * * *",
        "240": "CronDataIntervalTimetable 0 */4 * * *",
        "1440": "CronDataIntervalTimetable 0 0 * * *",
        "7": "DeltaDataIntervalTimetable",
    }
    assert dict(zip(RESTATED, dates, strict=True)) == RESTATED


@pytest.mark.airflow
def test_runs(airflow_home: Airflow) -> None:
    """Whole runs, one process: what was called, in which environment, and what becomes of the task."""
    dates = {"from": "2026-01-01", "to": "2026-01-02"}
    good, failed_check, nothing_new, other_failure = airflow_home.ask(
        ["run", "silver", dates, {}],
        ["run", "silver", {}, {"quality": "exit 1"}],
        ["run", "gold", {}, {"stage": "exit 99"}],
        ["run", "publish", {}, {"publish": "once 1"}],
    )
    assert good == {
        "state": "success",
        "tasks": {"silver": "success"},
        "argvs": [
            ["stage", "silver", "--from", "2026-01-01", "--to", "2026-01-02"],
            ["quality", "silver"],
            ["commit", "silver"],
        ],
        "environment": ["PLAYLAKE_SILVER_EVERY_MINUTES"],
    }
    # Bad data: failed at once, and nothing is committed.
    assert failed_check["tasks"] == {"silver": "failed"}
    assert failed_check["argvs"] == [["stage", "silver"], ["quality", "silver"]]
    # Nothing new: skipped, so no asset is updated and nobody is woken.
    assert nothing_new["tasks"] == {"gold": "skipped"}
    assert nothing_new["argvs"] == [["stage", "gold"]]
    # Anything else is tried again, from the first command.
    assert other_failure["tasks"] == {"publish": "success"}
    first, second, last = ["quality", "gold", "--if-needed"], ["publish"], ["warehouse-build"]
    assert other_failure["argvs"] == [first, second, first, second, last]


def held(airflow_home: Airflow) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A task whose command is running, with a child of its own."""
    airflow_home.tell("held", "hold")
    task = subprocess.Popen(
        airflow_home.command("hold"), env=airflow_home.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until("the task calls playlake", airflow_home.calls, 120)
    pids = airflow_home.calls()[0]["pids"]
    assert len(pids) == 2
    assert all(is_running(pid) for pid in pids)
    return task, pids


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.airflow
def test_stopping_a_task_ends_its_command_and_all_that_it_started(airflow_home: Airflow) -> None:
    task, pids = held(airflow_home)
    try:
        task.terminate()
        until("all that the task started has ended", lambda: not any(map(is_running, pids)), 20)
        assert task.wait(20) != 0
        assert [call["argv"] for call in airflow_home.calls()] == [["held"]], (
            "the next command must not start after the stop"
        )
    finally:
        task.kill()
        task.wait()


@pytest.mark.airflow
def test_a_task_that_is_killed_takes_its_command_with_it(airflow_home: Airflow) -> None:
    task, (command, child) = held(airflow_home)
    task.kill()
    task.wait()
    until("the command has ended", lambda: not is_running(command), 20)
    if is_running(child):
        os.kill(child, signal.SIGTERM)
