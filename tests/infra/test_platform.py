"""The real platform, all parts: it comes up, survives, listens on loopback only, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra import process_tree
from infra.airflow import environment as airflow
from infra.processes import PLAYLAKE, parts
from infra.settings import Settings
from infra.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def playlake(settings: Settings) -> Iterator[Command]:
    """Run a command on this test's state folder; everything is down at the end."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = process_tree.environment(settings)
        return subprocess.run([PLAYLAKE, *arguments], env=env, capture_output=True, text=True, timeout=600)

    yield run
    run("down")
    left = process_tree.marked(settings.home)
    for process in left:
        process.kill()
    assert not left


def test_all_parts_come_up_survive_and_go(settings: Settings, playlake: Command) -> None:
    began = playlake("up", "--detach")
    assert began.returncode == 0, began.stdout + began.stderr
    user, password = airflow.login(settings)
    assert f"user {user}, password {password}" in began.stdout

    names = [part.name for part in parts(settings)]
    told = status(playlake)
    assert {part["name"]: part["state"] for part in told["parts"]} == {
        name: "done" if name in ("topics", "airflow-init") else "healthy" for name in names
    }
    assert told["phase"] == "up"
    assert playlake("status").returncode == 0

    found = {finding["what"]: finding for finding in json.loads(playlake("doctor", "--json").stdout)}
    assert not [finding for finding in found.values() if finding["verdict"] == "bad"]
    assert "all on loopback" in found["sockets"]["detail"]
    assert "topics as their contracts say" in found["topics"]["detail"]

    assert sign_in(settings, user, password)
    assert "already up" in playlake("up").stdout

    before = {part["name"]: part for part in told["parts"]}
    for name in ("sink", "airflow-triggerer", "broker"):
        os.kill(before[name]["pid"], signal.SIGKILL)
    until(
        "every part is up, the killed ones again",
        lambda: all_back(status(playlake), before),
        240,
        every_s=1,
        seen=lambda: status(playlake),
    )
    scraped = urllib.request.urlopen(f"http://127.0.0.1:{settings.supervisor_port}/metrics", timeout=10).read().decode()
    for name in names:
        assert f'playlake_part_up{{part="{name}",state=' in scraped
    assert 'playlake_part_restarts_total{part="broker"} 1.0' in scraped

    gone = playlake("down")
    assert (gone.returncode, gone.stdout.splitlines()[-1]) == (0, "all parts are stopped")
    assert not process_tree.marked(settings.home)
    assert {part["state"] for part in status(playlake)["parts"]} == {"stopped", "done"}


def status(playlake: Command) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(playlake("status", "--json").stdout)
    return told


def all_back(told: dict[str, Any], before: dict[str, dict[str, Any]]) -> bool:
    killed = {part["name"]: part for part in told["parts"] if part["name"] in ("sink", "airflow-triggerer", "broker")}
    well = all(part["state"] in ("healthy", "done") for part in told["parts"])
    return well and all(part["restarts"] >= 1 and part["pid"] != before[name]["pid"] for name, part in killed.items())


def sign_in(settings: Settings, user: str, password: str) -> str:
    body = json.dumps({"username": user, "password": password}).encode()
    request = urllib.request.Request(
        f"{airflow.url(settings)}/auth/token", body, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["access_token"])
