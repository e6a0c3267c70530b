"""The open sessions of one partition: a numpy record each, found by the hash of the group they are folded in."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from infra.compiled import compiled, inlined
from schemas.quality import DIMENSIONS
from schemas.session_state import SESSION_FIELDS, Numbers
from streams.live.hashing import DELETED, EMPTY, empty_index, fill_index, mix

RECENT: Final = 24
"""How many event ids a session remembers, to drop a client's retries. Batch needs no window."""
FIRST_ROWS = 1024

SESSION = np.dtype(
    [
        *SESSION_FIELDS,
        ("group_1", "u8"),
        ("group_2", "u8"),
        ("names", "i4", (len(DIMENSIONS),)),
        ("recent_next", "i4"),
        ("recent", "u8", (RECENT,)),
    ]
)
"""`group_1` and `group_2` are 128 bits of hash of the group's id, which itself is not kept. The dtype may gain fields:
stored sessions carry its description (`streams/live/records.py`)."""

_EMPTY_SESSION = np.zeros(1, SESSION)
for _name, _value in ((field, getattr(Numbers(), field)) for field, _ in SESSION_FIELDS):
    _EMPTY_SESSION[_name] = _value


class Table(NamedTuple):
    """What the compiled code works on."""

    slots: npt.NDArray[np.int32]
    rows: npt.NDArray[Any]
    buckets: npt.NDArray[np.int16]
    """Bucket of each row, -1 for a free one."""
    waiting: npt.NDArray[np.int32]
    """Place of the first event that each row's session holds (`streams/live/held.py`), -1: none."""
    free: npt.NDArray[np.int32]
    """Stack of free rows."""
    used: npt.NDArray[np.int64]
    """Length of the stack, number of deleted places in the index."""


class Sessions:
    """The sessions of one partition; grows as they come."""

    def __init__(self, rows: int = FIRST_ROWS) -> None:
        self.table = _room_for(rows)

    def __len__(self) -> int:
        return len(self.table.rows) - int(self.table.used[0])

    def live(self) -> npt.NDArray[np.int64]:
        """Numbers of the rows that hold a session."""
        return np.flatnonzero(self.table.buckets >= 0)

    def of(self, bucket: int) -> npt.NDArray[np.int64]:
        """Numbers of the rows of a bucket."""
        return np.flatnonzero(self.table.buckets == bucket)

    def add(self, sessions: npt.NDArray[Any], bucket: int) -> None:
        """Take over stored sessions."""
        if int(self.table.used[0]) <= len(sessions):
            self.grow(len(sessions))
        insert_all(self.table, sessions, bucket)

    def drop(self, rows: npt.NDArray[np.int64]) -> None:
        """Forget sessions."""
        _drop_all(self.table, rows)

    def grow(self, more: int = 1) -> None:
        """Make room for more sessions, and leave deleted places behind."""
        old = self.table
        rows, held = len(old.rows), len(self)
        while rows - held < max(rows // 2, more + 1):
            rows *= 2
        new = _room_for(rows)
        size = len(old.rows)
        new.rows[:size] = old.rows
        new.buckets[:size] = old.buckets
        new.waiting[:size] = old.waiting
        live = np.flatnonzero(new.buckets >= 0).astype(np.int32)
        free = np.flatnonzero(new.buckets < 0)[::-1]
        new.free[: len(free)] = free
        new.used[0] = len(free)
        fill_index(new.slots, new.rows["group_1"][live], live)
        self.table = new


def _room_for(rows: int) -> Table:
    return Table(
        empty_index(rows),
        np.zeros(rows, SESSION),
        np.full(rows, -1, np.int16),
        np.full(rows, -1, np.int32),
        np.arange(rows - 1, -1, -1, dtype=np.int32),
        np.array([rows, 0], np.int64),
    )


@inlined
def has_room(table: Table) -> bool:
    """Whether one more session fits, with an index that is not too full."""
    rows = len(table.rows)
    return bool(table.used[0] > 0 and rows - table.used[0] + table.used[1] < len(table.slots) * 3 // 4)


@inlined
def find(table: Table, group_1: Any, group_2: Any) -> int:
    """Row of the group's session, or -1."""
    mask = uint64(len(table.slots) - 1)
    at = group_1 & mask
    while table.slots[at] != EMPTY:
        row = table.slots[at]
        if row >= 0 and table.rows[row].group_1 == group_1 and table.rows[row].group_2 == group_2:
            return row  # type: ignore[no-any-return]
        at = (at + uint64(1)) & mask
    return -1


@compiled
def insert(table: Table, group_1: Any, group_2: Any, bucket: int) -> int:
    """A row for a group that has none; the caller sets its fields. There must be room."""
    table.used[0] -= 1
    row = table.free[table.used[0]]
    mask = uint64(len(table.slots) - 1)
    at = group_1 & mask
    while table.slots[at] >= 0:
        at = (at + uint64(1)) & mask
    if table.slots[at] == DELETED:
        table.used[1] -= 1
    table.slots[at] = row
    table.buckets[row] = bucket
    table.rows[row].group_1 = group_1
    table.rows[row].group_2 = group_2
    return row  # type: ignore[no-any-return]


@compiled
def insert_all(table: Table, sessions: Any, bucket: int) -> None:
    for k in range(len(sessions)):
        row = insert(table, sessions[k].group_1, sessions[k].group_2, bucket)
        table.rows[row] = sessions[k]


@compiled
def _drop_all(table: Table, rows: Any) -> None:
    mask = uint64(len(table.slots) - 1)
    for row in rows:
        at = table.rows[row].group_1 & mask
        while table.slots[at] != row:
            at = (at + uint64(1)) & mask
        table.slots[at] = DELETED
        table.used[1] += 1
        table.buckets[row] = -1
        table.free[table.used[0]] = row
        table.used[0] += 1


def empty_session() -> npt.NDArray[Any]:
    """One record of a session about which nothing is known, as array of length 1."""
    return _EMPTY_SESSION.copy()


@inlined
def is_repeat(session: Any, digest: Any) -> bool:
    """Whether the session has just seen this event id; remembers it if not. 0 stands for no id."""
    digest = mix(digest) | uint64(1)
    for k in range(RECENT):
        if session.recent[k] == digest:
            return True
    session.recent[session.recent_next] = digest
    session.recent_next = (session.recent_next + 1) % RECENT
    return False
