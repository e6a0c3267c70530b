"""Starts the parts in the order of their needs, keeps them up, and stops all of them.

One asyncio task a part: wait for what it needs, start it in a process group of its own, ask for its health, restart it
with a growing pause when it ends. While the platform comes up, a part that fails for good ends the whole start with
its reason; once it is up, a part is restarted for as long as it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from infra import process_tree, run_state
from infra.errors import PlaylakeError, ProcessError
from infra.health import NoWitnessError
from infra.log_files import LogFiles
from infra.processes import Part
from infra.run_state import PartState, RunState
from infra.settings import Settings

LAUNCH = (sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")))

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Policy:
    """How patient the supervisor is, in seconds."""

    first_pause: float = 0.5
    longest_pause: float = 30.0
    proven_after: float = 60.0
    """A part that has been up so long starts over with the shortest pause when it ends."""
    tries: int = 3
    """Ends of a part, before it was ever healthy, after which the start has failed."""
    ask_starting: float = 0.3
    ask_healthy: float = 5.0
    unhealthy_after: int = 3
    """Unanswered questions after which a part counts as unhealthy."""
    replace_after: float = 180.0
    """How long a part may be unhealthy before it is killed and started anew."""


@dataclass
class _Running:
    part: Part
    state: PartState
    process: Process | None = None
    up: asyncio.Event = field(default_factory=asyncio.Event)
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a process is made, so that stopping never overlooks one."""
    tries: int = 0
    was_up: bool = False


