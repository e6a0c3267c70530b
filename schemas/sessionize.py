"""From the facts of playback events to sessions with names: what batch makes rows of, by `schemas.session.advance`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np

from schemas.quality import DIMENSIONS, MINUTE_MS, PARTS, MinuteParts
from schemas.session import BUCKET, FIRST_PART, MINUTE, PIECE_WIDTH, advance, begin, belongs, pieces_of_an_event
from schemas.session_state import ATTRIBUTES, END_REASONS, ENDED, OPEN, Fact, Numbers, SessionState


def open_session(fact: Fact) -> SessionState:
    """A new session whose first known event is `fact` (which is not folded yet)."""
    derived = fact.session_id is None
    name = f"{fact.group_id}|{fact.at_ms}"
    state = SessionState(
        session_id="d-" + hashlib.blake2b(name.encode(), digest_size=12).hexdigest() if derived else fact.group_id,
        group_id=fact.group_id,
        is_derived_id=derived,
    )
    begin(state, fact)
    return state


def fold(state: SessionState, fact: Fact, timeout_ms: int) -> list[MinuteParts]:
    """Advance `state` by one event, and say what it added to which minutes under which dimensions."""
    pieces = np.empty((pieces_of_an_event(timeout_ms), PIECE_WIDTH), np.int64)
    was_ended = state.phase == ENDED
    before = tuple(getattr(state, name) for name in DIMENSIONS)
    made = advance(state, fact.numbers(), timeout_ms, pieces)
    for name in ATTRIBUTES:
        if getattr(state, name) is None and (value := getattr(fact, name)) is not None:
            setattr(state, name, value)
    if fact.fatal and fact.kind == "error" and not was_ended:
        state.error_code = fact.error_code
    now = tuple(getattr(state, name) for name in DIMENSIONS)
    return [_minute(piece, now if place == made - 1 else before) for place, piece in enumerate(pieces[:made].tolist())]


def _minute(piece: list[int], dimensions: tuple[str | None, ...]) -> MinuteParts:
    parts = {part: amount for part, amount in zip(PARTS, piece[FIRST_PART:], strict=True) if amount}
    bucket = None if piece[BUCKET] < 0 else piece[BUCKET]
    known = dict(zip(DIMENSIONS, dimensions, strict=True))
    return MinuteParts(piece[MINUTE] * MINUTE_MS, **known, parts=parts, startup_bucket=bucket)


def end_reason(state: Numbers, now_ms: int, timeout_ms: int) -> str:
    """How the session ended, as of received time `now_ms`: open until it has been silent for the time-out."""
    if state.end != OPEN:
        return END_REASONS[state.end]
    return "timeout" if now_ms - state.last_received_ms >= timeout_ms else END_REASONS[OPEN]


def sessionize(facts: Iterable[Fact], timeout_ms: int) -> Iterator[tuple[SessionState, list[MinuteParts]]]:
    """The sessions of one group, whatever order its events came in: the truth that batch computes.

    Duplicates (same event_id) count once and are tallied; derived sessions are split at gaps longer than the time-out.
    """
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
        minutes += fold(state, fact, timeout_ms)
    if state is not None:
        yield state, minutes
