"""The fold over whole groups, compiled: what `schemas.sessionize.sessionize` says, on arrays.

Numbers are folded; of texts only the place of the event is kept that a session has them from. What a session adds to
its minutes grows in time, so a piece belongs to the newest row of minutes or begins the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from infra.compiled import compiled
from schemas.conclusion import CONCLUSION_FIELDS, Conclusion, conclude
from schemas.piece import BUCKET, FIRST_PART, MINUTE, PIECE_WIDTH, pieces_of_an_event
from schemas.quality import DIMENSIONS, MINUTE_MS
from schemas.registry import PLAYBACK
from schemas.session import advance, begin, belongs
from schemas.session_state import ATTRIBUTES, ENDED, EVENT_FIELDS, SESSION_FIELDS, Numbers
from schemas.whole.order import Ids, in_order

ERROR_CODE: Final = len(ATTRIBUTES)
"""Its place among the texts of a session, behind the ATTRIBUTES."""
_DIMENSIONS: Final = tuple(ATTRIBUTES.index(name) for name in DIMENSIONS)
_ERROR: Final = PLAYBACK.rank["error"]

EVENT = np.dtype(
    [
        *EVENT_FIELDS,
        ("group", "i4"),  # groups that follow each other have rising numbers
        ("event_id", "i4"),  # the same number for the same id
        ("copies", "i4"),  # how often it was received
        ("told", "i4"),  # bit k: it tells ATTRIBUTES[k]
        ("is_derived", "?"),
    ]
)
SESSION = np.dtype([*SESSION_FIELDS, *CONCLUSION_FIELDS, ("group", "i4"), ("texts", "i4", (ERROR_CODE + 1,))])
"""`texts`: place of the event that each text is from, -1 for none."""


@dataclass(frozen=True)
class Folded:
    """The sessions of some groups."""

    sessions: npt.NDArray[Any]
    minutes_until: npt.NDArray[np.int64]
    """Of each session, where its rows of minutes end and those of the next begin."""
    minutes: npt.NDArray[np.int64]
    """[m, PIECE_WIDTH]: sums of pieces."""
    dimensions: npt.NDArray[np.int32]
    """[m, len(DIMENSIONS)]: place of the event that each dimension is from, -1 for none."""


class Room(NamedTuple):
    """Where the compiled fold writes."""

    sessions: npt.NDArray[Any]
    minutes_until: npt.NDArray[np.int64]
    minutes: npt.NDArray[np.int64]
    dimensions: npt.NDArray[np.int32]
    used: npt.NDArray[np.int64]
    """Sessions and rows of minutes so far."""
    seen_in: npt.NDArray[np.int32]
    """Id of an event → the session that has it."""
    pieces: npt.NDArray[np.int64]
    empty: npt.NDArray[Any]


def fold_whole(events: npt.NDArray[Any], ids: Ids, now_ms: int, timeout_ms: int) -> Folded:
    """Fold groups of `events` (EVENT) as of received time `now_ms`."""
    order = in_order(events, ids)
    room = _room_for(events, timeout_ms)
    done = 0
    while (done := _fold(room, events, order, done, timeout_ms)) < len(events):
        room = room._replace(minutes=_doubled(room.minutes), dimensions=_doubled(room.dimensions))
    sessions, minutes = room.sessions[: room.used[0]], int(room.used[1])
    _conclude(sessions, now_ms, timeout_ms)
    return Folded(sessions, room.minutes_until[: len(sessions)], room.minutes[:minutes], room.dimensions[:minutes])


def _room_for(events: npt.NDArray[Any], timeout_ms: int) -> Room:
    count, minutes = len(events), 5 * len(events) + pieces_of_an_event(timeout_ms)
    empty = np.zeros(1, SESSION)
    for struct in (Numbers(), Conclusion()):
        for name in struct.__struct_fields__:
            empty[name] = getattr(struct, name)
    empty["texts"] = -1
    return Room(
        sessions=np.empty(count, SESSION),
        minutes_until=np.empty(count, np.int64),
        minutes=np.empty((minutes, PIECE_WIDTH), np.int64),
        dimensions=np.empty((minutes, len(DIMENSIONS)), np.int32),
        used=np.zeros(2, np.int64),
        seen_in=np.full(int(events["event_id"].max(initial=-1)) + 1, -1, np.int32),
        pieces=np.zeros((pieces_of_an_event(timeout_ms), PIECE_WIDTH), np.int64),
        empty=empty,
    )


def _doubled(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    more = np.empty((2 * len(rows), rows.shape[1]), rows.dtype)
    more[: len(rows)] = rows
    return more


@compiled
def _fold(room: Room, events: Any, order: Any, first: int, timeout_ms: int) -> int:
    """Fold group by group from place `first` of the order on; returns where room for minutes ran out, or the end."""
    while first < len(order):
        end = first + 1
        while end < len(order) and events[order[end]].group == events[order[first]].group:
            end += 1
        # An event makes a piece for itself, and for each minute that its silence touches: two, and one a minute; one
        # more where the silence was of two phases.
        span_ms = events[order[end - 1]].at_ms - events[order[first]].at_ms
        needed = min((end - first) * len(room.pieces), 4 * (end - first) + span_ms // MINUTE_MS)
        if room.used[1] + needed > len(room.minutes):
            return first
        _fold_group(room, events, order[first:end], timeout_ms)
        first = end
    return first


@compiled
def _fold_group(room: Room, events: Any, order: Any, timeout_ms: int) -> None:
    base = room.used[0]
    current = base - 1
    for k in range(len(order)):
        i = order[k]
        event = events[i]
        seen_in = room.seen_in[event.event_id]
        if seen_in >= base:
            room.sessions[seen_in].duplicate_event_count += event.copies
            continue
        if current < base or not belongs(room.sessions[current], event.at_ms, timeout_ms):
            current = _open(room, event)
        room.seen_in[event.event_id] = current
        room.sessions[current].duplicate_event_count += event.copies - 1
        _fold_event(room, current, event, i, timeout_ms)


@compiled
def _open(room: Room, event: Any) -> int:
    current = room.used[0]
    room.used[0] = current + 1
    room.sessions[current] = room.empty[0]
    session = room.sessions[current]
    session.is_derived_id = event.is_derived
    session.group = event.group
    begin(session, event)
    return current  # type: ignore[no-any-return]


@compiled
def _fold_event(room: Room, current: int, event: Any, i: int, timeout_ms: int) -> None:
    session = room.sessions[current]
    was_ended = session.phase == ENDED
    made = advance(session, event, timeout_ms, room.pieces)
    for k in range(made - 1):
        _add_piece(room, current, k)
    for k in range(len(ATTRIBUTES)):
        if (event.told >> k) & 1 and session.texts[k] < 0:
            session.texts[k] = i
    if event.fatal and event.kind == _ERROR and not was_ended:
        session.texts[ERROR_CODE] = i
    _add_piece(room, current, made - 1)
    room.pieces[:made] = 0
    room.minutes_until[current] = room.used[1]


@compiled
def _add_piece(room: Room, current: int, k: int) -> None:
    """Add a piece to the session's newest row of minutes, or to a new one if minute or dimensions have changed."""
    piece, texts = room.pieces[k], room.sessions[current].texts
    first = room.minutes_until[current - 1] if current > 0 else 0
    at = room.used[1] - 1
    is_same = at >= first and room.minutes[at, MINUTE] == piece[MINUTE]
    if is_same:
        for d in range(len(_DIMENSIONS)):
            if room.dimensions[at, d] != texts[_DIMENSIONS[d]]:
                is_same = False
    if not is_same:
        at += 1
        room.used[1] = at + 1
        room.minutes[at] = 0
        room.minutes[at, MINUTE] = piece[MINUTE]
        room.minutes[at, BUCKET] = -1
        for d in range(len(_DIMENSIONS)):
            room.dimensions[at, d] = texts[_DIMENSIONS[d]]
    if piece[BUCKET] >= 0:
        room.minutes[at, BUCKET] = piece[BUCKET]
    for p in range(FIRST_PART, PIECE_WIDTH):
        room.minutes[at, p] += piece[p]


@compiled
def _conclude(sessions: Any, now_ms: int, timeout_ms: int) -> None:
    for s in range(len(sessions)):
        conclude(sessions[s], sessions[s], now_ms, timeout_ms)
