"""From the facts of playback events to sessions with names, by `schemas.session.advance`: what a session is, in Python.

Batch does the same over columns (`schemas/whole`). This form is what that one is checked against.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import compress
from operator import attrgetter
from typing import Any

from schemas.conclusion import ended_by
from schemas.piece import BUCKET, FIRST_PART, MINUTE, PIECE_WIDTH, pieces_of_an_event
from schemas.quality import DIMENSIONS, MINUTE_MS, PARTS, MinuteParts
from schemas.session import advance, begin, belongs
from schemas.session_state import ATTRIBUTES, END_REASONS, ENDED, Fact, Numbers, SessionState

Pieces = list[list[int]]
_NOTHING = [0] * PIECE_WIDTH
_dimensions = attrgetter(*DIMENSIONS)
_attributes = attrgetter(*ATTRIBUTES)


def derived_id(group_id: str, first_ms: int) -> str:
    """The id of a session whose client sent none, by its group and its first event."""
    return "d-" + hashlib.blake2b(f"{group_id}|{first_ms}".encode(), digest_size=12).hexdigest()


def open_session(fact: Fact) -> SessionState:
    """A new session whose first known event is `fact` (which is not folded yet)."""
    derived = fact.session_id is None
    state = SessionState(
        session_id=derived_id(fact.group_id, fact.at_ms) if derived else fact.group_id,
        group_id=fact.group_id,
        is_derived_id=derived,
    )
    begin(state, fact)
    return state


def no_pieces(timeout_ms: int) -> Pieces:
    """Rows for `fold` to work in. Lists: Python is several times slower at the elements of numpy arrays."""
    return [[0] * PIECE_WIDTH for _ in range(pieces_of_an_event(timeout_ms))]


def fold(state: SessionState, fact: Fact, timeout_ms: int, pieces: Pieces | None = None) -> list[MinuteParts]:
    """Advance `state` by one event, and say what it added to which minutes under which dimensions.

    `pieces`: of `no_pieces`, for a caller with many events; they are left as they came.
    """
    pieces = pieces or no_pieces(timeout_ms)
    was_ended = state.phase == ENDED
    before = _dimensions(state)
    made = advance(state, fact.numbers(), timeout_ms, pieces)
    for name, known, told in zip(ATTRIBUTES, _attributes(state), _attributes(fact), strict=True):
        if known is None and told is not None:
            setattr(state, name, told)
    if fact.fatal and fact.kind == "error" and not was_ended:
        state.error_code = fact.error_code
    now = _dimensions(state)
    minutes = [_minute(piece, before) for piece in pieces[: made - 1]] + [_minute(pieces[made - 1], now)]
    for piece in pieces[:made]:
        piece[:] = _NOTHING
    return minutes


def _minute(piece: list[int], dimensions: Any) -> MinuteParts:
    amounts = piece[FIRST_PART:]
    parts = dict(zip(compress(PARTS, amounts), filter(None, amounts), strict=True))
    bucket = None if piece[BUCKET] < 0 else piece[BUCKET]
    fields: Iterable[Any] = (piece[MINUTE] * MINUTE_MS, *dimensions, parts, bucket)
    return MinuteParts(*fields)


def end_reason(state: Numbers, now_ms: int, timeout_ms: int) -> str:
    """How the session ended, as of received time `now_ms`: open until it has been silent for the time-out."""
    return END_REASONS[ended_by(state, now_ms, timeout_ms)]


def sessionize(facts: Iterable[Fact], timeout_ms: int) -> Iterator[tuple[SessionState, list[MinuteParts]]]:
    """The sessions of one group, whatever order its events came in: the truth that batch computes.

    Duplicates (same event_id) count once and are tallied; derived sessions are split at gaps longer than the time-out.
    """
    pieces = no_pieces(timeout_ms)
    state: SessionState | None = None
    minutes: list[MinuteParts] = []
    seen: dict[str, SessionState] = {}
    for fact in sorted(facts, key=lambda fact: fact.order):
        if (first := seen.get(fact.event_id)) is not None:
            first.duplicate_event_count += 1
            continue
        if state is None or not belongs(state, fact.at_ms, timeout_ms):
            if state is not None:
                yield state, minutes
            state, minutes = open_session(fact), []
        seen[fact.event_id] = state
        minutes += fold(state, fact, timeout_ms, pieces)
    if state is not None:
        yield state, minutes
