"""What a viewing session is: the fold from playback events to a session, and how events are grouped into sessions.

`advance` is the one definition. It is written so that it runs as Python on the structs of `schemas/session_state.py`
and, compiled, on numpy records with the same fields: the stream worker folds event by event that way, Spark folds whole
groups of events (`schemas/whole`). As Python it is what both are checked against (`schemas/sessionize.py`). No clock
and no I/O: time comes with the events.

Here are a session's time and its counters; `schemas/phases.py` is its walk through the phases. The time between two
events belongs to the phase that the first one left the session in.
"""

from __future__ import annotations

import math
from typing import Any, Final

from infra.shared import shared
from schemas.phases import move, start
from schemas.piece import AT, BUCKET, MINUTE
from schemas.playhead import MAX_POSITION_MS, is_position, played_unheard, reach
from schemas.quality import MINUTE_MS
from schemas.registry import PLAYBACK
from schemas.session_state import ABSENT, AD, AD_STALLED, PAUSED, PLAYING, SEEKING, STALLED, STARTING

MAX_RATE: Final = 16.0
MAX_KBPS: Final = 1_000_000
"""PLAUSIBLE: rate 0 to 16 (what browsers can play), bitrate 0 to 1 Gbit/s, no negative position, count or latency, and
no position or latency after 40 years (`schemas/playhead.py`)."""

# Places of the vocabulary and of the parts, as constants that the compiler sees.
_QUALITY_CHANGE = PLAYBACK.rank["quality_change"]

_EVENTS, _ACTIVE = AT["events"], AT["active_sessions"]
_STALL_MS, _PLAYING_MS, _WATCHED_MS, _MEDIA_MS = AT["stall_ms"], AT["playing_ms"], AT["watched_ms"], AT["media_ms"]
_BITS, _BITRATE_MEDIA_MS = AT["bits_played"], AT["bitrate_media_ms"]
_SWITCHES, _DROPPED = AT["bitrate_switches"], AT["dropped_frames"]
_LATENCY_SUM, _LATENCY_SAMPLES = AT["live_latency_sum_ms"], AT["live_latency_samples"]


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
    played = 0
    if event.at_ms > state.last_ms:
        elapsed = min(event.at_ms - state.last_ms, timeout_ms)
        played = played_unheard(state, event, elapsed)
        made = _spend(state, elapsed - played, pieces, 0)
        if played > 0:
            state.phase = PLAYING
            state.last_ms += elapsed - played
            made = _spend(state, played, pieces, made)
        state.last_ms = event.at_ms
    state.first_ms = min(state.first_ms, event.at_ms)
    state.first_received_ms = min(state.first_received_ms, event.received_ms)
    state.last_received_ms = max(state.last_received_ms, event.received_ms)
    own = pieces[made]
    own[MINUTE] = event.at_ms // MINUTE_MS
    own[BUCKET] = -1
    own[_EVENTS] = 1
    was_started = state.is_started
    if played > 0:
        start(state, own)
    _count(state, event, own)
    move(state, event, own)
    if is_position(event.position_ms):
        reach(state, event, was_started)
    return made + 1


@shared
def _spend(state: Any, elapsed_ms: int, pieces: Any, made: int) -> int:
    """Give time to the phase it was spent in, minute by minute where it was watched: `pieces` from `made` on.

    Returns how many there are then.
    """
    phase = state.phase
    if phase in (PLAYING, STALLED):
        if state.is_background:
            state.background_ms += elapsed_ms
        return _watch(state, elapsed_ms, pieces, made)
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
    return made


@shared
def _watch(state: Any, elapsed_ms: int, pieces: Any, made: int) -> int:
    """Playing or stalled time, split at the minutes that it spans. Whole media ms and bits are cumulative differences,
    so that splitting loses nothing to rounding."""
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
    if event.position_ms != ABSENT and not is_position(event.position_ms):
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
