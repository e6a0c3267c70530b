"""The live fold of one partition, compiled: events in the order of the topic, into sessions, minutes and counts.

Every record of state says up to which source offset it holds (`through`): a bucket of sessions, a minute, the totals.
After a crash the topic is read again from the oldest of them, and each takes only what it does not hold yet.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from infra.compiled import compiled, inlined
from schemas.piece import FIRST_PART, MINUTE
from schemas.quality import MINUTE_MS, PARTS
from schemas.reorder import HELD_EVENTS, is_ahead
from schemas.session import advance, begin, belongs
from schemas.session_state import ABSENT
from streams.live import held, minutes, sessions
from streams.live.events import ARRIVED, EVENT, FOLDED, LATE, REJECTED, RELEASED, REPEATED

APPLIED: Final = 0
COUNTED_EVENTS: Final = 1
LATE_EVENTS: Final = 2
DUPLICATES: Final = 3
REJECTS: Final = 4
MISPLACED: Final = 5
HELD: Final = 6
COUNTS = {
    "applied": "records since the topic's beginning: the sum of the next four and held",
    "counted": "events that live minutes hold",
    "late": "events whose minute was frozen",
    "duplicates": "events that a client sent again",
    "rejected": "records that broke their contract; the sink dead-letters them",
    "misplaced": "records (among the applied) in another partition than their key belongs to",
    "held": "events and reports that wait for an earlier one: applied, and none of the other four yet",
}
"""Count → what it counts, in the order of the places above."""

CLOCK: Final = 0
"""Highest broker stamp so far, ms: the partition's received clock."""
OPEN_MINUTE: Final = 1
"""The first minute that is still open."""
TOTALS_THROUGH: Final = 2
REPLAY_UNTIL: Final = 3
"""Behind this offset no stored minute holds anything."""
RECORD: Final = 4
"""Offset of the record whose event was folded last; -1: none was."""
CLOCK_BEFORE: Final = 5
"""The received clock before that record. It may have several events, and the first of them moves the clock."""
SCALARS: Final = 6


def no_scalars() -> npt.NDArray[np.int64]:
    """Those of a partition of which nothing is known."""
    scalars = np.zeros(SCALARS, np.int64)
    scalars[RECORD] = -1
    return scalars


class Buckets(NamedTuple):
    """One element a bucket."""

    through: npt.NDArray[np.int64]
    """Source offset up to which the loaded record holds what happened."""
    dirty_since: npt.NDArray[np.int64]
    """Offset of the first event that no written record of the bucket holds; -1: none."""
    dirty_clock: npt.NDArray[np.int64]
    """The received clock before the record of that event."""


class Live(NamedTuple):
    """All state of a partition that the compiled code works on."""

    sessions: sessions.Table
    held: held.Pool
    minutes: minutes.Table
    buckets: Buckets
    minute_through: npt.NDArray[np.int64]
    """Stored minutes that may hold events of the replay: [n, 2], minute and offset."""
    scalars: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    sums: npt.NDArray[np.int64]
    """PARTS of all counted events since the topic's beginning: their differences are rates by the second."""
    empty: npt.NDArray[Any]
    pieces: npt.NDArray[np.int64]


@compiled
def fold_events(live: Live, events: Any, first: int, timeout_ms: int, freeze_after_ms: int) -> int:
    """Fold events from place `first` on; returns where room ran out (make some, and go on there), or their number."""
    state = live.scalars
    for i in range(first, len(events)):
        if not _has_room(live):
            return i
        event = events[i]
        if event.offset != state[RECORD]:
            state[RECORD] = event.offset
            state[CLOCK_BEFORE] = state[CLOCK]
        if event.received_ms > state[CLOCK]:
            # Before minutes are frozen: what waits came in time for them, however long no record came.
            while held.is_due(live.held, event.received_ms):
                _give_up_oldest(live, event.offset, timeout_ms)
                if not _has_room(live):
                    return i
            _advance_clock(live, event.received_ms, freeze_after_ms)
        bucket = event.bucket
        if event.offset < live.buckets.through[bucket]:
            continue
        _mark(live, bucket, event.offset, state[CLOCK_BEFORE])
        _take(live, event, timeout_ms, event.offset >= state[TOTALS_THROUGH])
    return len(events)


