"""Keys of the live minutes on the topic `live.quality`: `rollup/topic/partition/minute/dimensions`.

The other records of that topic say how the workers stand (`schemas/standing.py`).
"""

from __future__ import annotations


def minute_key(rollup: str, topic: str, partition: int, minute_s: int, dimensions: str) -> bytes:
    """Of a row of one partition. `minute_s`: the minute's beginning, seconds of epoch."""
    return f"{rollup}/{topic}/{partition}/{minute_s}/{dimensions}".encode()


def minute_of(key: bytes) -> int | None:
    """The minute in such a key, seconds of epoch; None where it is another's."""
    parts = key.split(b"/", 4)
    return int(parts[3]) if len(parts) == 5 and parts[3].isdigit() else None
