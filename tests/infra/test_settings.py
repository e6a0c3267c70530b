"""Settings that contradict what the platform can do are refused before anything begins."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from typer.main import get_command

from infra.errors import SettingsError
from infra.settings import ROOT, Settings
from playlake import join

ELSEWHERE = "s3://bucket/lake"
EXPECTED = r"PLAYLAKE_LAKE must be a folder, e\.g\. /data/lake, got s3://bucket/lake: "
WITH_A_LAKE = (
    "stage silver", "stage gold --whole", "commit silver", "publish", "tidy", "batch", "rebuild gold", "maintain",
    "quality silver", "warehouse-build", "reconcile", "parity", "deadletters list", "up",
)  # fmt: skip


@pytest.mark.parametrize("command", WITH_A_LAKE)
def test_a_lake_that_is_no_folder_is_refused_before_a_command_begins(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLAYLAKE_LAKE", ELSEWHERE)
    monkeypatch.setenv("PLAYLAKE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=EXPECTED):
        get_command(join())(command.split(), standalone_mode=False)
    assert list(tmp_path.iterdir()) == [], "nothing was made, least of all a folder `s3:`"


def test_it_is_one_line_and_an_exit_code() -> None:
    told = subprocess.run(
        [ROOT / ".venv/bin/playlake", "stage", "silver"],
        env={**os.environ, "PLAYLAKE_LAKE": ELSEWHERE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
    assert told.stderr.startswith("error: PLAYLAKE_LAKE must be a folder")


def test_a_query_has_a_thread() -> None:
    with pytest.raises(SettingsError, match="PLAYLAKE_QUERY_THREADS must be 1 or more, got 0"):
        Settings(query_threads=0)


def test_however_the_settings_are_made() -> None:
    with pytest.raises(SettingsError, match=EXPECTED):
        Settings(lake=ELSEWHERE)
    with pytest.raises(SettingsError, match="got file:///data/lake"):
        replace(Settings(), lake="file:///data/lake")


def test_a_folder_is_the_same_for_child_processes_that_work_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_env({"PLAYLAKE_LAKE": "lake"})
    assert settings.lake_root == settings.to_env()["PLAYLAKE_LAKE"] == f"{tmp_path}/lake"
    assert Settings.from_env({}).lake_root == f"{Settings().home}/lake"
    assert "PLAYLAKE_LAKE" not in Settings.from_env({}).to_env()
