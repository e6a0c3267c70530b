"""What the live fold takes: the numbers of an event, where it came from, and what it stands for in the counts.

Playback events come as columns, decoded and turned into records by compiled code; facts of other sources (players'
reports, translated) come one by one. Both give the same records.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import uint32, uint64

from infra.compiled import compiled
from schemas.quality import DIMENSIONS
from schemas.session_state import EVENT_FIELDS, EventNumbers, Fact
from streams.live.hashing import hash_text, padded
from streams.live.names import Names

BUCKETS: Final = 64
"""Per source partition. Fixed: a key must stay in its bucket. Bounds the size of a record and of a flush."""

# What a record stands for.
EVENT: Final = 0
"""A source record that is one event: fold it and count it."""
REJECTED: Final = 1
"""A source record that broke its contract."""
ARRIVED: Final = 2
"""A source record whose events come later: `seq` of the following are held by it."""
RELEASED: Final = 3
"""`seq` records are waited for no longer."""
FOLDED: Final = 4
"""An event of a record that another one counts."""
COUNTED: Final = 5
"""A record whose turn it is; its events are FOLDED ones."""
REPEATED: Final = 6
"""A record that its session has seen."""
LATE: Final = 7
"""A record that was no longer waited for."""

# `held_ms`: the received clock when the event began to wait for an earlier one (`streams/live/held.py`).
LIVE_EVENT = np.dtype(
    [
        *EVENT_FIELDS,
        ("offset", "i8"),
        ("fate", "i1"),
        ("bucket", "i2"),
        ("is_derived", "?"),
        ("is_misplaced", "?"),
        ("group_1", "u8"),
        ("group_2", "u8"),
        ("digest", "u8"),
        ("held_ms", "i8"),
        ("names", "i4", (len(DIMENSIONS),)),
    ]
)

KEY, GROUP_1, GROUP_2, EVENT_ID, DERIVED_1, DERIVED_2, CATEGORY = 1, 2, 3, 4, 5, 6, 7
"""Seeds: so that hashes of different things are independent."""


@compiled
def bucket_at(data: Any, start: int, size: int) -> int:
    """The bucket of the viewer whose key lies there, within its partition."""
    return hash_text(data, start, size, KEY) % uint64(BUCKETS)  # type: ignore[no-any-return]


def bucket_of(key: bytes) -> int:
    """The bucket of a viewer within its partition."""
    return int(bucket_at(padded(key), 0, len(key)))


@compiled
def partition_at(data: Any, start: int, size: int, partitions: int) -> int:
    """The partition that Java's producer gives to the key that lies there: murmur2, as Kafka has it, without the sign.

    librdkafka's own default is another one (`partitioner=murmur2_random` makes it the same): such a key is misplaced.
    """
    h = uint32(0x9747B28C) ^ uint32(size)
    words = size // 4
    for i in range(words):
        at = start + 4 * i
        k = uint32(data[at]) | uint32(data[at + 1]) << 8 | uint32(data[at + 2]) << 16 | uint32(data[at + 3]) << 24
        k = uint32(k * uint32(0x5BD1E995))
        k ^= k >> 24
        k = uint32(k * uint32(0x5BD1E995))
        h = uint32(h * uint32(0x5BD1E995)) ^ k
    rest = size - 4 * words
    at = start + 4 * words
    if rest == 3:
        h ^= uint32(data[at + 2]) << 16
    if rest >= 2:
        h ^= uint32(data[at + 1]) << 8
    if rest >= 1:
        h = uint32((h ^ uint32(data[at])) * uint32(0x5BD1E995))
    h ^= h >> 13
    h = uint32(h * uint32(0x5BD1E995))
    h ^= h >> 15
    return int((h & uint32(0x7FFFFFFF)) % uint32(partitions))


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that a key belongs to."""
    return int(partition_at(padded(key), 0, len(key), partitions))


def digest_of(text: str, seed: int) -> int:
    """64-bit hash of a text."""
    raw = text.encode()
    return int(hash_text(padded(raw), 0, len(raw), seed))


def group_hashes(session_id: str) -> tuple[int, int]:
    """128 bits of hash of the group that an event with a session's id belongs to."""
    return digest_of(session_id, GROUP_1), digest_of(session_id, GROUP_2)


class EventList:
    """Records made one by one, from facts."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._rows: list[tuple[Any, ...]] = []

    def fold(self, fact: Fact, offset: int, bucket: int) -> None:
        """An event of a record that is told apart. Reports say which session they are of."""
        assert fact.session_id, "a fact without a session's id is in no report"
        numbers = fact.numbers()
        self._rows.append(
            (
                *(getattr(numbers, name) for name in EventNumbers.__struct_fields__),
                offset, FOLDED, bucket, False, False, *group_hashes(fact.session_id),
                digest_of(fact.event_id, EVENT_ID), 0,
                tuple(self._names.code(getattr(fact, name)) for name in DIMENSIONS),
            )
        )  # fmt: skip

    def tell(self, fate: int, offset: int, bucket: int, received_ms: int, **known: Any) -> None:
        """Anything but an event. `known`: further fields (`seq`, `at_ms`, `session_id`, `is_misplaced`)."""
        session_id = known.pop("session_id", None)
        group_1, group_2 = group_hashes(session_id) if session_id else (0, 0)
        row = np.zeros((), LIVE_EVENT)
        values = {"received_ms": received_ms, "offset": offset, "fate": fate, "bucket": bucket, **known}
        for name, value in {**values, "group_1": group_1, "group_2": group_2}.items():
            row[name] = value
        self._rows.append(tuple(row.item()))

    def array(self) -> npt.NDArray[Any]:
        """All of them, in order."""
        return np.array(self._rows, LIVE_EVENT) if self._rows else np.empty(0, LIVE_EVENT)
