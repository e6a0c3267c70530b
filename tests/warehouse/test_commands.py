"""`playlake sql` and `playlake warehouse-build` as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest

from infra.settings import ROOT, Settings
from tests.warehouse.lake import NOON, Lake


def playlake(settings: Settings, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PLAYLAKE_")} | settings.to_env()
    command = [sys.executable, "-m", "playlake", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, input=stdin, capture_output=True, text=True, timeout=120)


SQL = "SELECT rollup, sum(plays) AS plays FROM metrics.quality_minute GROUP BY rollup ORDER BY rollup"


def test_forms(published: Lake) -> None:
    table = playlake(published.settings, "sql", SQL)
    assert table.stdout.splitlines() == ["rollup  plays", "------  -----", "title     600", "total     600", "(2 rows)"]
    assert playlake(published.settings, "sql", "--format", "csv", SQL).stdout == "rollup,plays\ntitle,600\ntotal,600\n"
    body = json.loads(playlake(published.settings, "sql", "--format", "json", "-", stdin=SQL).stdout)
    assert body["rows"] == [["title", 600], ["total", 600]]


def test_a_cut_answer_says_so(published: Lake) -> None:
    done = playlake(published.settings, "sql", "--format", "csv", "--max-rows", "1", SQL)
    assert (done.stdout, done.stderr) == ("rollup,plays\ntitle,600\n", "the first 1 rows; there are more\n")


@pytest.mark.parametrize(
    ("sql", "words"), [("DELETE FROM gold.quality_minute", "read only"), ("SELECT nope", "nope"), ("", "empty")]
)
def test_errors_are_one_message_and_exit_code_1(published: Lake, sql: str, words: str) -> None:
    done = playlake(published.settings, "sql", sql)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_published_yet(settings: Settings) -> None:
    assert "nothing has been published" in playlake(settings, "sql", "SELECT 1").stderr
    assert "nothing has been published" in playlake(settings, "warehouse-build").stderr


def test_build_puts_the_request_in_force(published: Lake) -> None:
    published.request("p2", {"gold.quality_minute": 0}, NOON + timedelta(minutes=1))
    done = playlake(published.settings, "warehouse-build")
    assert "publish p2 is in force: gold-p2.duckdb" in done.stdout
    assert playlake(published.settings, "sql", "--format", "csv", "SELECT publish_id FROM main.meta").stdout == (
        "publish_id\np2\n"
    )
