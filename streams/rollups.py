"""Live minutes: the parts of `schemas/quality.py` added up by the named rollups, until a minute is frozen.

Each bucket keeps its own share, so that share and applied offset are one record; a partition's published value is the
sum of its buckets' shares, published as an absolute value. A minute is frozen for the whole partition when the received
clock has passed its end by `live_freeze_after_s`. Later events only raise `late`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from schemas.quality import DIMENSIONS, MINUTE_MS, PARTS, ROLLUPS, STARTUP_BUCKETS, MinuteParts

PART_INDEX = {part: place for place, part in enumerate(PARTS)}
_NAMES = tuple(ROLLUPS)
_MASKS = tuple(tuple(name in kept for name in DIMENSIONS) for kept in ROLLUPS.values())

RowKey = tuple[int, int, str | None, str | None, str | None, str | None, str | None]
"""Index of the rollup, start of the minute (ms), then DIMENSIONS; null where rolled up or unknown."""


class Row(msgspec.Struct, array_like=True):
    """Sums of PARTS in their order, and the startup histogram by bucket (sparse)."""

    sums: list[int]
    startups: dict[int, int] = {}

    @classmethod
    def empty(cls) -> Row:
        return cls([0] * len(PARTS))

    def add(self, parts: dict[str, int], bucket: int | None) -> None:
        """Add what an event brought."""
        for part, amount in parts.items():
            self.sums[PART_INDEX[part]] += amount
        if bucket is not None:
            self.startups[bucket] = self.startups.get(bucket, 0) + 1

    def merge(self, other: Row) -> None:
        """Add another bucket's share."""
        self.sums = [a + b for a, b in zip(self.sums, other.sums, strict=True)]
        for bucket, count in other.startups.items():
            self.startups[bucket] = self.startups.get(bucket, 0) + count


class Place(NamedTuple):
    """The source partition that values stand for."""

    topic: str
    partition: int


Share = dict[RowKey, Row]
"""The rows of one bucket."""


def row_keys(piece: MinuteParts) -> list[RowKey]:
    """The rows of all named rollups that a piece belongs to."""
    values = (piece.content_id, piece.country, piece.device_type, piece.cdn, piece.app_version)
    return [
        (rollup, piece.minute_ms, *(v if keep else None for v, keep in zip(values, mask, strict=True)))  # type: ignore[misc]
        for rollup, mask in enumerate(_MASKS)
    ]


class Minutes:
    """The open minutes of one partition: the sum over its buckets, and which rows wait to be published."""

    def __init__(self, place: Place, freeze_after_ms: int, clock_ms: int, shares: Iterable[Share]) -> None:
        self.place = place
        self._freeze_after_ms = freeze_after_ms
        self._rows: dict[RowKey, Row] = {}
        self._dirty: set[RowKey] = set()
        self._frozen_before_ms = self.frozen_before(clock_ms)
        for share in shares:
            for key, row in share.items():
                if key[1] >= self._frozen_before_ms:
                    self._rows.setdefault(key, Row.empty()).merge(row)
        self._dirty.update(self._rows)  # publish again what a worker before us may not have

    def frozen_before(self, clock_ms: int) -> int:
        """Start of the first minute that is still open at this received clock."""
        return max(0, clock_ms - self._freeze_after_ms) // MINUTE_MS * MINUTE_MS

    def is_frozen(self, at_ms: int) -> bool:
        """Whether the minute of a moment no longer changes."""
        return at_ms < self._frozen_before_ms

    def add(self, share: Share, piece: MinuteParts) -> None:
        """Add a piece to a bucket's share and to the partition's sums."""
        for key in row_keys(piece):
            row = share.get(key)
            if row is None:
                row = share[key] = Row.empty()
            row.add(piece.parts, piece.startup_bucket)
            total = self._rows.get(key)
            if total is None:
                total = self._rows[key] = Row.empty()
            total.add(piece.parts, piece.startup_bucket)
            self._dirty.add(key)

    def advance(self, clock_ms: int) -> None:
        """Move the received clock: minutes that it has passed are frozen and published once more, as final.

        Called for every record, so that what is late does not depend on how records came in batches.
        """
        before = self.frozen_before(clock_ms)
        if before > self._frozen_before_ms:
            self._frozen_before_ms = before
            self._dirty.update(key for key in self._rows if key[1] < before)

    def publishable(self, position: int) -> list[tuple[bytes, bytes]]:
        """Key and value of every row that changed since the last call; frozen ones are then forgotten here.

        `position` is the source offset that the values stand for: of two values a reader takes the one with the higher,
        so that a zombie's late write changes nothing.
        """
        records = [(self._key(key), self._value(key, self._rows[key], position)) for key in self._dirty]
        for key in self._dirty:
            if self.is_frozen(key[1]):
                del self._rows[key]
        self._dirty.clear()
        return records

    def _key(self, key: RowKey) -> bytes:
        rollup, minute_ms, *values = key
        names = "/".join("" if value is None else quote(value, safe="") for value in values)
        return f"{_NAMES[rollup]}/{self.place.topic}/{self.place.partition}/{minute_ms // 1000}/{names}".encode()

    def _value(self, key: RowKey, row: Row, position: int) -> bytes:
        rollup, minute_ms, *values = key
        record: dict[str, Any] = {
            "rollup": _NAMES[rollup],
            **self.place._asdict(),
            "minute": minute_ms // 1000,
            **dict(zip(DIMENSIONS, values, strict=True)),
            **dict(zip(PARTS, row.sums, strict=True)),
            "startup_histogram": [row.startups.get(bucket, 0) for bucket in range(STARTUP_BUCKETS)],
            "frozen": self.is_frozen(minute_ms),
            "position": position,
        }
        return msgspec.json.encode(record)


def prune(share: Share, before_ms: int) -> None:
    """Drop a bucket's rows of minutes that are frozen for good: published, and the position past them durable."""
    for key in [key for key in share if key[1] < before_ms]:
        del share[key]
