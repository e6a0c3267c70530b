"""A closed set of words, and which one of them some bytes of a buffer are: wire names, event types, listed values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.columnar.compiled import compiled, load

ABSENT = -1
KEYS, KINDS, LISTED = 0, 1, 2
"""Spaces of words; column c's listed values are in LISTED + c."""
PAD = 8
"""Bytes that must be in the buffer before and behind any word."""


class Vocabulary(NamedTuple):
    """A hash table with open addressing; a word is told by its space, size, first and last eight bytes and middle."""

    slots: NDArray[np.int16]
    space: NDArray[np.int64]
    size: NDArray[np.int64]
    value: NDArray[np.int64]
    start: NDArray[np.int64]
    letters: NDArray[np.uint8]


def vocabulary(words: Iterable[tuple[int, str, int]]) -> Vocabulary:
    """Of (space, word, what `find` answers for it)."""
    listed = [(space, word.encode(), value) for space, word, value in words]
    size = np.array([len(word) for _, word, _ in listed], np.int64)
    found = Vocabulary(
        # At most a quarter full, so that most searches end where they begin.
        slots=np.full(1 << max(6, (4 * len(listed)).bit_length()), ABSENT, np.int16),
        space=np.array([space for space, _, _ in listed], np.int64),
        size=size,
        value=np.array([value for _, _, value in listed], np.int64),
        start=PAD + np.cumsum(size) - size,
        letters=np.frombuffer(bytes(PAD) + b"".join(word for _, word, _ in listed) + bytes(PAD), np.uint8).copy(),
    )
    _enter(found)
    return found


@compiled
def _hash(first: Any, last: Any, size: Any, space: Any, slots: Any) -> Any:
    mixed = first * np.uint64(0x9E3779B97F4A7C15) + last * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed = (mixed + np.uint64(size) + np.uint64(space) * np.uint64(0x165667B1)) * np.uint64(0xD6E8FEB86659FD93)
    return np.int64((mixed >> np.uint64(40)) & np.uint64(slots - 1))


@compiled
def _ends(data: Any, start: Any, size: Any) -> Any:
    """First and last eight bytes of a word; of a shorter one, all of it, twice."""
    first = load(data, start)
    if size >= 8:
        return first, load(data, start + size - 8)
    first &= (np.uint64(1) << np.uint64(8 * size)) - np.uint64(1)
    return first, first


@compiled
def _enter(v: Any) -> None:
    for entry in range(len(v.size)):
        first, last = _ends(v.letters, v.start[entry], v.size[entry])
        slot = _hash(first, last, v.size[entry], v.space[entry], len(v.slots))
        while v.slots[slot] >= 0:
            slot = (slot + 1) & (len(v.slots) - 1)
        v.slots[slot] = entry


@compiled
def find(data: Any, start: Any, size: Any, space: Any, v: Any) -> Any:
    """Value of the word at `start`, or ABSENT."""
    first, last = _ends(data, start, size)
    slot = _hash(first, last, size, space, len(v.slots))
    while True:
        entry = v.slots[slot]
        if entry < 0:
            return np.int64(ABSENT)
        if v.size[entry] == size and v.space[entry] == space and same(data, start, v.letters, v.start[entry], size):
            return v.value[entry]
        slot = (slot + 1) & (len(v.slots) - 1)


@compiled
def same(one: Any, at: Any, other: Any, there: Any, size: Any) -> Any:
    """Whether the two hold the same `size` bytes."""
    whole = size & ~7
    for step in range(0, whole, 8):
        if load(one, at + step) != load(other, there + step):
            return False
    rest = size - whole
    if rest == 0:
        return True
    differs = load(one, at + whole) ^ load(other, there + whole)
    return (differs << np.uint64(64 - 8 * rest)) == np.uint64(0)
