"""One step of the set-up: its stamp, its commands, its progress line, and what is printed when it fails.

A step is done when the stamp inside what it made equals the hash of what it was made from; deleting the folder deletes
the stamp with it. Nothing else is remembered, so a set-up that was stopped anywhere goes on by being run again.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGTERM

from infra.errors import SetupError

STAMP = ".stamp"
TAIL = 25
"""Lines of a failed command's output that are shown."""
STEP_LIMIT_S = 3600
"""No step runs longer: a download that hangs must end some day."""


@dataclass(frozen=True)
class Step:
    """`make()` turns `inputs` into the folder `product`; it may be run again over a half-made one.

    Without a product there is no stamp: the step is run whenever it is asked for.
    """

    title: str
    product: Path | None
    inputs: Callable[[], Iterable[Path | str]]
    make: Callable[[Runner], None]

    def is_done(self) -> bool:
        if self.product is None:
            return False
        stamp = self.product / STAMP
        return stamp.is_file() and stamp.read_text() == fingerprint(self.inputs())

    def run(self, runner: Runner) -> None:
        if self.product is None:
            self.make(runner)
            return
        # Before, not after: an input that changes meanwhile makes the step run again.
        made_from = fingerprint(self.inputs())
        (self.product / STAMP).unlink(missing_ok=True)
        self.make(runner)
        (self.product / STAMP).write_text(made_from)


def fingerprint(inputs: Iterable[Path | str]) -> str:
    """sha256 over texts and over names and contents of files; folders count with all files below them."""
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, str):
            digest.update(item.encode())
            continue
        files = sorted(path for path in item.rglob("*") if path.is_file()) if item.is_dir() else [item]
        for path in files:
            digest.update(f"\0{path}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass
class Runner:
    """Runs a step's commands quietly and shows how long it has been going on."""

    lock: int | None = None
    """Descriptor of the set-up's lock: children hold it too, so a set-up killed midway stays locked until they end."""
    title: str = ""
    began: float = 0.0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))

    def step(self, number: int, total: int, step: Step) -> None:
        """Make one step and print its line. Raises SetupError with the end of the output."""
        self.begin(f"[{number}/{total}] {step.title}")
        try:
            step.run(self)
        except SetupError as error:
            self.show("FAILED", last=True)
            output = "".join(f"\n    | {line}" for line in self.tail)
            msg = f"{step.title}: {error}{output}"
            raise SetupError(msg) from None
        self.show("done", last=True)

    def begin(self, title: str) -> None:
        """Start the clock of a new line."""
        self.title, self.began, self._shown = title, time.monotonic(), time.monotonic()
        self.tail.clear()
        if sys.stdout.isatty():
            self.show("...")

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        tries: int = 1,
    ) -> None:
        """Run a command to its end. Raises SetupError when it can't be started, fails `tries` times, or hangs."""
        for left in reversed(range(tries)):
            code = self._run_once([str(part) for part in argv], cwd, env)
            if code == 0:
                return
            if left:
                self.tail.append(f"(exit code {code}; trying again)")
                time.sleep(2)
        msg = f"`{Path(argv[0]).name}` failed with exit code {code}"
        raise SetupError(msg)

    def _run_once(self, argv: list[str], cwd: Path | None, env: Mapping[str, str] | None) -> int:
        child = reader = None
        try:
            with _interrupts_after():
                child = self._start(argv, cwd, env)
            assert child.stdout is not None
            reader = threading.Thread(target=self._read, args=(child.stdout,), daemon=True)
            reader.start()
            while child.poll() is None:
                if time.monotonic() - self.began > STEP_LIMIT_S:
                    msg = f"`{Path(argv[0]).name}` was still running after {STEP_LIMIT_S} s"
                    raise SetupError(msg)
                self.show("...")
                time.sleep(0.1)
            return child.returncode
        finally:
            if child is not None and child.poll() is None:  # the limit, Ctrl-C or SIGTERM
                os.killpg(child.pid, signal.SIGTERM)
                child.wait()
            if reader is not None:
                reader.join(5)

    def _start(self, argv: list[str], cwd: Path | None, env: Mapping[str, str] | None) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                argv, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
                pass_fds=() if self.lock is None else (self.lock,),
            )  # fmt: skip
        except OSError as error:
            msg = f"{argv[0]} can't be started: {error.strerror}"
            raise SetupError(msg) from None

    def _read(self, lines: Iterable[str]) -> None:
        self.tail.extend(text for line in lines if (text := line.rstrip()))

    _shown: float = field(default=0.0, repr=False)

    def show(self, state: str, *, last: bool = False) -> None:
        """The step's line: rewritten in place on a terminal; elsewhere its end, and a sign of life every 30 s."""
        now = time.monotonic()
        text = f"  {self.title:<58} {state:>6} {now - self.began:6.1f} s"
        if sys.stdout.isatty():
            print(f"\r{text}", end="\n" if last else "", flush=True)
        elif last or now - self._shown > 30:
            self._shown = now
            print(text, flush=True)


@contextmanager
def _interrupts_after() -> Iterator[None]:
    """SIGINT and SIGTERM take effect at the end of the block: not between a child's start and our knowing of it."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda got, _: came.append(got)) for number in (SIGINT, SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
