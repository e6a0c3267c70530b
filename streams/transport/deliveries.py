"""How far the batches of one partition are acknowledged."""

from __future__ import annotations

from collections import deque


class Deliveries:
    """Batches in order of delivery. Acknowledgements may come late, in bulk and in any order.

    A batch goes by the offset of its last position (`end - 1`), which is what Faust knows it by. Cost: O(1) a batch.
    """

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()
        self._to_commit: int | None = None

    def add(self, last: int) -> None:
        """A batch was handed to the agent."""
        self._waiting.append(last)

    def settle(self, acknowledged: set[int]) -> int | None:
        """Offset to commit: the end of the last batch before which none is open; None: not even the first is done.

        Takes out of `acknowledged` what it has settled. It returns the same offset until it can return a higher one,
        so that a commit which failed is tried again.
        """
        waiting = self._waiting
        while waiting and waiting[0] in acknowledged:
            last = waiting.popleft()
            acknowledged.discard(last)
            self._to_commit = last + 1
        return self._to_commit
