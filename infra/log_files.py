"""One log file a process, in `<home>/logs`: kept small while it is written, and read by people."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from infra.settings import Settings

logger = logging.getLogger(__name__)

LARGEST_BYTES = 32_000_000
LOOK_EVERY_S = 30.0

_ALIASES = {"timestamp": "ts", "event": "msg"}  # Airflow's words
_DULL = {"ts", "level", "msg", "process", "logger", "filename", "lineno", "func_name", "trace"}


class LogFiles:
    """The logs of one state folder. `<part>.log` is the current one, `<part>.log.1` the one before."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.logs

    def path(self, part: str) -> Path:
        return self.folder / f"{part}.log"

    def names(self) -> list[str]:
        """Parts that have a log."""
        return sorted(path.stem for path in self.folder.glob("*.log"))

    def open(self, part: str) -> IO[bytes]:
        """To append to; made if need be."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.path(part).open("ab")

    def tail(self, part: str, lines: int = 12) -> str:
        """Its last lines, for people."""
        return "\n".join(readable(line) for line in self.last_lines(part, lines))

    def last_lines(self, part: str, lines: int) -> list[str]:
        """Its last lines as they are."""
        try:
            with self.path(part).open(errors="backslashreplace") as file:
                file.seek(max(0, self.path(part).stat().st_size - 400 * max(lines, 50)))
                return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
        except FileNotFoundError:
            return []

    def read(self, parts: Sequence[str], lines: int, follow: bool = False) -> Iterator[tuple[str, str]]:
        """(part, line): the last ones in the order of their time stamps; with `follow` also those to come."""
        ends = {part: self._size(part) for part in parts}
        last = [(part, line) for part in parts for line in self.last_lines(part, lines)]
        yield from sorted(last, key=lambda pair: _stamp(pair[1])) if len(parts) > 1 else last
        while follow:
            for part in parts:
                if self._size(part) < ends[part]:  # cut, or begun anew
                    ends[part] = 0
                if self._size(part) > ends[part]:
                    with self.path(part).open("rb") as file:
                        file.seek(ends[part])
                        whole, _, _ = file.read().rpartition(b"\n")
                    if whole:
                        ends[part] += len(whole) + 1
                        yield from ((part, line) for line in whole.decode(errors="backslashreplace").split("\n"))
            time.sleep(0.2)

    def _size(self, part: str) -> int:
        path = self.path(part)
        return path.stat().st_size if path.exists() else 0

    async def keep_small(self) -> None:
        """For ever: a log that has grown too large becomes `.1`. Writers append, so they go on at its new beginning.

        What is written between copy and cut, a few milliseconds, is lost.
        """
        while True:
            for path in self.folder.glob("*.log"):
                if path.stat().st_size > LARGEST_BYTES:
                    try:
                        await asyncio.to_thread(shutil.copyfile, path, path.with_suffix(".log.1"))
                    except OSError as error:  # a full disk: making room matters more than old lines
                        logger.warning("%s is cut without a copy: %s", path.name, error)
                    with path.open("r+b") as file:
                        file.truncate(0)
            await asyncio.sleep(LOOK_EVERY_S)


def readable(line: str) -> str:
    """A line of JSON as `12:30:45.123 INFO    batch accepted  events=120`; any other line as it is."""
    try:
        told = json.loads(line)
    except ValueError:
        return line
    if not isinstance(told, dict):
        return line
    told = {_ALIASES.get(name, name): value for name, value in told.items()}
    if "msg" not in told:
        return line
    extra = "  ".join(f"{name}={_short(value)}" for name, value in told.items() if name not in _DULL)
    head = f"{str(told.get('ts', ''))[11:23]:12} {str(told.get('level', '')).upper():8}{told['msg']}"
    trace = str(told.get("trace") or "").strip()
    return head + (f"  {extra}" if extra else "") + (f"\n{trace}" if trace else "")


def _stamp(line: str) -> str:
    """What to sort by; a line without a time stamp stays where it is among its own, at the front."""
    found = re.search(r'"(?:ts|timestamp)": ?"([^"]+)"', line)
    return found[1] if found else ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
