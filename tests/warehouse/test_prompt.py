"""The prompt of `playlake sql` in a real pseudo terminal."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from infra.settings import Settings
from tests.warehouse.lake import Lake
from tests.warehouse.terminal import Terminal

ASK = "SELECT rollup, sum(plays)::INT AS plays FROM metrics.quality_minute GROUP BY 1 ORDER BY 1"


def prompt(settings: Settings) -> Terminal:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PLAYLAKE_")} | settings.to_env()
    return Terminal([sys.executable, "-m", "playlake", "sql"], environment)


@pytest.fixture(scope="module")
def opened(standing_lake: Lake) -> Iterator[Terminal]:
    (standing_lake.settings.home / "sql_history").write_text("\n# 2026-01-14\n+SELECT 'asked the day before';\n")
    with prompt(standing_lake.settings) as terminal:
        assert "publish p1; minutes to 2026-01-15 11:59:00 UTC" in terminal.wait_for("playlake>")
        yield terminal


@pytest.fixture
def terminal(opened: Terminal) -> Terminal:
    """The one prompt of these tests, with nothing on its screen but itself."""
    opened.type("\x03")
    opened.clear()
    opened.wait_for("playlake>")
    return opened


def ask(terminal: Terminal, text: str, until: str) -> str:
    terminal.type(f"{text}\r")
    return terminal.wait_for(until)


def test_a_question_over_several_lines_is_in_the_history(terminal: Terminal, standing_lake: Lake) -> None:
    terminal.type("\x1b[A")  # the arrow up
    terminal.wait_for("SELECT 'asked the day before';")
    terminal.type("\x03SELECT rollup,\rsum(plays)::INT AS plays\rFROM quality_minute\rGROUP BY 1 ORDER BY 1;\r")
    shown = terminal.wait_for("(2 rows)")
    assert "rollup  plays\n------  -----\ntitle     600\ntotal     600\n(2 rows)" in shown
    terminal.wait_for(" ms\n")
    history = standing_lake.settings.home / "sql_history"
    assert "+sum(plays)::INT AS plays\n+FROM quality_minute\n+GROUP BY 1 ORDER BY 1;" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_ctrl_c_cancels_the_query_and_keeps_the_prompt(terminal: Terminal) -> None:
    ask(terminal, "SELECT 41 + 1 AS first;", "(1 row)")
    terminal.type("SELECT sum(hash(a.range)) FROM range(100000000) a, range(1000) b;\r")
    busy = _busy(terminal.process.pid)
    terminal.type("\x03")
    started = time.monotonic()
    terminal.wait_for("error: the query was cancelled")
    assert time.monotonic() - started < 3
    busy.wait(5)
    ask(terminal, "SELECT 42 + 1 AS second;", "    43")
    terminal.type("SELECT not finished\x03")  # nothing runs: only the line goes
    ask(terminal, "SELECT 43 + 1 AS third;", "   44")


def test_an_error_shows_its_place_and_the_prompt_stays(terminal: Terminal) -> None:
    ask(terminal, "SELECT playz FROM gold.quality_minute;", "Did you mean plays?")
    shown = terminal.wait_for("^").splitlines()
    [at] = [number for number, line in enumerate(shown) if line.startswith("LINE 1: SELECT playz")]
    assert shown[at + 1].index("^") == shown[at].index("playz")
    ask(terminal, "DELETE FROM gold.quality_minute;", "the warehouse is read only")
    ask(terminal, "\\nonsense", "there is no command \\nonsense")
    ask(terminal, "SELECT 40 + 2 AS answer;", "    42")


def test_completion(terminal: Terminal) -> None:
    terminal.type("SELECT stalled_sh")
    terminal.wait_for("stalled_share(  metric")
    terminal.type("\t")
    terminal.wait_for("SELECT stalled_share(")
    terminal.type("stall_ms, watched_ms) FROM metrics.quali")
    terminal.wait_for("quality_minute   table")
    terminal.type("\t")
    terminal.wait_for("FROM metrics.quality_minute")
    terminal.type(" WHERE minute > '2026-01-15';\r")
    terminal.wait_for("(1 row)")
    terminal.type("SELECT * FROM go")
    terminal.wait_for("table  Quality by minute")


def test_help(terminal: Terminal) -> None:
    shown = ask(terminal, "\\d", "silver.sessions")
    assert "metrics.quality_minute" in shown and "2026-01-15 11:59:00" in shown
    shown = ask(terminal, "\\d live.now", "viewers at this moment")
    [line] = [line for line in shown.splitlines() if line.startswith("concurrent ")]
    assert line.split()[:3] == ["concurrent", "bigint", "viewers"]
    ask(terminal, "\\d gold.quality_minut", "did you mean gold.quality_minute")
    ask(terminal, "\\dm Unit: stalls a minute", "stalls_per_minute(")
    ask(terminal, "\\?", "leave, like Ctrl-D")


def test_files_and_forms(terminal: Terminal, tmp_path: Path) -> None:
    ask(terminal, "\\timing", "timing is off")
    ask(terminal, f"\\o {tmp_path}/a.parquet", "answers go to")
    ask(terminal, f"{ASK};", "2 rows in ")
    assert pq.read_table(tmp_path / "a.parquet").to_pylist()[0] == {"rollup": "title", "plays": 600}
    ask(terminal, "\\o", "answers are shown here")
    ask(terminal, "\\format csv", "answers are csv")
    ask(terminal, f"{ASK};", "rollup,plays\ntitle,600\ntotal,600\n")
    ask(terminal, "\\format xml", "expected \\format table | csv | json | parquet, got 'xml'")
    ask(terminal, "\\format parquet", "say \\o FILE where to")
    ask(terminal, "SELECT 1;", "error: parquet is for files")
    assert " ms\n" not in terminal.text()
    ask(terminal, "\\format table", "answers are table")
    ask(terminal, "\\timing", "timing is on")


def test_leaving(terminal: Terminal) -> None:
    """The last test of this file: it ends the prompt."""
    terminal.type("\x04")
    assert terminal.wait_for_end() == 0


def _busy(pid: int) -> psutil.Process:
    """The child of the sandbox that computes."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for process in psutil.Process(pid).children(recursive=True):
            if process.ppid() != pid and process.cpu_times().user > 0.3:
                return process
        time.sleep(0.05)
    pytest.fail("no query runs")
