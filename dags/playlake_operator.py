"""The one operator of all DAGs: run `playlake` commands as child processes, in their own interpreter.

A DAG file says when, and with which arguments; what happens is in the commands, which run the same by hand. Airflow
lives in an environment of its own, so nothing of the platform is imported here. `PLAYLAKE_CLI` holds the path of the
executable.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context

Arguments = Callable[["Context"], list[str]]

NOTHING_TO_DO = 99
"""Exit code of a command that found nothing new: the task is skipped, so it emits no asset and wakes nobody."""
CHECK_FAILED = ("quality", 1)
"""The audit found bad data: trying again would find the same data, so the task fails at once."""

DEFAULTS: dict[str, Any] = {
    "owner": "playlake",
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": 2,
    "max_retry_delay": timedelta(minutes=5),
    "execution_timeout": timedelta(hours=2),
}

_PR_SET_PDEATHSIG = 1
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)  # looked up before the fork
_STOP_S = 3.0  # Airflow sends SIGKILL 5 s after SIGTERM: be done before
_LAST_LINES = 30


class PlaylakeOperator(BaseOperator):
    """Run `playlake` commands one after another; it fails when one does, with the last lines of its output.

    Several commands in one task hold one slot of the pool from the first to the last, so that nobody else's stage comes
    between a stage and its commit. A retry begins with the first.

    commands:  argument vectors, without the executable.
    arguments: what the run adds to the first of them.
    """

    template_fields: Sequence[str] = ("commands",)
    ui_color = "#dfeaf5"

    def __init__(self, *, commands: Sequence[Sequence[str]], arguments: Arguments | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.commands = commands
        self.arguments = arguments
        self._child: subprocess.Popen[bytes] | None = None
        self._is_killed = False

    def execute(self, context: Context) -> None:
        first, *others = self.commands
        for command in ([*first, *(self.arguments(context) if self.arguments else [])], *others):
            self._run(command)

    def _run(self, command: Sequence[str]) -> None:
        self.log.info("running playlake %s", " ".join(command))
        self._child = subprocess.Popen(
            [_executable(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=child_environment(os.environ),
            start_new_session=True,  # a process group of its own, so that on_kill reaches grandchildren too
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, no locks
        )
        last: deque[str] = deque(maxlen=_LAST_LINES)
        assert self._child.stdout is not None
        for raw in self._child.stdout:
            line = raw.decode(errors="backslashreplace").rstrip()
            last.append(line)
            self.log.info("%s", line)
        code = self._child.wait()
        if self._is_killed:  # a command that stops cleanly exits 0, and yet has not done its work
            # Whoever stopped it by hand has said what state the task is in, and that stands. Otherwise it was Airflow's
            # own supervisor that lost its server: then it is tried again.
            msg = f"playlake {' '.join(command)} was stopped"
            raise AirflowException(msg)
        self._judge(command, code, last)

    def _judge(self, command: Sequence[str], code: int, last: Sequence[str]) -> None:
        name = f"playlake {' '.join(command)}"
        if code == 0:
            return
        if code == NOTHING_TO_DO:
            raise AirflowSkipException(last[-1] if last else f"{name} had nothing to do")
        died = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        msg = "\n".join([f"{name} {died}, expected 0; its last lines:", *last])
        raise AirflowFailException(msg) if (command[0], code) == CHECK_FAILED else AirflowException(msg)

    def on_kill(self) -> None:
        """Marked failed, cleared, timed out or stopped: end the whole process group, politely first."""
        self._is_killed = True
        child = self._child
        if child is None or child.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        end = time.monotonic() + _STOP_S
        while child.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # whoever is left of the group, even when its leader has gone


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what belongs to Airflow's interpreter; the platform's own settings pass through."""
    foreign = ("AIRFLOW", "_AIRFLOW", "PYTHON", "VIRTUAL_ENV", "PLAYLAKE_CLI")
    return {name: value for name, value in environ.items() if not name.startswith(foreign)}


def _executable() -> str:
    path = os.environ.get("PLAYLAKE_CLI", "")
    if not os.access(path, os.X_OK):
        msg = f"PLAYLAKE_CLI must be the path of the playlake executable, got {path!r}"
        raise AirflowFailException(msg)
    return path


def _die_with_parent() -> None:
    """Linux: a child whose task process was killed outright gets SIGTERM; elsewhere only on_kill ends it."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM)
