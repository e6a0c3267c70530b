"""The order of events in their groups (`schemas.session_state.Fact.order`), compiled."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from infra.compiled import compiled
from schemas.session_state import ABSENT


class Ids(NamedTuple):
    """The events' ids as Arrow keeps texts: that of event i is `data[starts[i]:starts[i + 1]]`."""

    starts: npt.NDArray[np.int32]
    data: npt.NDArray[np.uint8]


def in_order(events: npt.NDArray[Any], ids: Ids) -> npt.NDArray[np.int32]:
    """Places of the events, group by group, each in its order."""
    room = np.empty((2, len(events)), np.int32)
    room[0] = np.arange(len(events))
    _sort(events, ids, room)
    order: npt.NDArray[np.int32] = room[0]
    return order


@compiled
def _sort(events: Any, ids: Ids, room: Any) -> None:
    """Merge sort. Groups follow each other and most events came in their order: then a merge is one comparison.

    room   [2, n]: the places, and as much to merge in
    """
    order, width = room[0], 1
    while width < len(order):
        for first in range(0, len(order) - width, 2 * width):
            middle = first + width
            if _is_before(events, ids, order[middle], order[middle - 1]):
                _merge(events, ids, room, first, middle)
        width *= 2


@compiled
def _merge(events: Any, ids: Ids, room: Any, first: int, middle: int) -> None:
    """Merge the places from `first` to `middle` and as many behind them."""
    order, spare, width = room[0], room[1], middle - first
    for k in range(width):
        spare[k] = order[first + k]
    left, right, end = 0, middle, min(middle + width, len(order))
    for at in range(first, end):
        if left == width:
            break
        if right < end and _is_before(events, ids, order[right], spare[left]):
            order[at] = order[right]
            right += 1
        else:
            order[at] = spare[left]
            left += 1


@compiled
def _is_before(events: Any, ids: Ids, i: int, j: int) -> bool:
    one, other = events[i], events[j]
    if one.group != other.group:
        return bool(one.group < other.group)
    if one.at_ms != other.at_ms:
        return bool(one.at_ms < other.at_ms)
    seq, other_seq = -1 if one.seq == ABSENT else one.seq, -1 if other.seq == ABSENT else other.seq
    if seq != other_seq:
        return bool(seq < other_seq)
    if one.kind != other.kind:
        return bool(one.kind < other.kind)
    # By bytes: in UTF-8 that is the order of the characters.
    size, other_size = ids.starts[i + 1] - ids.starts[i], ids.starts[j + 1] - ids.starts[j]
    for k in range(min(size, other_size)):
        byte, other_byte = ids.data[ids.starts[i] + k], ids.data[ids.starts[j] + k]
        if byte != other_byte:
            return bool(byte < other_byte)
    return bool(size < other_size)
