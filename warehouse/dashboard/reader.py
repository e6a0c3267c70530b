"""What the answers of a page have in common: files of their own, a limit of time, answers that are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from warehouse.dashboard.files import Files
from warehouse.dashboard.payload import Publish

T = TypeVar("T")

LIMIT_S = 10.0


class Reader:
    """Not thread-safe: whoever owns it asks one question at a time.

    Each has a connection of its own, so that a question about a hundred million sessions delays no live number.
    """

    def __init__(self, folder: Path, memory_bytes: int, kept: int = 64) -> None:
        """`folder`: the warehouse's; `kept`: most answers that are kept until the next publish."""
        self._files = Files(folder, memory_bytes, threads=2)
        self._most_kept = kept
        self._answers: OrderedDict[object, Any] = OrderedDict()

    def interrupt(self) -> None:
        """End the question that is under way, from another thread."""
        self._files.interrupt()

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def _refresh(self) -> Publish:
        """Attach the files of now; what another publish answered is forgotten."""
        publish, is_new = self._files.refresh()
        if is_new:
            self._answers.clear()
        return publish

    def _kept(self, key: object, make: Callable[[], T]) -> T:
        """The answer to what `key` says, made if it is not there. Raises QueryError (timeout)."""
        if key not in self._answers:
            with self._files.limit(LIMIT_S):
                self._answers[key] = make()
            if len(self._answers) > self._most_kept:
                self._answers.popitem(last=False)
        self._answers.move_to_end(key)
        answer: T = self._answers[key]
        return answer
