"""The walk of a session through its phases: where each event leads, and what it counts on the way.

    idle ─play→ starting ─first_frame→ playing ⇄ stalled | seeking | paused | ad ─stop, fatal error→ ended

Terms follow CTA-2066. How long a session was in a phase, `schemas/session.py` sees to.
"""

from __future__ import annotations

from typing import Any

from infra.shared import shared
from schemas.piece import AT, BUCKET, startup_bucket
from schemas.playhead import has_jumped
from schemas.registry import PLAYBACK
from schemas.session_state import (
    ABSENT,
    AD,
    AD_STALLED,
    ATTEMPTED,
    ENDED,
    ERROR,
    EXIT_BEFORE_START,
    EXITED,
    FAILED,
    FAILED_TO_START,
    IDLE,
    OPEN,
    PAUSED,
    PLAYING,
    REFUSED,
    SEEKING,
    STALLED,
    START_FAILURE,
    STARTING,
    STOP,
)

# Places of the vocabulary and of the parts, as constants that the compiler sees.
_RANK = PLAYBACK.rank
_PLAY, _FIRST_FRAME, _PAUSE, _RESUME = _RANK["play"], _RANK["first_frame"], _RANK["pause"], _RANK["resume"]
_SEEK, _STALL_START, _STALL_END = _RANK["seek"], _RANK["stall_start"], _RANK["stall_end"]
_QUALITY_CHANGE, _HEARTBEAT = _RANK["quality_change"], _RANK["heartbeat"]
_BACKGROUND, _FOREGROUND = _RANK["background"], _RANK["foreground"]
_AD_START, _AD_END, _AD_ERROR = _RANK["ad_start"], _RANK["ad_end"], _RANK["ad_error"]
_ERROR, _STOP = _RANK["error"], _RANK["stop"]

_PLAYS, _STARTS, _FIRST_FRAMES, _STARTUP_MS = AT["plays"], AT["starts"], AT["first_frames"], AT["startup_ms"]
_START_FAILURES, _PLAYBACK_FAILURES = AT["start_failures"], AT["playback_failures"]
_BUSINESS_FAILURES, _EXITS, _STALLS = AT["business_failures"], AT["exits_before_start"], AT["stalls"]
_AD_STARTS, _AD_ERRORS = AT["ad_starts"], AT["ad_errors"]


@shared
def move(state: Any, event: Any, own: Any) -> None:
    """Where the event leads `state`; what it counts is added to `own`, its piece."""
    kind = event.kind
    if kind == _HEARTBEAT:
        _join(state, own)
    elif kind == _PLAY:
        _play(state, event, own)
    elif kind == _FIRST_FRAME:
        _first_frame(state, event, own)
    elif kind == _PAUSE:
        _pause(state)
    elif kind == _RESUME:
        _resume(state, own)
    elif kind == _SEEK:
        state.seek_count += 1
        state.just_sought = True
        if state.phase == STALLED:
            state.phase = SEEKING
    elif kind == _STALL_START:
        _stall_start(state, event, own)
    elif kind == _STALL_END:
        _stall_end(state, own)
    elif kind == _AD_START:
        if state.phase not in (AD, AD_STALLED, ENDED):
            state.ad_count += 1
            own[_AD_STARTS] = 1
            state.phase_before = PLAYING if state.is_started else STARTING
            state.phase = AD
    elif kind in (_AD_END, _AD_ERROR):
        if kind == _AD_ERROR:
            state.ad_error_count += 1
            own[_AD_ERRORS] = 1
        if state.phase in (AD, AD_STALLED):
            state.phase = state.phase_before
    elif kind == _BACKGROUND:
        state.is_background = True
    elif kind == _FOREGROUND:
        state.is_background = False
    elif kind == _ERROR:
        _error(state, event, own)
    elif kind == _STOP and state.phase != ENDED:
        is_exit = not state.is_started and state.play_ms != ABSENT
        state.end = EXIT_BEFORE_START if is_exit else STOP
        if is_exit:
            _once(state, own, _EXITS, EXITED)
        state.phase = ENDED
    if kind not in (_SEEK, _STALL_START, _QUALITY_CHANGE):
        state.just_sought = False