@inlined
def _has_room(live: Live) -> bool:
    """Whether there is room for whatever one record may bring, with all that it releases of one session."""
    return (
        sessions.has_room(live.sessions)
        and held.has_room(live.held)
        and minutes.has_room(live.minutes, most_pieces(len(live.pieces)))
    )


@compiled
def most_pieces(of_an_event: int) -> int:
    """Pieces that one record may bring, by those of one event."""
    return of_an_event * (HELD_EVENTS + 2)


@inlined
def _mark(live: Live, bucket: int, offset: int, clock_before: int) -> None:
    """The record at `offset` changes a bucket."""
    if live.buckets.dirty_since[bucket] < 0:
        live.buckets.dirty_since[bucket] = offset
        live.buckets.dirty_clock[bucket] = clock_before


@inlined
def _advance_clock(live: Live, clock_ms: int, freeze_after_ms: int) -> None:
    """Minutes that the clock has passed are frozen. Record by record, so that what is late does not depend on how
    records came in batches."""
    live.scalars[CLOCK] = clock_ms
    before = live.scalars[OPEN_MINUTE]
    until = max(0, clock_ms - freeze_after_ms) // MINUTE_MS
    if until > before:
        live.scalars[OPEN_MINUTE] = until
        minutes.freeze(live.minutes, before, until)


@inlined
def _take(live: Live, event: Any, timeout_ms: int, is_counted: bool) -> None:
    counts, one = live.counts, 1 if is_counted else 0
    fate = event.fate
    if fate in (EVENT, REJECTED, ARRIVED):
        counts[APPLIED] += one
        if event.is_misplaced:
            counts[MISPLACED] += one
    if fate == REJECTED:
        counts[REJECTS] += one
        return
    if fate in (ARRIVED, RELEASED):
        counts[HELD] += one * event.seq
        return
    if fate in (EVENT, FOLDED):
        row = _session_of(live, event, timeout_ms)
        if fate == EVENT and is_ahead(live.sessions.rows[row], event.seq) and not event.is_derived:
            _hold(live, row, event, timeout_ms, one)
            return
        _settle(live, row, event, timeout_ms, is_counted)
        if live.held.ends[held.OLDEST] >= 0 and live.sessions.waiting[row] >= 0:
            _drain(live, row, ABSENT, event.offset, timeout_ms)
        return
    if fate == REPEATED:
        row = sessions.find(live.sessions, event.group_1, event.group_2)
        if row >= 0:
            live.sessions.rows[row].duplicate_event_count += 1
    _count(live, event, fate != REPEATED, one)


@inlined
def _count(live: Live, event: Any, is_new: bool, one: int) -> None:
    """A record's turn has come."""
    if not is_new:
        live.counts[DUPLICATES] += one
    elif event.fate == LATE or event.at_ms // MINUTE_MS < live.scalars[OPEN_MINUTE]:
        live.counts[LATE_EVENTS] += one
    else:
        live.counts[COUNTED_EVENTS] += one


@inlined
def _hold(live: Live, row: int, event: Any, timeout_ms: int, one: int) -> None:
    """Let an event wait for those before it."""
    session = live.sessions.rows[row]
    session.last_received_ms = max(session.last_received_ms, event.received_ms)
    live.counts[HELD] += one
    if held.put(live.held, live.sessions, row, event, live.scalars[CLOCK]) > HELD_EVENTS:
        first = live.held.events[live.sessions.waiting[row]].seq
        _drain(live, row, first, event.offset, timeout_ms)


@compiled
def _give_up_oldest(live: Live, offset: int, timeout_ms: int) -> None:
    """What has waited longest is due, by the record at `offset`: so is what is before it in its session."""
    place = live.held.ends[held.OLDEST]
    event = live.held.events[place]
    _mark(live, event.bucket, offset, live.scalars[CLOCK])
    _drain(live, live.held.rows[place], event.seq, offset, timeout_ms)


