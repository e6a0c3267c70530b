"""A program in a pseudo terminal, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

from infra.settings import ROOT

COLUMNS, LINES = 130, 45
_IN_COMMAND = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Takes the terminal, so that Ctrl-C reaches what runs, and becomes the program."""


class Terminal:
    """Starts a program as a shell would: leader of a session, its keys and its screen ours."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT) -> None:
        self._handle, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _IN_COMMAND, *argv],
            cwd=folder,
            env={**environment, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._screen.write_process_input = self.type  # a program may ask where the cursor is
        self._stream = pyte.ByteStream(self._screen)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self._handle)

    def type(self, keys: str) -> None:
        """Press keys; `\\x03` is Ctrl-C."""
        os.write(self._handle, keys.encode())

    def clear(self) -> None:
        """Forget what the screen shows."""
        self._screen.reset()

    def text(self) -> str:
        """The screen, without what is blank."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def wait_for(self, seen: str | Callable[[str], bool], timeout_s: float = 15.0) -> str:
        """The screen once it shows a text, or fulfils a condition."""
        end = time.monotonic() + timeout_s
        while not (seen(self.text()) if callable(seen) else seen in self.text()):
            assert time.monotonic() < end, f"{seen!r} did not appear:\n{self.text()}"
            self._read(0.2)
        return self.text()

    def wait_for_prompt(self) -> None:
        """Until the last line is a prompt without anything typed."""
        time.sleep(0.2)
        self.wait_for(lambda text: text.endswith("\nplaylake>"))

    def wait_for_end(self, timeout_s: float = 20.0) -> int:
        """Exit code."""
        end = time.monotonic() + timeout_s
        while self.process.poll() is None:
            assert time.monotonic() < end, self.text()
            self._read(0.1)
        return self.process.returncode

    def _read(self, wait_s: float) -> None:
        if select.select([self._handle], [], [], wait_s)[0]:
            try:
                self._stream.feed(os.read(self._handle, 65_536))
            except OSError:
                time.sleep(0.05)  # the program has ended
