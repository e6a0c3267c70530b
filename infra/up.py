"""Bringing the platform up and down: in the foreground, in the background, and after a supervisor that has died.

`python -m infra.up [PART TO LEAVE OUT ...]` is the background's supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from io import TextIOWrapper

from infra import log, preflight, process_tree, run_state, supervisor_metrics
from infra.errors import PlaylakeError, ProcessError
from infra.log_files import LogFiles
from infra.processes import Part, parts
from infra.run_state import Lock, RunState
from infra.settings import ROOT, Settings
from infra.supervisor import Supervisor

logger = logging.getLogger("infra.supervisor")

Show = Callable[[RunState], None]
SUPERVISOR = "supervisor"
STOP_TIMEOUT_S = 90.0


def foreground(settings: Settings, without: Sequence[str], show: Show) -> bool:
    """Run until stopped by a signal. False: another supervisor runs this state folder already.

    Raises ProcessError when a port is in use (before anything is started) or the platform does not come up.
    """
    wanted = parts(settings, without)
    lock = Lock(settings)
    if not lock.take():
        return False
    try:
        _supervise(settings, wanted, show)
    finally:
        lock.release()
    return True


def detached(settings: Settings, without: Sequence[str], show: Show) -> bool:
    """Start a supervisor in the background and return when all parts are up. False: one is running already.

    Raises ProcessError as `foreground` does; then nothing is left running.
    """
    wanted = parts(settings, without)
    lock = Lock(settings)
    if not lock.take():
        return False
    try:
        preflight.end_orphans(settings)
        preflight.check_ports(settings, wanted)
    finally:
        lock.release()
    with LogFiles(settings).open(SUPERVISOR) as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "infra.up", *without],
            cwd=ROOT,
            env=process_tree.environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        return _follow(settings, child, show)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise


def _follow(settings: Settings, child: subprocess.Popen[bytes], show: Show) -> bool:
    """Show how the supervisor in the background gets on, until all parts are up."""
    while True:
        ended = child.poll() is not None
        state = run_state.read(settings)
        ours = state if state and state.pid == child.pid else None
        if ours:
            show(ours)
            if ours.phase == "up":
                return True
        if ended:
            why = ours.why if ours else LogFiles(settings).tail(SUPERVISOR)
            msg = why or f"the supervisor ended with exit code {child.returncode}"
            raise ProcessError(msg)
        time.sleep(0.2)


def down(settings: Settings, show: Show) -> str:
    """Stop everything of this state folder; one sentence about what was done. Raises ProcessError when it can't."""
    living = run_state.supervisor(settings)
    if living:
        living.terminate()
        end = time.monotonic() + STOP_TIMEOUT_S
        while process_tree.is_alive(living):
            state = run_state.read(settings)
            if state:
                show(state)
            if time.monotonic() > end:
                living.kill()
                process_tree.wait_gone(living, 5)
                break
            time.sleep(0.1)
    lock = Lock(settings)
    if not lock.take():
        msg = (
            f"{settings.home} is locked by a supervisor that can't be found: expected its state in {settings.home}/run"
        )
        raise ProcessError(msg)
    try:
        orphans = preflight.end_orphans(settings)
        if orphans and not living:
            run_state.forget_processes(settings)
    finally:
        lock.release()
    if living:
        return "all parts are stopped" + (f"; {len(orphans)} processes had to be ended one by one" if orphans else "")
    if orphans:
        return f"no supervisor was running; {len(orphans)} processes that it had left behind are ended"
    return "nothing was running"


def _supervise(settings: Settings, wanted: Sequence[Part], show: Show) -> None:
    """Under the lock."""
    orphans = preflight.end_orphans(settings)
    preflight.check_ports(settings, wanted)
    with TextIOWrapper(LogFiles(settings).open(SUPERVISOR), line_buffering=True) as out:
        log.setup(SUPERVISOR, stream=out)
        if orphans:
            logger.warning("ended what a former supervisor had left behind", extra={"pids": orphans})
        runner = Supervisor(settings, wanted, changed=show)
        supervisor_metrics.serve(settings, runner.state)
        asyncio.run(runner.run())


if __name__ == "__main__":
    try:
        foreground(Settings.from_env(), sys.argv[1:], show=lambda _: None)
    except PlaylakeError as error:
        logger.error("%s", error)
        sys.exit(1)
