"""The dashboard's own checks: types, and the tests that stand beside its sources."""

from __future__ import annotations

import os
import subprocess

from infra.setup.pages import PAGES, npm_command


def test_the_pages_pass_their_own_checks() -> None:
    npm, env = npm_command()
    done = subprocess.run(
        [*npm, "run", "check"], cwd=PAGES, env=os.environ | env, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
