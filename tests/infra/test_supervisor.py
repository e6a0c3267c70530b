"""The supervisor with small real processes: order, restarts, refusals, and nothing left behind."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from infra import process_tree, run_state, up
from infra.run_state import RunState
from infra.settings import ROOT, Settings
from infra.waiting import until

RUNNER = Path(__file__).with_name("small_parts.py")


class Run:
    """A supervisor of small parts in a process of its own."""

    def __init__(self, settings: Settings, **parts: dict[str, object]) -> None:
        self.settings = settings
        given = {"settings": {"home": str(settings.home), "supervisor_port": settings.supervisor_port}, "parts": parts}
        self.process = subprocess.Popen(
            [sys.executable, str(RUNNER), json.dumps(given)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def state(self) -> RunState | None:
        state = run_state.read(self.settings)
        return state if state and state.pid == self.process.pid else None

    def part_is(self, name: str, *states: str) -> bool:
        return self.state is not None and self.state.part(name).state in states

    def wait(self, what: Callable[[], bool], timeout_s: float = 15) -> None:
        until("what the test waits for", what, timeout_s, every_s=0.02, seen=lambda: self.state)

    def up(self) -> Run:
        self.wait(lambda: self.state is not None and self.state.phase == "up")
        return self

    def ends(self, timeout_s: float = 20) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out


@pytest.fixture
def start(settings: Settings) -> Iterator[Callable[..., Run]]:
    """Start a supervisor of the given parts; whatever is left at the end is killed and fails the test."""
    runs: list[Run] = []

    def start(**parts: dict[str, object]) -> Run:
        runs.append(Run(settings, **parts))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.ends()
    left = process_tree.marked(settings.home)
    for process in left:
        process.kill()
    assert not left


def events(settings: Settings, file: str = "events") -> list[str]:
    path = settings.home / file
    return path.read_text().split() if path.exists() else []


def log_of(settings: Settings, name: str) -> str:
    return (settings.logs / f"{name}.log").read_text()


def test_a_part_starts_when_what_it_needs_is_healthy_and_stops_before_it(start: Callable[..., Run]) -> None:
    run = start(
        front={"kind": "http", "needs": ["store"], "slow_end_s": 0.5},
        store={"kind": "http", "needs": ["once"], "slow_s": 0.7},
        once={"kind": "once"},
        alone={"kind": "http"},
    ).up()
    run.process.send_signal(signal.SIGINT)
    assert run.ends()[0] == 0
    seen = events(run.settings)
    order = [seen.index(event) for event in ("once+", "store+", "store!", "front+", "front-", "front.", "store-")]
    assert order == sorted(order)
    assert seen.index("alone+") < seen.index("store!")
    assert run.state is not None
    assert {part.name: part.state for part in run.state.parts} == {
        "front": "stopped", "store": "stopped", "once": "done", "alone": "stopped",
    }  # fmt: skip


def test_a_killed_part_comes_back_and_its_children_do_not_linger(start: Callable[..., Run]) -> None:
    run = start(part={"kind": "http", "child": True, "grace_s": 1.0}).up()
    assert run.state is not None
    before = run.state.part("part").pid
    children = [process.pid for process in process_tree.tree(before)[1:]]
    assert len(children) == 2, "one in the group, one in a session of its own"
    os.kill(before, signal.SIGKILL)
    run.wait(lambda: run.part_is("part", "healthy") and run.state is not None and run.state.part("part").pid != before)
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in children)
    assert run.state.part("part").restarts == 1
    page = urllib.request.urlopen(f"http://127.0.0.1:{run.settings.supervisor_port}/metrics").read().decode()
    assert 'playlake_part_restarts_total{part="part"} 1.0' in page
    assert 'playlake_part_up{part="part",state="healthy"} 1.0' in page


def test_pauses_between_restarts_grow(start: Callable[..., Run]) -> None:
    run = start(part={"kind": "http"}).up()
    (run.settings.home / "fail").touch()
    assert run.state is not None
    os.kill(run.state.part("part").pid, signal.SIGKILL)
    run.wait(lambda: run.state is not None and run.state.part("part").restarts >= 4)
    starts = [float(line) for line in events(run.settings, "starts.part")]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    announced = [float(s) for s in re.findall(r"next start in ([\d.]+) s", log_of(run.settings, "supervisor"))]
    assert announced[:4] == [0.1, 0.2, 0.4, 0.8]
    assert all(gap >= pause for gap, pause in zip(gaps, announced, strict=False))
    (run.settings.home / "fail").unlink()
    run.wait(lambda: run.part_is("part", "healthy"), timeout_s=30)


def test_once_up_a_part_that_can_not_be_prepared_is_tried_again(start: Callable[..., Run]) -> None:
    run = start(part={"kind": "http", "needs_file": True}, other={"kind": "http"}).up()
    assert run.state is not None
    (run.settings.home / "unprepared").touch()
    os.kill(run.state.part("part").pid, signal.SIGKILL)
    run.wait(lambda: run.state is not None and "could not be started: no file" in run.state.part("part").why)
    assert run.part_is("other", "healthy")
    (run.settings.home / "unprepared").unlink()
    run.wait(lambda: run.part_is("part", "healthy"))


def test_a_part_that_never_comes_up_fails_the_start_with_its_last_words(start: Callable[..., Run]) -> None:
    run = start(good={"kind": "http"}, bad={"kind": "broken"})
    code, out = run.ends()
    assert code == 1
    assert "bad ended with exit code 3, 3 times in a row" in out
    assert "no such thing" in out
    assert events(run.settings)[-1] == "good."


def test_a_part_that_stops_answering_is_replaced(start: Callable[..., Run]) -> None:
    run = start(part={"kind": "http"}).up()
    assert run.state is not None
    before = run.state.part("part").pid
    os.kill(before, signal.SIGSTOP)
    run.wait(lambda: run.part_is("part", "unhealthy"), timeout_s=40)
    run.wait(lambda: run.part_is("part", "healthy") and run.state is not None and run.state.part("part").pid != before)


def test_a_part_that_ignores_sigterm_is_killed_after_its_grace(start: Callable[..., Run]) -> None:
    run = start(part={"kind": "http", "stubborn": True, "child": True, "grace_s": 1.0}).up()
    began = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    assert run.ends()[0] == 0
    assert 1.0 <= time.monotonic() - began < 15


def test_down_finds_what_a_killed_supervisor_left_behind(start: Callable[..., Run], settings: Settings) -> None:
    run = start(part={"kind": "http", "stubborn": True, "child": True, "grace_s": 0.5}).up()
    run.process.kill()
    run.ends()
    assert len(process_tree.marked(settings.home)) == 3
    assert "3 processes that it had left behind" in up.down(settings, lambda _: None)
    assert not process_tree.marked(settings.home)
    state = run_state.read(settings)
    assert state is not None
    assert state.phase == "stopped"
    assert up.down(settings, lambda _: None) == "nothing was running"


def test_the_next_start_replaces_what_a_killed_supervisor_left_behind(start: Callable[..., Run]) -> None:
    first = start(part={"kind": "http", "stubborn": True, "grace_s": 0.5}).up()
    assert first.state is not None
    orphan = first.state.part("part").pid
    first.process.kill()
    first.ends()
    second = start(part={"kind": "http", "stubborn": True, "grace_s": 0.5}).up()
    assert second.state is not None
    assert second.state.part("part").pid != orphan
    assert not psutil.pid_exists(orphan)


def test_parts_end_with_their_supervisor(start: Callable[..., Run], settings: Settings) -> None:
    run = start(part={"kind": "http"}).up()
    run.process.kill()
    run.ends()
    run.wait(lambda: not process_tree.marked(settings.home), timeout_s=5)


def test_a_recycled_process_id_is_never_ended(settings: Settings) -> None:
    """A state file that names a living process of somebody else, started at another time."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        wrong = psutil.Process(other.pid).create_time() - 100
        part = run_state.PartState("part", state="healthy", pid=other.pid, started=wrong)
        run_state.write(settings, RunState(pid=other.pid, started=wrong, parts=[part]))
        try:
            assert up.down(settings, lambda _: None) == "nothing was running"
            assert other.poll() is None
        finally:
            other.kill()


def test_a_second_start_is_told_that_the_first_is_up(start: Callable[..., Run]) -> None:
    first = start(part={"kind": "http"}).up()
    code, out = start(part={"kind": "http"}).ends()
    assert (code, out.strip()) == (0, "already up")
    assert first.process.poll() is None


def test_ports_in_use_are_named_before_anything_starts(start: Callable[..., Run], settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.supervisor_port))
        taken.listen()
        code, out = start(part={"kind": "http"}).ends()
    assert code == 1
    assert f"nothing was started: port {settings.supervisor_port} (supervisor) is in use by pid {os.getpid()} (" in out
    assert not events(settings)


def test_the_state_file_is_read_as_it_was_written(settings: Settings) -> None:
    state = run_state.new([run_state.PartState("a", state="healthy", pid=1, url="http://x", ports=[1, 2])])
    run_state.write(settings, state)
    assert asdict(run_state.read(settings) or state) == asdict(replace(state))
