"""Ids that were acknowledged a short while ago, so that a client's repetition is known for one."""

from __future__ import annotations


class RecentIds:
    """The last `size` ids, at least half of them. In memory alone: what it has forgotten, silver still keeps once.

    It holds 64-bit hashes with a secret of this process in them: nobody can make two ids collide on purpose.
    """

    def __init__(self, size: int) -> None:
        self._half = max(1, size // 2)
        self._new: set[int] = set()
        self._old: set[int] = set()

    def __contains__(self, key: int) -> bool:
        return key in self._new or key in self._old

    def add(self, key: int) -> None:
        """Remember `hash((topic, event id))`."""
        self._new.add(key)
        if len(self._new) >= self._half:
            self._old, self._new = self._new, set()
