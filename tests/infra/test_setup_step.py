"""A step of the set-up: done once, again when its inputs change, told about when it fails, never left half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.errors import SetupError
from infra.settings import ROOT
from infra.setup.step import STAMP, Runner, Step


def counting_step(folder: Path, source: Path) -> tuple[Step, list[int]]:
    """A step that writes what its source says, and the list of its runs."""
    runs: list[int] = []

    def make(_: Runner) -> None:
        runs.append(1)
        folder.mkdir(exist_ok=True)
        (folder / "out").write_text(source.read_text())

    return Step("copying", folder, lambda: [source], make), runs


def test_a_step_runs_again_only_when_an_input_or_its_product_changes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("one")
    step, runs = counting_step(tmp_path / "product", source)

    def once() -> None:
        if not step.is_done():
            Runner().step(1, 1, step)

    once()
    once()
    assert len(runs) == 1
    source.write_text("two")
    once()
    assert len(runs) == 2
    assert (tmp_path / "product" / "out").read_text() == "two"
    (tmp_path / "product" / STAMP).unlink()
    once()
    assert len(runs) == 3


def test_an_input_that_changes_while_the_step_runs_makes_it_run_again(tmp_path: Path) -> None:
    source, product = tmp_path / "source", tmp_path / "product"
    source.write_text("one")
    product.mkdir()
    step = Step("copying", product, lambda: [source], lambda _: source.write_text("two") and None)
    Runner().step(1, 1, step)
    assert not step.is_done()


def test_a_failure_names_the_step_and_shows_the_end_of_the_output_and_is_not_stamped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "print(*range(1000), sep='\\n'); raise SystemExit(3)"
    step = Step("downloading", tmp_path, lambda: ["x"], lambda runner: runner.run([sys.executable, "-c", script]))
    with pytest.raises(SetupError, match=r"downloading: .*failed with exit code 3") as caught:
        Runner().step(2, 7, step)
    lines = str(caught.value).splitlines()
    assert lines[-1].strip() == "| 999"
    assert len(lines) < 30
    assert "[2/7] downloading" in capsys.readouterr().out
    assert not step.is_done()


def test_a_command_is_tried_again_as_often_as_asked(tmp_path: Path) -> None:
    script = (
        f"import pathlib; f = pathlib.Path({str(tmp_path / 'n')!r}); f.open('a').write('x'); exit(f.stat().st_size < 2)"
    )
    Runner(began=time.monotonic()).run([sys.executable, "-c", script], tries=2)
    assert (tmp_path / "n").read_text() == "xx"


def test_a_program_that_is_not_there_is_a_setup_error() -> None:
    with pytest.raises(SetupError, match="/no/such/program can't be started: No such file"):
        Runner(began=time.monotonic()).run(["/no/such/program"])


SCRIPT = """
import sys
from pathlib import Path
import infra.settings
from infra import bootstrap
from infra.setup.step import Step

product, seconds = Path(sys.argv[1]), sys.argv[2]
log = product.parent / "log"
command = f"import os, time; open({str(log)!r}, 'a').write(f'{{os.getpid()}} '); time.sleep({seconds})"

def make(runner):
    log.open("a").write("begin ")
    runner.run([sys.executable, "-c", command])
    product.mkdir(exist_ok=True)
    log.open("a").write("end ")

infra.settings.ROOT = product.parent
bootstrap.plan = lambda dev, bench: [Step("sleeping", product, lambda: ["x"], make)]
sys.argv = ["bootstrap"]
sys.exit(bootstrap.main())
"""


def start(product: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(product), str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_at_once_make_it_once(tmp_path: Path) -> None:
    both = [start(tmp_path / "product", 0.5) for _ in range(2)]
    outputs = [one.communicate(timeout=30)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], outputs
    lines = (tmp_path / "log").read_text().split()
    assert (lines[0], lines[-1], len(lines)) == ("begin", "end", 3)
    assert sum("another set-up of this folder is running" in text for text in outputs) == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopped_midway_it_leaves_no_child_and_the_next_run_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    one = start(tmp_path / "product", 60)
    child = wait_for_child(tmp_path / "log")
    one.send_signal(how)
    text, _ = one.communicate(timeout=30)
    assert one.returncode == 130
    assert "run the same command again" in text
    assert not is_alive(child)
    again = start(tmp_path / "product", 0)
    assert again.communicate(timeout=30)[0].count("done") == 1
    assert again.returncode == 0


def test_a_signal_while_a_child_is_being_started_ends_that_child_too(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []

    def start_slowly(*what: Any, **how: Any) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(*what, **how))
        signal.raise_signal(signal.SIGINT)
        return started[0]

    monkeypatch.setattr("infra.setup.step.subprocess", SimpleNamespace(**vars(subprocess) | {"Popen": start_slowly}))
    with pytest.raises(KeyboardInterrupt):
        Runner(began=time.monotonic()).run([sys.executable, "-c", "import time; time.sleep(60)"])
    assert started[0].returncode is not None


def test_killed_midway_its_child_keeps_the_next_run_out_until_it_has_ended(tmp_path: Path) -> None:
    one = start(tmp_path / "product", 3)
    child = wait_for_child(tmp_path / "log")
    one.kill()
    one.wait(10)
    again = start(tmp_path / "product", 0)
    assert is_alive(child)
    again.communicate(timeout=30)
    assert again.returncode == 0
    assert not is_alive(child)


def wait_for_child(log: Path) -> int:
    """Process id that the step's command wrote."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        numbers = [word for word in log.read_text().split() if word.isdigit()] if log.exists() else []
        if numbers:
            return int(numbers[0])
        time.sleep(0.02)
    pytest.fail("the step's command did not start")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child whose parent was killed may stay as a zombie where nobody reaps.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
