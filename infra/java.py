"""Which `java` runs Kafka and Spark."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from infra.errors import SetupError
from infra.settings import ROOT, Settings

OLDEST = 17
FROM_WHEEL = ROOT / ".java" / "bin" / "java"
"""Put there by set-up when the machine has none."""


def find(settings: Settings) -> Path:
    """Path of a `java` >= 17: the setting's, else JAVA_HOME's, PATH's, set-up's. Raises SetupError if there is none."""
    if settings.java:
        path = Path(settings.java).resolve()
        if version(path) < OLDEST:
            msg = f"PLAYLAKE_JAVA must be a java >= {OLDEST}, got {version(path)} at {path}"
            raise SetupError(msg)
        return path
    found = on_machine() or (FROM_WHEEL if FROM_WHEEL.is_file() else None)
    if found is None:
        msg = f"no java >= {OLDEST}: put one on PATH, set PLAYLAKE_JAVA to its path, or run `make setup` to fetch one"
        raise SetupError(msg)
    return found


def on_machine() -> Path | None:
    """The first of JAVA_HOME's and PATH's `java` that is new enough; one that is old or broken is passed over."""
    home = os.environ.get("JAVA_HOME")  # noqa: TID251 - the machine's variable, not a setting of ours
    for named in (f"{home}/bin/java" if home else None, shutil.which("java")):
        if named:
            path = Path(named).resolve()
            try:
                if version(path) >= OLDEST:
                    return path
            except SetupError:
                continue
    return None


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
