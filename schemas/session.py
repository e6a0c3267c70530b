"""What a viewing session is: the fold from playback events to a session, and how events are grouped into sessions.

`advance` is the one definition. It is written so that it runs as Python on the structs of `schemas/session_state.py`
and, compiled, on numpy records with the same fields: the stream worker folds event by event that way, Spark folds whole
sessions (`schemas/sessionize.py`). No clock and no I/O: time comes with the events. Terms follow CTA-2066; a session's
life is a walk through phases:

    idle ─play→ starting ─first_frame→ playing ⇄ stalled | seeking | paused | ad ─stop, fatal error→ ended

The time between two events belongs to the phase that the first one left the session in.
"""

from __future__ import annotations

import math
from typing import Any, Final

from infra.compiled import shared
from schemas.quality import MINUTE_MS, PART, PARTS, STARTUP_BUCKETS
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

# A piece is what one event adds to one minute: a row of integers with its minute, its startup bucket or -1, and PARTS.
MINUTE: Final = 0
BUCKET: Final = 1
FIRST_PART: Final = 2
PIECE_WIDTH = FIRST_PART + len(PARTS)

MAX_RATE: Final = 16.0
MAX_KBPS: Final = 1_000_000
MAX_POSITION_MS: Final = 40 * 365 * 86_400_000
"""PLAUSIBLE: rate 0 to 16 (what browsers can play), bitrate 0 to 1 Gbit/s, no negative position, count or latency, and
no position after 40 years. Live players give the wall clock as their position, which is beyond that: not a position."""

# Places of the vocabulary and of the parts, as constants that the compiler sees.
_RANK = PLAYBACK.rank
_PLAY, _FIRST_FRAME, _PAUSE, _RESUME = _RANK["play"], _RANK["first_frame"], _RANK["pause"], _RANK["resume"]
_SEEK, _STALL_START, _STALL_END = _RANK["seek"], _RANK["stall_start"], _RANK["stall_end"]
_QUALITY_CHANGE, _HEARTBEAT = _RANK["quality_change"], _RANK["heartbeat"]
_BACKGROUND, _FOREGROUND = _RANK["background"], _RANK["foreground"]
_AD_START, _AD_END, _AD_ERROR = _RANK["ad_start"], _RANK["ad_end"], _RANK["ad_error"]
_ERROR, _STOP = _RANK["error"], _RANK["stop"]

_AT = {part: FIRST_PART + place for part, place in PART.items()}
_EVENTS, _PLAYS, _FIRST_FRAMES, _STALLS = _AT["events"], _AT["plays"], _AT["first_frames"], _AT["stalls"]
_START_FAILURES, _PLAYBACK_FAILURES = _AT["start_failures"], _AT["playback_failures"]
_BUSINESS_FAILURES, _EXITS = _AT["business_failures"], _AT["exits_before_start"]
_STALL_MS, _PLAYING_MS, _WATCHED_MS, _MEDIA_MS = _AT["stall_ms"], _AT["playing_ms"], _AT["watched_ms"], _AT["media_ms"]
_BITS, _BITRATE_MEDIA_MS = _AT["bits_played"], _AT["bitrate_media_ms"]
_STARTS, _STARTUP_MS, _ACTIVE = _AT["starts"], _AT["startup_ms"], _AT["active_sessions"]
_SWITCHES, _DROPPED = _AT["bitrate_switches"], _AT["dropped_frames"]
_LATENCY_SUM, _LATENCY_SAMPLES = _AT["live_latency_sum_ms"], _AT["live_latency_samples"]
_AD_STARTS, _AD_ERRORS = _AT["ad_starts"], _AT["ad_errors"]


def pieces_of_an_event(timeout_ms: int) -> int:
    """The most pieces that one event can make: a silence counts for the time-out at most."""
    return timeout_ms // MINUTE_MS + 3


@shared
def belongs(state: Any, at_ms: int, timeout_ms: int) -> bool:
    """Whether an event of the group is the session's: always with a client's id, else unless a gap lies between."""
    return not state.is_derived_id or state.first_ms - timeout_ms < at_ms <= state.last_ms + timeout_ms


@shared
def begin(state: Any, event: Any) -> None:
    """Set the times of an empty state to those of its first event (which is not folded yet)."""
    state.first_ms = event.at_ms
    state.last_ms = event.at_ms
    state.first_received_ms = event.received_ms
    state.last_received_ms = event.received_ms


@shared
def advance(state: Any, event: Any, timeout_ms: int, pieces: Any) -> int:
    """Advance `state` by one event; returns how many rows of `pieces` say what it added to which minutes.

    state    fields of `Numbers`
    event    fields of `EventNumbers`
    pieces   pieces_of_an_event(timeout_ms) rows of PIECE_WIDTH integers, all 0; whoever reads them clears them. The
             last piece is the event's own; those before it are the time since the event before, which belongs to the
             attributes that the session had then.

    An event older than the session's newest adds no time (live, out of order); a silence counts `timeout_ms` at most.
    """
    made = 0
    if event.at_ms > state.last_ms:
        made = _spend(state, min(event.at_ms - state.last_ms, timeout_ms), pieces)
        state.last_ms = event.at_ms
    state.first_ms = min(state.first_ms, event.at_ms)
    state.first_received_ms = min(state.first_received_ms, event.received_ms)
    state.last_received_ms = max(state.last_received_ms, event.received_ms)
    own = pieces[made]
    own[MINUTE] = event.at_ms // MINUTE_MS
    own[BUCKET] = -1
    own[_EVENTS] = 1
    _count(state, event, own)
    _move(state, event, own)
    if event.kind not in (_SEEK, _STALL_START, _QUALITY_CHANGE):
        state.just_sought = False
    return made + 1


