"""How a partition's stream worker stands: the records `now/...` of the topic `live.quality`, several a second.

The other records of that topic are live minutes (`streams/live/minutes.py`); both are absolute values.
"""

from __future__ import annotations

import msgspec

_PREFIX = b"now/"


class Standing(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="now"):
    """Of one partition of a source topic. Counts and parts are those since the topic's beginning, up to `position`."""

    topic: str
    partition: int
    at: int
    """When it was said, ms of epoch by the worker's clock."""
    clock: int
    """The broker's stamp of the newest record that was taken, ms of epoch; 0: none was."""
    since: int = 0
    """That of the first record taken since the worker last said so; 0: none was, or it is not known."""
    position: int
    """Offset of the next record to take."""
    concurrent: int = 0
    """Viewers at this moment: sessions that play or stall."""
    open_sessions: int = 0
    """Sessions that have not ended, as the worker holds them."""
    applied: int = 0
    """Records: events, late, duplicates, rejected and held."""
    events: int = 0
    """Those that live minutes hold."""
    late: int = 0
    duplicates: int = 0
    rejected: int = 0
    misplaced: int = 0
    held: int = 0
    parts: dict[str, int] = {}
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
