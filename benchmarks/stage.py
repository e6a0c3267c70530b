"""Where a measurement plays: a broker, topics and processes of its own, in a temporary folder on free ports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from infra import broker, topics
from infra.isolated import isolated_settings
from infra.settings import ROOT, Settings
from schemas.registry import LIVE_QUALITY, STREAM_STATE
from schemas.topic import Topic

STOP_S = 20.0


class Process:
    """A process of ours with its log; a whole group, so that children end with it."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        settings: Settings,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ):
        self.name = name
        self.log = settings.home / f"{name}.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [str(part) for part in argv], cwd=cwd, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                env=os.environ | settings.to_env() | dict(env or {}),
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.process.pid

    def check(self) -> None:
        """Raise RuntimeError when it has ended."""
        if self.process.poll() is not None:
            msg = f"{self.name} ended with {self.process.returncode}:\n{self.tail()}"
            raise RuntimeError(msg)

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to what is left after STOP_S."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, how: signal.Signals) -> None:
        try:
            os.killpg(self.process.pid, how)
        except ProcessLookupError:
            return


class Stage:
    """Settings, a running broker, and what has been started on it."""

    def __init__(self, home: Path, **changes: Any) -> None:
        self.settings = isolated_settings(home, **changes)
        self._started: list[Process] = []
        self._number = 0
        broker.prepare(self.settings)
        self.start("broker", broker.command(self.settings))
        topics.wait_ready(self.settings)

    def start(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Process:
        """A process that ends with the stage, at the latest."""
        process = Process(name, argv, self.settings, env)
        self._started.append(process)
        return process

    def python(self, name: str, *arguments: str) -> Process:
        """One of the platform's own modules."""
        return self.start(name, [sys.executable, "-m", *arguments])

    def make(self, *layouts: Topic) -> None:
        """Topics that are not there yet."""
        topics.ensure_topics(self.settings, layouts)

    def drop(self, *names: str) -> None:
        """Delete topics (those that exist)."""
        client = topics.admin(self.settings)
        there = [name for name in names if name in client.list_topics(timeout=30).topics]
        if there:
            for future in client.delete_topics(there, operation_timeout=30).values():
                future.result()
            topics.wait_known(self.settings, there, gone=True)

    def forget_stream(self) -> None:
        """The stream worker begins anew: no state, no live rows, no group."""
        self.drop(STREAM_STATE.name, LIVE_QUALITY.name)
        self.make(STREAM_STATE, LIVE_QUALITY)
        for path in self.settings.home.glob("stream-*"):
            if path.is_dir():
                shutil.rmtree(path)

    def fresh(self, prefix: str) -> str:
        """A name that nothing on this stage has had."""
        self._number += 1
        return f"{prefix}-{self._number}"

    def close(self) -> None:
        """Stop everything, the last started first."""
        for process in reversed(self._started):
            process.stop()


@contextmanager
def stage(**changes: Any) -> Iterator[Stage]:
    """A stage for the length of a block; `changes` are settings."""
    with tempfile.TemporaryDirectory(prefix="playlake-bench-") as home:
        one = Stage(Path(home), **changes)
        try:
            yield one
        finally:
            one.close()
