"""One commit at a time, in a thread beside the one that fetches: both wait mostly for what needs no interpreter."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from streams.bronze_tables import BronzeTables, Pending
from streams.ownership import Owned


@dataclass
class Commit:
    """What is under way: a batch, the partitions that it moves, and their state as of the batch's end."""

    pending: Pending
    owned: list[Owned]
    ends: list[Owned]
    began: float
    rows: Future[dict[str, int]]

    def keep(self) -> None:
        """It got through: the partitions are where it left them. `next` has meanwhile run on."""
        for owned, end in zip(self.owned, self.ends, strict=True):
            vars(owned).update(vars(end) | {"next": owned.next})


class Writer:
    """Decodes and commits batches in the order in which they are given."""

    def __init__(self, tables: BronzeTables) -> None:
        self._tables = tables
        self._thread = ThreadPoolExecutor(1, "bronze-writer")
        self._commit: Commit | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a commit is under way, or its outcome not yet taken."""
        return self._commit is not None

    @property
    def is_done(self) -> bool:
        """Whether `take` would answer at once."""
        return self._commit is None or self._commit.rows.done()

    def start(self, owned: Iterable[Owned], pending: Pending) -> None:
        """Begin a commit of the batch, and of the positions of `owned` as they are now."""
        assert self._commit is None, "the one before must be taken first"
        moved = list(owned)
        ends = [copy.copy(one) for one in moved]
        rows = self._thread.submit(self._tables.commit, ends, pending)
        self._commit = Commit(pending, moved, ends, time.monotonic(), rows)

    def take(self) -> Commit | None:
        """The commit that is under way, ended, whether it got through or not."""
        commit, self._commit = self._commit, None
        if commit:
            commit.rows.exception()
        return commit
