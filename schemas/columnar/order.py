"""Rows in the order of some text columns, then of where their records stand in Kafka.

Of the texts only the different ones are compared: rows of one key are told by a hash table, and follow each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.columnar.columns import Text
from schemas.columnar.compiled import compiled, load
from schemas.columnar.gather import text_hash
from schemas.columnar.vocabulary import same


def ordered(
    data: NDArray[np.uint8],
    keys: Sequence[Text],
    partitions: NDArray[np.int32],
    offsets: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The rows, ascending byte by byte, absent texts last."""
    rows = _by_place(partitions, offsets, rows)
    starts, sizes = np.stack([key.start for key in keys]), np.stack([key.size for key in keys])
    group, examples = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    slots = np.full(1 << (2 * len(rows) + 1).bit_length(), -1, np.int32)
    count = _group(data, starts, sizes, rows, group, examples, slots)
    order = np.arange(count)
    _sort(data, starts, sizes, examples, order, np.empty_like(order))
    found = np.empty_like(rows)
    _lay_out(rows, group, order, np.zeros(count + 1, np.int64), found)
    return found


def _by_place(partitions: NDArray[np.int32], offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """By partition and offset. What is consumed is mostly in the order of its offsets already."""
    of = partitions[rows]
    # Numbers of 16 bits are sorted without a comparison.
    rows = rows[np.argsort(of.astype(np.int16) if len(of) and of.max() < 32_768 else of, kind="stable")]
    of, at = partitions[rows], offsets[rows]
    if ((at[1:] > at[:-1]) | (of[1:] != of[:-1])).all():
        return rows
    return rows[np.lexsort((at, of))]


@compiled
def _group(data: Any, starts: Any, sizes: Any, rows: Any, group: Any, examples: Any, slots: Any) -> Any:
    """Number the groups of rows with the same texts; `examples` has a row of each. Returns how many there are."""
    count = 0
    for place in range(len(rows)):
        row = rows[place]
        mixed = np.uint64(0)
        for key in range(len(starts)):
            mixed = mixed * np.uint64(31) + text_hash(data, starts[key, row], np.int64(sizes[key, row]))
        slot = np.int64(mixed >> np.uint64(24)) & (len(slots) - 1)
        while slots[slot] >= 0 and not _are_same(data, starts, sizes, examples[slots[slot]], row):
            slot = (slot + 1) & (len(slots) - 1)
        if slots[slot] < 0:
            slots[slot] = count
            examples[count] = row
            count += 1
        group[place] = slots[slot]
    return count


@compiled
def _are_same(data: Any, starts: Any, sizes: Any, a: Any, b: Any) -> Any:
    for key in range(len(starts)):
        size = np.int64(sizes[key, a])
        if size != sizes[key, b] or (size > 0 and not same(data, starts[key, a], data, starts[key, b], size)):
            return False
    return True


@compiled
def _sort(data: Any, starts: Any, sizes: Any, examples: Any, order: Any, spare: Any) -> None:
    """Merge ever longer sorted runs of groups; `order` has the result."""
    count, run = len(order), 1
    while run < count:
        for low in range(0, count, 2 * run):
            middle, high = min(low + run, count), min(low + 2 * run, count)
            one, other = low, middle
            for place in range(low, high):
                if one < middle and (
                    other >= high or _before(data, starts, sizes, examples[order[one]], examples[order[other]])
                ):
                    spare[place] = order[one]
                    one += 1
                else:
                    spare[place] = order[other]
                    other += 1
        for place in range(count):
            order[place] = spare[place]
        run *= 2


@compiled
def _lay_out(rows: Any, group: Any, order: Any, begin: Any, found: Any) -> None:
    """The rows group by group, in each as they come. `begin` [groups + 1], zeros, is used up."""
    for place in range(len(rows)):
        begin[group[place]] += 1
    at = np.int64(0)
    for place in range(len(order)):
        count = begin[order[place]]
        begin[order[place]] = at
        at += count
    for place in range(len(rows)):
        found[begin[group[place]]] = rows[place]
        begin[group[place]] += 1


@compiled
def _before(data: Any, starts: Any, sizes: Any, a: Any, b: Any) -> Any:
    for key in range(len(starts)):
        size_a, size_b = np.int64(sizes[key, a]), np.int64(sizes[key, b])
        if size_a < 0 or size_b < 0:
            if size_a < 0 and size_b < 0:
                continue
            return size_b < 0
        order = _compare(data, starts[key, a], size_a, starts[key, b], size_b)
        if order != 0:
            return order < 0
    return False


@compiled
def _compare(data: Any, a: Any, size_a: Any, b: Any, size_b: Any) -> Any:
    """Negative, 0 or positive."""
    size = min(size_a, size_b)
    at = np.int64(0)
    while at + 8 <= size and load(data, a + at) == load(data, b + at):
        at += 8
    while at < size and data[a + at] == data[b + at]:
        at += 1
    return np.int64(data[a + at]) - np.int64(data[b + at]) if at < size else size_a - size_b
