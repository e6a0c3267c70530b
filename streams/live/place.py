"""Which partition of which topic: where records come from and what published values stand for."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A source partition. `partitions`: how many the topic has."""

    topic: str
    partition: int
    partitions: int