class Supervisor:
    """Runs the parts until it is told to stop. `changed` is called with the whole state whenever a part's changes."""

    def __init__(
        self,
        settings: Settings,
        parts: Sequence[Part],
        changed: Callable[[RunState], None] = lambda _: None,
        policy: Policy | None = None,
    ) -> None:
        self.settings = settings
        self.policy = policy or Policy()
        self._changed = changed
        self._logs = LogFiles(settings)
        self._all = {
            part.name: _Running(part, PartState(part.name, url=part.url, ports=list(part.ports), grace_s=part.grace_s))
            for part in parts
        }
        self.state = run_state.new([running.state for running in self._all.values()])
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Start, keep up, stop. Raises ProcessError when the platform did not come up."""
        loop = asyncio.get_running_loop()
        # A part that hangs must not keep the others from being asked.
        loop.set_default_executor(ThreadPoolExecutor(2 * len(self._all) + 4, "supervisor"))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled)
        self._say()
        keepers = [asyncio.create_task(self._keep(running), name=name) for name, running in self._all.items()]
        helpers = [asyncio.create_task(self._announce_up()), asyncio.create_task(self._logs.keep_small())]
        stopped = asyncio.create_task(self._stop.wait())
        pending, bug = {stopped, *keepers, *helpers}, None
        while not self._stop.is_set() and not bug:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            bug = next((task.exception() for task in done if task.exception()), None)
        self._stop.set()
        for task in [stopped, *helpers]:
            task.cancel()
        await self._stop_all(keepers)
        self.state.phase = "failed" if self.state.why else "stopped"
        self._say()
        if bug:
            raise bug
        if self.state.why:
            raise ProcessError(self.state.why)

    def stop(self) -> None:
        self._stop.set()

    # --- one part ---------------------------------------------------------------------------------------------------

    async def _keep(self, running: _Running) -> None:
        part, pause = running.part, self.policy.first_pause
        for name in part.needs:
            if name in self._all:
                await self._unless_stopped(self._all[name].up.wait())
        while not self._stop.is_set():
            if part.once and part.is_done():
                self._come_up(running, "done")
                return
            try:
                if not await self._start(running):
                    return
            except (PlaylakeError, OSError) as error:
                if not running.was_up:
                    self._give_up(running, str(error))
                    return
                how = f"could not be started: {error}"
            else:
                code = await self._watch(running)
                if self._stop.is_set():
                    return
                await self._end_leftovers(running)
                if part.once and code == 0:
                    part.finish()
                    self._come_up(running, "done")
                    return
                how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            running.tries += 1
            if not running.was_up and running.tries >= self.policy.tries:
                last = self._logs.tail(part.name)
                self._give_up(running, f"{part.name} {how}, {running.tries} times in a row; its last words:\n{last}")
                return
            if time.time() - running.state.started > self.policy.proven_after:
                pause = self.policy.first_pause
            self._set(running, "backing off", why=f"{how}; next start in {pause:.1f} s")
            await self._unless_stopped(asyncio.sleep(pause))
            pause = min(pause * 2, self.policy.longest_pause)
            running.state.restarts += 1

    async def _start(self, running: _Running) -> bool:
        """Make the part's process; False when meanwhile all is to stop."""
        part = running.part
        await asyncio.to_thread(part.prepare)
        argv = await asyncio.to_thread(part.argv)
        if not shutil.which(argv[0]):
            msg = f"{part.name} can't be started: {argv[0]} is not an executable file"
            raise ProcessError(msg)
        async with running.starting:
            if self._stop.is_set():
                return False
            with self._logs.open(part.name) as out:
                running.process = await asyncio.create_subprocess_exec(
                    *LAUNCH,
                    str(os.getpid()),
                    *argv,
                    cwd=part.cwd,
                    env=process_tree.environment(self.settings, part.name) | dict(part.env()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            running.state.pid = running.process.pid
            running.state.started = process_tree.start_time(running.process.pid)
            self._set(running, "starting")
        return True

    async def _watch(self, running: _Running) -> int:
        """Ask for health until the process ends; its exit code."""
        assert running.process is not None
        ended = asyncio.create_task(running.process.wait())
        asking = asyncio.create_task(self._ask(running))
        await asyncio.wait([ended, asking], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():  # `_ask` has lost patience
            process_tree.end_group(running.process.pid, signal.SIGKILL)
        asking.cancel()
        code = await ended
        if not asking.cancelled() and asking.done() and (bug := asking.exception()):
            raise bug
        running.up.clear()
        return code

    async def _ask(self, running: _Running) -> None:
        """Follow the part's health; return when it must be replaced."""
        part, state = running.part, running.state
        if part.once:
            await asyncio.Event().wait()
        unanswered, unhealthy_since = 0, time.monotonic()
        while True:
            with contextlib.suppress(NoWitnessError):
                why = await asyncio.to_thread(part.health, state.started) if part.health else None
                if self._stop.is_set():
                    await asyncio.Event().wait()
                if why is None:
                    unanswered = 0
                    if state.state != "healthy":
                        self._come_up(running, "healthy")
                elif state.state == "starting":
                    state.why = why
                    if time.time() - state.started > part.start_timeout_s:
                        state.why = f"not up after {part.start_timeout_s:.0f} s: {why}"
                        return
                else:
                    unanswered += 1
                    if unanswered == self.policy.unhealthy_after:
                        unhealthy_since = time.monotonic()
                        self._set(running, "unhealthy", why=why)
                    if state.state == "unhealthy" and time.monotonic() - unhealthy_since > self.policy.replace_after:
                        return
            await asyncio.sleep(self.policy.ask_starting if state.state == "starting" else self.policy.ask_healthy)

    # --- all parts --------------------------------------------------------------------------------------------------

    async def _announce_up(self) -> None:
        for running in self._all.values():
            await running.up.wait()
        self.state.phase = "up"
        self._say()
        logger.info("all parts are up", extra={"parts": len(self._all)})

    async def _stop_all(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        """Each part ends when all that need it have ended."""
        self.state.phase = "stopping"
        self._say()
        gone = {name: asyncio.Event() for name in self._all}

        async def stop(running: _Running) -> None:
            for name, other in self._all.items():
                if running.part.name in other.part.needs:
                    await gone[name].wait()
            await self._stop_one(running)
            gone[running.part.name].set()

        await asyncio.gather(*(stop(running) for running in self._all.values()))
        await asyncio.gather(*keepers, return_exceptions=True)
        left = process_tree.marked(self.settings.home)
        if left:
            logger.warning("processes left after their parts", extra={"pids": [process.pid for process in left]})
            await asyncio.to_thread(process_tree.end, left, 3.0)

    async def _stop_one(self, running: _Running) -> None:
        async with running.starting:
            process, state = running.process, running.state
        if process is not None and process.returncode is None:
            self._set(running, "stopping")
            process_tree.end_group(process.pid, signal.SIGTERM)
            ended = asyncio.create_task(process.wait())
            hurried = asyncio.create_task(self._hurry.wait())
            await asyncio.wait([ended, hurried], timeout=running.part.grace_s, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            if not ended.done():
                logger.warning("killed", extra={"part": running.part.name, "grace_s": running.part.grace_s})
                process_tree.end_group(process.pid, signal.SIGKILL)
            await ended
            await self._end_leftovers(running)
        if state.state not in ("done", "failed"):
            self._set(running, "stopped", why=state.why)

    async def _end_leftovers(self, running: _Running) -> None:
        """What a part's process leaves behind when it ends: workers, tasks in sessions of their own."""
        left = await asyncio.to_thread(process_tree.marked, self.settings.home, running.part.name)
        if left:
            logger.info("ending children", extra={"part": running.part.name, "pids": [child.pid for child in left]})
            await asyncio.to_thread(process_tree.end, left, min(running.part.grace_s, 5.0))

    # --- small things -----------------------------------------------------------------------------------------------

    def _come_up(self, running: _Running, state: str) -> None:
        if running.state.state in ("waiting", "starting"):
            started = running.state.started
            running.state.took_s = time.time() - started if started else 0.0
        running.tries, running.was_up = 0, True
        self._set(running, state)
        running.up.set()

    def _give_up(self, running: _Running, why: str) -> None:
        self._set(running, "failed", why=why)
        self.state.why = self.state.why or why
        self._stop.set()

    def _set(self, running: _Running, state: str, why: str = "") -> None:
        running.state.state, running.state.since, running.state.why = state, time.time(), why
        if state in ("done", "failed", "stopped", "backing off"):
            running.state.pid, running.state.started = 0, 0.0
        facts = {"part": running.part.name, "state": state, "pid": running.state.pid}
        logger.info("%s is %s", running.part.name, state, extra=facts | ({"why": why} if why else {}))
        self._say()

    def _say(self) -> None:
        try:
            run_state.write(self.settings, self.state)
        except OSError as error:  # a full disk must not take down what still runs
            logger.warning("the state can't be written: %s", error)
        self._changed(self.state)

    def _signalled(self) -> None:
        """The first asks everybody to end, the second does not wait for them."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _unless_stopped(self, waiting: Awaitable[object]) -> None:
        tasks = [asyncio.ensure_future(waiting), asyncio.create_task(self._stop.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
