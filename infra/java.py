"""Which `java` runs Kafka and Spark."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from infra.errors import SetupError
from infra.settings import Settings

OLDEST = 17


def find(settings: Settings) -> Path:
    """Path of a `java` >= 17. Raises SetupError when there is none."""
    named = settings.java or shutil.which("java")
    if not named:
        msg = f"no java >= {OLDEST}: set PLAYLAKE_JAVA to the path of one, put one on PATH, or run `make setup`"
        raise SetupError(msg)
    path = Path(named).resolve()
    found = version(path)
    if found < OLDEST:
        msg = f"java must be >= {OLDEST}, got {found} at {path}; set PLAYLAKE_JAVA to the path of a newer one"
        raise SetupError(msg)
    return path


@cache
def version(path: Path) -> int:
    """The major version that this `java` reports. Raises SetupError when it does not run."""
    try:
        done = subprocess.run([str(path), "-version"], capture_output=True, text=True, timeout=30, check=False)
    except OSError as error:
        msg = f"{path} can't be run: {error.strerror}"
        raise SetupError(msg) from None
    match = re.search(r'version "(\d+)', done.stderr + done.stdout)
    if done.returncode or not match:
        msg = f"{path} -version does not say which Java it is: {(done.stderr or done.stdout).strip()[:200]}"
        raise SetupError(msg)
    return int(match[1])
