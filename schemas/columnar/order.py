"""Rows in the order of some text columns, then of where their records stand in Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.columnar.columns import Text
from schemas.columnar.compiled import compiled, load


def ordered(
    data: NDArray[np.uint8],
    keys: Sequence[Text],
    partitions: NDArray[np.int32],
    offsets: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The rows, ascending byte by byte, absent texts last."""
    starts, sizes = np.stack([key.start for key in keys]), np.stack([key.size for key in keys])
    found, spare = rows.copy(), np.empty_like(rows)
    _sort(data, starts, sizes, partitions, offsets, found, spare)
    return found


@compiled
def _sort(data: Any, starts: Any, sizes: Any, partitions: Any, offsets: Any, rows: Any, spare: Any) -> None:
    """Merge ever longer sorted runs; `rows` has the result."""
    count, run = len(rows), 1
    while run < count:
        for low in range(0, count, 2 * run):
            middle, high = min(low + run, count), min(low + 2 * run, count)
            one, other = low, middle
            for place in range(low, high):
                first = one < middle and (
                    other >= high or not _before(data, starts, sizes, partitions, offsets, rows[other], rows[one])
                )
                if first:
                    spare[place] = rows[one]
                    one += 1
                else:
                    spare[place] = rows[other]
                    other += 1
        for place in range(count):
            rows[place] = spare[place]
        run *= 2


@compiled
def _before(data: Any, starts: Any, sizes: Any, partitions: Any, offsets: Any, a: Any, b: Any) -> Any:
    for key in range(len(starts)):
        size_a, size_b = np.int64(sizes[key, a]), np.int64(sizes[key, b])
        if size_a < 0 or size_b < 0:
            if size_a < 0 and size_b < 0:
                continue
            return size_b < 0
        order = _compare(data, starts[key, a], size_a, starts[key, b], size_b)
        if order != 0:
            return order < 0
    if partitions[a] != partitions[b]:
        return partitions[a] < partitions[b]
    return offsets[a] < offsets[b]


@compiled
def _compare(data: Any, a: Any, size_a: Any, b: Any, size_b: Any) -> Any:
    """Negative, 0 or positive."""
    size = min(size_a, size_b)
    at = np.int64(0)
    while at < size:
        differs = load(data, a + at) ^ load(data, b + at)
        if differs != np.uint64(0):
            while at < size and data[a + at] == data[b + at]:
                at += 1
            return np.int64(data[a + at]) - np.int64(data[b + at]) if at < size else size_a - size_b
        at += 8
    return size_a - size_b
