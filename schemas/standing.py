"""How a partition's stream worker stands: the records `now/...` of the topic `live.quality`, several a second.

The other records of that topic are live minutes (`streams/live/minutes.py`); both are absolute values.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_PREFIX = b"now/"


class Standing(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="now"):
    """Of one partition of a source topic. Counts and parts are those since the topic's beginning.

    They are of all records before `position`, in a replay already of those that come again.
    """

    topic: str
    partition: Count
    at: Count
    """When it was said, ms of epoch by the worker's clock."""
    clock: Count
    """The broker's stamp of the newest record that was taken, ms of epoch; 0: none was."""
    since: Count = 0
    """That of the first record taken since the worker last said so; 0: none was, or it is not known."""
    position: Count
    """Offset of the next record to take."""
    concurrent: Count = 0
    """Viewers at this moment: sessions that play or stall."""
    open_sessions: Count = 0
    """Sessions that have not ended, as the worker holds them."""
    applied: Count = 0
    """Records: events, late, duplicates, rejected and held."""
    events: Count = 0
    """Those that live minutes hold."""
    late: Count = 0
    duplicates: Count = 0
    rejected: Count = 0
    misplaced: Count = 0
    held: Count = 0
    parts: dict[str, Count] = {}
    """Part of `schemas.quality` → its sum over these events."""

    def record(self) -> tuple[bytes, bytes]:
        """Key and value for the topic."""
        return _PREFIX + f"{self.topic}/{self.partition}".encode(), msgspec.json.encode(self)


_DECODER = msgspec.json.Decoder(Standing)


def is_standing(key: bytes) -> bool:
    """Whether a record of the topic is one of these."""
    return key.startswith(_PREFIX)


def read_standing(value: bytes) -> Standing:
    """Raises msgspec.DecodeError for what is none."""
    return _DECODER.decode(value)
