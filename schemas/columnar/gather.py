"""Texts of chosen rows, in their order, copied together as Arrow wants them: offsets, then letters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.columnar.columns import Text
from schemas.columnar.compiled import compiled, load, store
from schemas.columnar.vocabulary import PAD, same

MOST_WORDS = 2048
"""A column with more different texts than that is not written as numbers into a list of them."""
_SLOTS = 4 * MOST_WORDS


def gathered(data: NDArray[np.uint8], text: Text, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Offsets (int32, one more than rows) and letters; an absent text has none."""
    offsets = np.empty(len(rows) + 1, np.int32)
    total = _offsets(text.size, rows, offsets)
    letters = np.empty(total + PAD, np.uint8)
    _copy(data, text.start, rows, offsets, letters)
    return offsets, letters


def numbered(data: NDArray[np.uint8], text: Text) -> tuple[NDArray[np.int32], NDArray[np.int64]] | None:
    """Which of the different texts each row has (-1: none), and a row that has each; None when there are too many.

    Of all rows, in the order in which the texts lie: in any other, most of the time would be waiting for memory.
    """
    numbers = np.empty(len(text.size), np.int32)
    examples = np.empty(MOST_WORDS, np.int64)
    count = _number(data, text.start, text.size, numbers, examples, np.full(_SLOTS, -1, np.int32))
    return None if count < 0 else (numbers, examples[:count])


@compiled
def _offsets(size: Any, rows: Any, offsets: Any) -> Any:
    at = np.int64(0)
    offsets[0] = 0
    for place in range(len(rows)):
        length = np.int64(size[rows[place]])
        if length > 0:
            at += length
        offsets[place + 1] = at
    return at


@compiled
def _copy(data: Any, start: Any, rows: Any, offsets: Any, letters: Any) -> None:
    """Eight letters at a time: what is too many at the end of one is overwritten by the next."""
    for place in range(len(rows)):
        source = start[rows[place]]
        for at in range(offsets[place], offsets[place + 1], 8):
            store(letters, at, load(data, source + at - offsets[place]))


@compiled
def _number(data: Any, start: Any, size: Any, numbers: Any, examples: Any, slots: Any) -> Any:
    count = 0
    for row in range(len(size)):
        length = np.int64(size[row])
        if length < 0:
            numbers[row] = -1
            continue
        begin = start[row]
        slot = np.int64(text_hash(data, begin, length) >> np.uint64(40)) & (len(slots) - 1)
        while slots[slot] >= 0:
            other = examples[slots[slot]]
            if size[other] == length and same(data, start[other], data, begin, length):
                break
            slot = (slot + 1) & (len(slots) - 1)
        if slots[slot] < 0:
            # Nearly every row has another: that won't end well.
            if count == len(examples) or (count > 256 and count > row >> 1):
                return -1
            slots[slot] = count
            examples[count] = row
            count += 1
        numbers[row] = slots[slot]
    return count


@compiled
def text_hash(data: Any, begin: Any, length: Any) -> Any:
    """A hash of 64 bits; absent texts have one of their own."""
    mixed = np.uint64(length)
    for at in range(0, length & ~7 if length > 0 else 0, 8):
        mixed = (mixed ^ load(data, begin + at)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
    rest = length & 7 if length > 0 else 0
    if rest:
        last = load(data, begin + length - rest) << np.uint64(64 - 8 * rest)
        mixed = (mixed ^ last) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
    return mixed * np.uint64(0xD6E8FEB86659FD93)