@shared
def _spend(state: Any, elapsed_ms: int, pieces: Any) -> int:
    """Give the time since the last event to the phase it was spent in, minute by minute where it was watched."""
    phase = state.phase
    if phase in (PLAYING, STALLED):
        if state.is_background:
            state.background_ms += elapsed_ms
        return _watch(state, elapsed_ms, pieces)
    if phase == STARTING:
        state.starting_ms += elapsed_ms
    elif phase == SEEKING:
        state.seeking_ms += elapsed_ms
    elif phase == PAUSED:
        state.paused_ms += elapsed_ms
    elif phase in (AD, AD_STALLED):
        state.ad_ms += elapsed_ms
        if phase == AD_STALLED:
            state.ad_stall_ms += elapsed_ms
        if not state.is_started:
            state.preroll_ms += elapsed_ms
    return 0


@shared
def _watch(state: Any, elapsed_ms: int, pieces: Any) -> int:
    """Playing or stalled time, split at the minutes that it spans. Whole media ms and bits are cumulative differences,
    so that splitting loses nothing to rounding."""
    made = 0
    done = 0
    media_done = 0
    kbps = 0 if state.bitrate_kbps == ABSENT else state.bitrate_kbps
    while done < elapsed_ms:
        minute = (state.last_ms + done) // MINUTE_MS
        length = min(elapsed_ms, (minute + 1) * MINUTE_MS - state.last_ms) - done
        done += length
        piece = pieces[made]
        piece[MINUTE] = minute
        piece[BUCKET] = -1
        piece[_WATCHED_MS] = length
        if state.phase == PLAYING:
            media = int(math.floor(done * state.rate + 0.5)) - media_done
            media_done += media
            piece[_PLAYING_MS] = length
            piece[_MEDIA_MS] = media
            piece[_BITS] = media * kbps
            state.playing_ms += length
            state.media_ms += media
            state.bits_played += media * kbps
            if state.bitrate_kbps != ABSENT:
                piece[_BITRATE_MEDIA_MS] = media
                state.bitrate_media_ms += media
        else:
            piece[_STALL_MS] = length
            state.stall_ms += length
        if minute > state.last_active_minute:
            piece[_ACTIVE] = 1
            state.last_active_minute = minute
        made += 1
    return made


@shared
def _count(state: Any, event: Any, own: Any) -> None:
    """Counters that any event may bring. What no player can mean is counted as absurd, and nothing else."""
    state.event_count += 1
    if event.seq != ABSENT:
        state.seq_count += 1
        state.seq_min = event.seq if state.seq_min == ABSENT else min(state.seq_min, event.seq)
        state.seq_max = max(state.seq_max, event.seq)
    if event.position_ms != ABSENT:
        if 0 <= event.position_ms <= MAX_POSITION_MS:
            if event.kind != _SEEK:
                state.max_position_ms = max(state.max_position_ms, event.position_ms)
            if event.at_ms >= state.last_ms:
                state.end_position_ms = event.position_ms
        else:
            state.absurd_value_count += 1
    if event.dropped_frames != ABSENT:
        if event.dropped_frames >= 0:
            before = max(0, state.dropped_frames)
            own[_DROPPED] = max(0, event.dropped_frames - before)
            state.dropped_frames = max(before, event.dropped_frames)
        else:
            state.absurd_value_count += 1
    if event.live_latency_ms != ABSENT:
        if 0 <= event.live_latency_ms <= MAX_POSITION_MS:
            state.live_latency_sum_ms += event.live_latency_ms
            state.live_latency_samples += 1
            own[_LATENCY_SUM] = event.live_latency_ms
            own[_LATENCY_SAMPLES] = 1
        else:
            state.absurd_value_count += 1
    if not math.isnan(event.playback_rate):
        if 0.0 <= event.playback_rate <= MAX_RATE:
            state.rate = event.playback_rate
        else:
            state.absurd_value_count += 1
    if event.bitrate_kbps != ABSENT:
        if 0 <= event.bitrate_kbps <= MAX_KBPS:
            if event.kind == _QUALITY_CHANGE and state.bitrate_kbps not in (ABSENT, event.bitrate_kbps):
                state.bitrate_switch_count += 1
                own[_SWITCHES] = 1
            state.bitrate_kbps = event.bitrate_kbps
        else:
            state.absurd_value_count += 1


@shared
def _move(state: Any, event: Any, own: Any) -> None:
    """The walk through the phases."""
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
        _stall_start(state, own)
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
def _start(state: Any, own: Any) -> None:
    _attempt(state, own)
    if not state.is_started:
        own[_STARTS] = 1
    state.is_started = True
    state.phase = PLAYING


@shared
def _join(state: Any, own: Any) -> None:
    """A session whose beginning is unknown is playing when a sign of playback comes."""
    if state.phase == IDLE:
        _start(state, own)


@shared
def _play(state: Any, event: Any, own: Any) -> None:
    _attempt(state, own)
    if state.play_ms == ABSENT:
        state.play_ms = event.at_ms
    state.end = OPEN
    if state.is_derived_id:
        # Without session ids the vocabulary is play | pause | stop: no first frame will come, and play also resumes.
        _start(state, own)
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
    _start(state, own)


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
def _stall_start(state: Any, own: Any) -> None:
    _join(state, own)
    if state.phase == AD:
        state.phase = AD_STALLED
    elif state.phase == PLAYING and state.just_sought:
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


@shared
def startup_bucket(startup_ms: int) -> int:
    """Place of a startup time in the histogram (`schemas.quality.STARTUP_BUCKETS`)."""
    if startup_ms < 1:
        return 0
    return min(STARTUP_BUCKETS - 1, int(math.floor(4 * math.log2(startup_ms) + 1e-9)))
