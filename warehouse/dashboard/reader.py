"""What the answers of a page have in common: files of their own, a limit of time, answers that are kept."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from infra.errors import QueryError
from warehouse.dashboard.files import Files
from warehouse.dashboard.payload import Publish

T = TypeVar("T")

LIMIT_S = 10.0
STALE_S = 4.0
"""How old an answer may be that is given although the live numbers have moved on, while the next one is made: less than
a page waits until it asks again, so a page that nobody else looks at is told what is new."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """An answer, what it was made of as far as that moves on by itself, and when (by the monotonic clock)."""

    answer: Any
    state: object
    at: float


class Reader:
    """Not thread-safe: whoever owns it asks one question at a time.

    Each has a connection of its own, so that a question about a hundred million sessions delays no live number.
    """

    def __init__(self, folder: Path, memory_bytes: int, kept: int = 64) -> None:
        """`folder`: the warehouse's; `kept`: most answers that are kept until the next publish."""
        self._files = Files(folder, memory_bytes, threads=2)
        self._most_kept = kept
        self._answers: OrderedDict[object, Kept] = OrderedDict()
        self._behind: dict[object, Callable[[], object]] = {}

    def interrupt(self) -> None:
        """End the question that is under way, from another thread."""
        self._files.interrupt()

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def catch_up(self) -> None:
        """Make what is behind the live numbers anew. Whoever asked has an answer: a failure is for the next to see."""
        while self._behind:
            key, make = self._behind.popitem()
            try:
                make()
            except QueryError as error:
                self._answers.pop(key, None)
                logger.warning("an answer could not be made anew", extra={"reason": str(error)})

    def _refresh(self) -> Publish:
        """Attach the files of now; what another publish answered is forgotten."""
        publish, is_new = self._files.refresh()
        if is_new:
            self._answers.clear()
            self._behind.clear()
        return publish

    def _kept(self, key: object, make: Callable[[], T], state: object = None) -> T:
        """The answer to what `key` says, made if it is not there. Raises QueryError (timeout).

        state   what moves on between two publishes. An answer of another one is given for STALE_S, and left to
                `catch_up`; an older one is made anew.
        """

        def anew() -> Kept:
            with self._files.limit(LIMIT_S):
                self._answers[key] = Kept(make(), state, time.monotonic())
            return self._answers[key]

        kept = self._answers.get(key)
        if kept is None or (kept.state != state and time.monotonic() - kept.at > STALE_S):
            kept = anew()
        elif kept.state != state:
            self._behind[key] = anew
        self._answers.move_to_end(key)
        if len(self._answers) > self._most_kept:
            self._behind.pop(self._answers.popitem(last=False)[0], None)
        answer: T = kept.answer
        return answer
