"""Set-up: what it says to a Python that is too old, and a fresh checkout from nothing to a working command."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra import bootstrap
from infra.settings import ROOT


def test_a_python_that_is_too_old_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match=r"playlake needs Python 3\.11 to 3\.13; this is .* PYTHON="):
        bootstrap.main()


def test_an_old_python_can_read_the_file_that_tells_it() -> None:
    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 7))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a clone would hold, including what is not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    folder = tmp_path / "clone"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def _outside_make() -> dict[str, str]:
    """The environment as a person's shell has it, also when `make test` runs this."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


MAKE = ["make", "--no-print-directory", "setup", f"PYTHON={sys.executable}"]
UNCOMPILED = """
from infra import bootstrap

plan = bootstrap.plan
bootstrap.plan = lambda **asked: [step for step in plan(**asked) if step.title != "Compiled functions"]
raise SystemExit(bootstrap.main())
"""
"""Set-up without its longest step, which needs nothing but our own environment."""


@pytest.mark.setup
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param([sys.executable, "-c", UNCOMPILED], id="uncompiled"),
        pytest.param(MAKE, id="all"),
    ],
)
def test_a_fresh_checkout_recovers_from_a_failed_download_and_is_then_complete(
    checkout: Path, tmp_path: Path, command: list[str]
) -> None:
    def set_up(**env: str) -> tuple[int, str, float]:
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=checkout, capture_output=True, text=True, timeout=800, env=_outside_make() | env,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr, time.monotonic() - began

    # Nothing listens on port 9: every download fails, and there is no cache to take its place.
    offline = {
        "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple",
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "UV_HTTP_RETRIES": "0",
    }
    code, text, _ = set_up(**offline)
    assert code != 0
    assert "Python environment: `uv` failed with exit code" in text
    assert "127.0.0.1:9" in text
    assert "run the same command again" in text

    code, text, _ = set_up()
    assert code == 0, text
    assert "Tools" not in text, "a step that had succeeded was run again"

    again = [set_up() for _ in range(3)]
    assert {(code, text) for code, text, _ in again} == {(0, "")}
    assert min(seconds for *_, seconds in again) < 1

    shown = subprocess.run(
        [checkout / ".venv" / "bin" / "playlake", "--help"], cwd="/", capture_output=True, text=True, timeout=30
    )
    assert shown.returncode == 0, shown.stderr
    for made in (".venv-airflow/bin/airflow", ".jars/kafka", ".jars/spark", *[".compiled"] * (command is MAKE)):
        assert (checkout / made).exists()