@shared
def _once(state: Any, own: Any, part: int, mark: int) -> None:
    """Count the session for a part that counts sessions, the first time."""
    if state.counted & mark == 0:
        state.counted = state.counted | mark
        own[part] = 1


@shared
def _attempt(state: Any, own: Any) -> None:
    """The viewer has asked for playback: a play says so, and all that can only follow one."""
    if state.play_ms == ABSENT and not state.is_started:
        _once(state, own, _PLAYS, ATTEMPTED)


@shared
def start(state: Any, own: Any) -> None:
    """Content plays."""
    _attempt(state, own)
    if not state.is_started:
        own[_STARTS] = 1
    state.is_started = True
    state.phase = PLAYING


@shared
def _join(state: Any, own: Any) -> None:
    """A session whose beginning is unknown is playing when a sign of playback comes."""
    if state.phase == IDLE:
        start(state, own)


@shared
def _play(state: Any, event: Any, own: Any) -> None:
    _attempt(state, own)
    if state.play_ms == ABSENT:
        state.play_ms = event.at_ms
    state.end = OPEN
    if state.is_derived_id:
        # Without session ids the vocabulary is play | pause | stop: no first frame will come, and play also resumes.
        start(state, own)
    elif state.phase in (IDLE, ENDED):
        state.phase = STARTING
    elif state.phase == PAUSED:
        state.phase = state.phase_before


@shared
def _first_frame(state: Any, event: Any, own: Any) -> None:
    if state.first_frame_ms == ABSENT:
        state.first_frame_ms = event.at_ms
        own[_FIRST_FRAMES] = 1
        if state.play_ms != ABSENT:
            state.startup_ms = max(0, event.at_ms - state.play_ms - state.preroll_ms)
            own[_STARTUP_MS] = state.startup_ms
            own[BUCKET] = startup_bucket(state.startup_ms)
    state.end = OPEN
    start(state, own)


@shared
def _pause(state: Any) -> None:
    """A pause ends a stall: time in it is paused time, and waiting after it is a new stall."""
    if state.phase in (PLAYING, STALLED, SEEKING):
        state.phase_before = PLAYING
    elif state.phase in (AD, AD_STALLED):
        state.phase_before = AD
    else:
        return
    state.phase = PAUSED
    state.pause_count += 1


@shared
def _resume(state: Any, own: Any) -> None:
    if state.phase == PAUSED:
        state.phase = state.phase_before
    else:
        _join(state, own)


@shared
def _stall_start(state: Any, event: Any, own: Any) -> None:
    _join(state, own)
    if state.phase == AD:
        state.phase = AD_STALLED
    elif state.phase == PLAYING and (state.just_sought or has_jumped(state, event)):
        state.phase = SEEKING
    elif state.phase == PLAYING:
        state.phase = STALLED
        state.stall_count += 1
        own[_STALLS] = 1


@shared
def _stall_end(state: Any, own: Any) -> None:
    _join(state, own)
    if state.phase in (STALLED, SEEKING):
        state.phase = PLAYING
    elif state.phase == AD_STALLED:
        state.phase = AD


@shared
def _error(state: Any, event: Any, own: Any) -> None:
    if not event.fatal or state.phase == ENDED:
        return
    _attempt(state, own)
    state.end = ERROR if state.is_started else START_FAILURE
    state.is_business_failure = event.is_business
    if event.is_business:
        _once(state, own, _BUSINESS_FAILURES, REFUSED)
    elif state.is_started:
        _once(state, own, _PLAYBACK_FAILURES, FAILED)
    else:
        _once(state, own, _START_FAILURES, FAILED_TO_START)
    state.phase = ENDED