@compiled
def _drain(live: Live, row: int, given_up: int, offset: int, timeout_ms: int) -> None:
    """Fold the events of a session that wait no longer: up to the number `given_up`, and what goes on from there.

    They count as the record's at `offset`, which released them: what holds that one holds them.
    """
    is_counted = offset >= live.scalars[TOTALS_THROUGH]
    while live.sessions.waiting[row] >= 0:
        event = live.held.events[live.sessions.waiting[row]]
        if event.seq > given_up and is_ahead(live.sessions.rows[row], event.seq):
            return
        held.take(live.held, live.sessions, row)
        event.offset = offset
        if is_counted:
            live.counts[HELD] -= 1
        _settle(live, row, event, timeout_ms, is_counted)


@inlined
def _session_of(live: Live, event: Any, timeout_ms: int) -> int:
    """Row of the session that an event is of, a new one where it begins one."""
    row = sessions.find(live.sessions, event.group_1, event.group_2)
    if row < 0:
        row = sessions.insert(live.sessions, event.group_1, event.group_2, event.bucket)
        _open(live, row, event)
    else:
        known = live.sessions.rows[row]
        is_over = live.scalars[CLOCK] - known.last_received_ms > timeout_ms and live.sessions.waiting[row] < 0
        if is_over or not belongs(known, event.at_ms, timeout_ms):
            _open(live, row, event)
    return row


@inlined
def _settle(live: Live, row: int, event: Any, timeout_ms: int, is_counted: bool) -> None:
    """Fold an event into its session and count its record, if it stands for one."""
    is_new = _fold(live, row, event, timeout_ms, is_counted)
    if event.fate == EVENT:
        _count(live, event, is_new, 1 if is_counted else 0)


@inlined
def _fold(live: Live, row: int, event: Any, timeout_ms: int, is_counted: bool) -> bool:
    """Whether the event was folded: not one that its session has seen."""
    session = live.sessions.rows[row]
    if sessions.is_repeat(session, event.digest):
        session.duplicate_event_count += 1
        return False
    if session.event_count == 0:  # the one that opened the session may wait
        begin(session, event)
    made = advance(session, event, timeout_ms, live.pieces)
    for k in range(made):
        piece = live.pieces[k]
        if k == made - 1:
            for d in range(len(session.names)):
                if session.names[d] == 0:
                    session.names[d] = event.names[d]
        if piece[MINUTE] < live.scalars[OPEN_MINUTE]:
            continue
        if is_counted:
            for p in range(len(live.sums)):
                live.sums[p] += piece[FIRST_PART + p]
        if event.offset >= live.scalars[REPLAY_UNTIL] or not _holds(live, piece[MINUTE], event.offset):
            minutes.add_piece(live.minutes, piece, session.names)
    live.pieces[:made] = 0
    return True


@compiled
def _open(live: Live, row: int, event: Any) -> None:
    """Begin a new session in a row."""
    session = live.sessions.rows[row]
    fresh = live.empty[0]
    fresh.group_1, fresh.group_2 = session.group_1, session.group_2
    live.sessions.rows[row] = fresh
    session = live.sessions.rows[row]
    session.is_derived_id = event.is_derived
    begin(session, event)


@inlined
def _holds(live: Live, minute: int, offset: int) -> bool:
    """Whether the stored record of a minute holds what the event at `offset` added to it."""
    for k in range(len(live.minute_through)):
        if live.minute_through[k, 0] == minute:
            return offset < live.minute_through[k, 1]  # type: ignore[no-any-return]
    return False


def no_counts() -> npt.NDArray[np.int64]:
    """Nothing counted yet."""
    return np.zeros(len(COUNTS), np.int64)


def no_sums() -> npt.NDArray[np.int64]:
    """No parts yet."""
    return np.zeros(len(PARTS), np.int64)
