"""What the playhead tells that no event does: how far content was played, and what must have happened unheard.

Events get lost. Where the playhead is shows that a first frame came, that a stall or a pause ended, that the viewer
jumped. The functions run compiled, as `schemas/session.py` says.
"""

from __future__ import annotations

from typing import Any, Final

from infra.shared import shared
from schemas.registry import PLAYBACK
from schemas.session_state import ABSENT, AD, AD_STALLED, PAUSED, SEEKING, STALLED, STARTING

MAX_POSITION_MS: Final = 40 * 365 * 86_400_000
"""Nothing plays for 40 years. Live players give the wall clock as their position, which is beyond that: no position."""
MOVED_MS: Final = 1_000
"""A playhead that is so much further than it was has played; in a stall it may creep a little."""
JUMPED_MS: Final = 3_000
"""A playhead that is so far, and a tenth of what has played, from where it should be was moved."""

_RANK = PLAYBACK.rank
_SEEK, _HEARTBEAT, _QUALITY_CHANGE = _RANK["seek"], _RANK["heartbeat"], _RANK["quality_change"]
_AD_END, _AD_ERROR = _RANK["ad_end"], _RANK["ad_error"]
_PAUSE, _STALL_START, _STOP, _ERROR = _RANK["pause"], _RANK["stall_start"], _RANK["stop"], _RANK["error"]


@shared
def is_position(position_ms: int) -> bool:
    """Whether it can be one."""
    return 0 <= position_ms <= MAX_POSITION_MS


@shared
def played_unheard(state: Any, event: Any, elapsed_ms: int) -> int:
    """How much of the time since the last event must have been played, though nothing told of its beginning: the
    first frame, the end of a stall or of a pause was lost, and the playhead has moved on. ms.

    Not in ads: where they are part of the stream, or play in the same element, the playhead moves with them. Nor where
    it moved further than playing could bring it: players jump to where they begin before they have a picture.
    """
    if state.phase not in (STARTING, STALLED, SEEKING, PAUSED) or state.is_derived_id:
        return 0
    if event.kind not in (_HEARTBEAT, _QUALITY_CHANGE, _PAUSE, _STALL_START, _STOP, _ERROR):
        return 0
    if state.end_position_ms == ABSENT or not is_position(event.position_ms) or state.rate <= 0:
        return 0
    moved = event.position_ms - state.end_position_ms
    if moved < MOVED_MS or moved > elapsed_ms * state.rate + MOVED_MS:
        return 0
    return min(elapsed_ms, int(moved / state.rate + 0.5))


@shared
def has_jumped(state: Any, event: Any) -> bool:
    """Whether the playhead is somewhere else than playing could bring it: a seek was lost, or comes after its wait."""
    if not _is_known(state) or not is_position(event.position_ms):
        return False
    moved = state.media_ms - state.position_media_ms
    off = abs(event.position_ms - state.end_position_ms - moved)
    return bool(event.at_ms >= state.last_ms and off > max(JUMPED_MS, moved // 10))


@shared
def _is_known(state: Any) -> bool:
    """Whether one knows where the playhead is: where it was, and what has played since."""
    return ABSENT not in (state.end_position_ms, state.position_media_ms)


@shared
def reach(state: Any, event: Any, was_started: bool) -> None:
    """Take in the event's position: how far content was played, and where the playhead is.

    was_started   before this event

    A position was played if content began there or has moved to it; not if it was only asked for or jumped to. Where
    a jump came from is not told: it is the position before, and what has played since. After an ad with which the
    playhead moved, one knows where it is only when content tells.
    """
    is_known = _is_known(state)
    moved = state.media_ms - state.position_media_ms if is_known else 0
    if event.kind == _SEEK:
        if moved > 0:
            state.max_position_ms = max(state.max_position_ms, state.end_position_ms + moved)
    elif state.is_started and (moved > 0 or not was_started or event.position_ms != state.end_position_ms):
        state.max_position_ms = max(state.max_position_ms, event.position_ms)
    if event.at_ms >= state.last_ms:
        is_ad = state.phase in (AD, AD_STALLED) or event.kind in (_AD_END, _AD_ERROR)
        stands = is_known and abs(event.position_ms - state.end_position_ms - moved) < MOVED_MS
        state.position_media_ms = ABSENT if is_ad and not stands else state.media_ms
        state.end_position_ms = event.position_ms
