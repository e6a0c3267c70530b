"""What a viewing session is: the fold from playback events to a session, and how events are grouped into sessions.

`fold` is the one definition: the stream worker folds event by event, Spark folds whole sessions (`sessionize`).
No clock and no I/O: time comes with the events. Terms follow CTA-2066; a session's life is a walk through phases:

    idle ─play→ starting ─first_frame→ playing ⇄ stalled | seeking | paused | ad ─stop, fatal error→ ended

The time between two events belongs to the phase that the first one left the session in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from schemas.quality import MINUTE_MS, MinuteParts, startup_bucket
from schemas.session_state import (
    AD,
    AD_STALLED,
    ATTRIBUTES,
    ENDED,
    IDLE,
    PAUSED,
    PLAYING,
    RECENT_EVENTS,
    SEEKING,
    STALLED,
    STARTING,
    WATCHING,
    Fact,
    SessionState,
)


def open_session(fact: Fact) -> SessionState:
    """A new session whose first known event is `fact` (which is not folded yet)."""
    derived = fact.session_id is None
    name = f"{fact.group_id}|{fact.at_ms}"
    return SessionState(
        session_id="d-" + hashlib.blake2b(name.encode(), digest_size=12).hexdigest() if derived else fact.group_id,
        group_id=fact.group_id,
        is_derived_id=derived,
        first_ms=fact.at_ms,
        last_ms=fact.at_ms,
        first_received_ms=fact.received_ms,
        last_received_ms=fact.received_ms,
    )


def belongs(state: SessionState, fact: Fact, timeout_ms: int) -> bool:
    """Whether an event of the group is the session's: always with a client's id, else unless a gap lies between."""
    return not state.is_derived_id or state.first_ms - timeout_ms < fact.at_ms <= state.last_ms + timeout_ms


def fold(state: SessionState, fact: Fact, timeout_ms: int) -> list[MinuteParts]:
    """Advance `state` by one event, and say what it added to which minutes.

    An event older than the session's newest adds no time (live, out of order); a silence counts `timeout_ms` at most.
    """
    minutes: list[MinuteParts] = []
    if fact.at_ms > state.last_ms:
        minutes = _spend(state, min(fact.at_ms - state.last_ms, timeout_ms))
        state.last_ms = fact.at_ms
    state.first_ms = min(state.first_ms, fact.at_ms)
    state.first_received_ms = min(state.first_received_ms, fact.received_ms)
    state.last_received_ms = max(state.last_received_ms, fact.received_ms)
    _describe(state, fact)
    parts = {"events": 1}
    bucket = None
    transition = _TRANSITIONS.get(fact.kind)
    if transition is not None:
        startup_before = state.startup_ms
        transition(state, fact, parts)
        if state.startup_ms is not None and startup_before is None:
            bucket = startup_bucket(state.startup_ms)
    if fact.kind not in _KEEPS_SEEK:
        state.just_sought = False
    minutes.append(_minute(state, fact.at_ms // MINUTE_MS, parts, bucket))
    return minutes


def _spend(state: SessionState, elapsed_ms: int) -> list[MinuteParts]:
    """Give the time since the last event to the phase it was spent in, minute by minute where it was watched."""
    if state.phase in WATCHING:
        return _watch(state, elapsed_ms)
    if state.phase == STARTING:
        state.starting_ms += elapsed_ms
    elif state.phase == SEEKING:
        state.seeking_ms += elapsed_ms
    elif state.phase == PAUSED:
        state.paused_ms += elapsed_ms
    elif state.phase in (AD, AD_STALLED):
        state.ad_ms += elapsed_ms
        state.ad_stall_ms += elapsed_ms if state.phase == AD_STALLED else 0
        state.preroll_ms += 0 if state.is_started else elapsed_ms
    return []


def _watch(state: SessionState, elapsed_ms: int) -> list[MinuteParts]:
    """Playing or stalled time, split at the minutes that it spans. Whole media ms and bits are cumulative differences,
    so that splitting loses nothing to rounding."""
    minutes = []
    done, media_done = 0, 0
    while done < elapsed_ms:
        minute = (state.last_ms + done) // MINUTE_MS
        piece = min(elapsed_ms, (minute + 1) * MINUTE_MS - state.last_ms) - done
        done += piece
        parts = {"watched_ms": piece}
        if state.phase == PLAYING:
            media = round(done * state.rate) - media_done
            media_done += media
            bits = media * (state.bitrate_kbps or 0)
            parts |= {"playing_ms": piece, "media_ms": media, "bits_played": bits}
            state.playing_ms += piece
            state.media_ms += media
            state.bits_played += bits
        else:
            parts["stall_ms"] = piece
            state.stall_ms += piece
        if minute > state.last_active_minute:
            parts["active_sessions"] = 1
            state.last_active_minute = minute
        minutes.append(_minute(state, minute, parts))
    return minutes


def _minute(state: SessionState, minute: int, parts: dict[str, int], bucket: int | None = None) -> MinuteParts:
    return MinuteParts(
        minute * MINUTE_MS,
        state.content_id,
        state.country,
        state.device_type,
        state.cdn,
        state.app_version,
        parts,
        bucket,
    )


def _describe(state: SessionState, fact: Fact) -> None:
    """Counters and attributes that any event may bring."""
    state.event_count += 1
    for name in ATTRIBUTES:
        if getattr(state, name) is None and (value := getattr(fact, name)) is not None:
            setattr(state, name, value)
    if fact.seq is not None:
        state.seq_count += 1
        state.seq_min = fact.seq if state.seq_min is None else min(state.seq_min, fact.seq)
        state.seq_max = fact.seq if state.seq_max is None else max(state.seq_max, fact.seq)
    if fact.position_ms is not None:
        state.max_position_ms = max(state.max_position_ms or 0, fact.position_ms)
    if fact.dropped_frames is not None:
        state.dropped_frames = max(state.dropped_frames or 0, fact.dropped_frames)
    if fact.playback_rate is not None and fact.playback_rate >= 0:
        state.rate = fact.playback_rate
    if fact.bitrate_kbps is not None and fact.bitrate_kbps >= 0:
        if fact.kind == "quality_change" and state.bitrate_kbps not in (None, fact.bitrate_kbps):
            state.bitrate_switch_count += 1
        state.bitrate_kbps = fact.bitrate_kbps


def _start(state: SessionState) -> None:
    state.is_started = True
    state.phase = PLAYING


def _play(state: SessionState, fact: Fact, parts: dict[str, int]) -> None:
    if state.play_ms is None:
        state.play_ms = fact.at_ms
        parts["plays"] = 1
    state.end_reason = None
    if state.is_derived_id:
        # Without session ids the vocabulary is play | pause | stop: no first frame will come, and play also resumes.
        _start(state)
    elif state.phase in (IDLE, ENDED):
        state.phase = STARTING
    elif state.phase == PAUSED:
        _resume(state, fact, parts)


def _first_frame(state: SessionState, fact: Fact, parts: dict[str, int]) -> None:
    if state.first_frame_ms is None:
        state.first_frame_ms = fact.at_ms
        parts["first_frames"] = 1
        if state.play_ms is not None:
            state.startup_ms = max(0, fact.at_ms - state.play_ms - state.preroll_ms)
            parts["startup_ms"] = state.startup_ms
    state.end_reason = None
    _start(state)


def _pause(state: SessionState, _fact: Fact, _parts: dict[str, int]) -> None:
    if state.phase in (PLAYING, STALLED, SEEKING):
        state.phase_before = PLAYING
    elif state.phase in (AD, AD_STALLED):
        state.phase_before = AD
    else:
        return
    state.phase = PAUSED
    state.pause_count += 1


def _resume(state: SessionState, _fact: Fact, _parts: dict[str, int]) -> None:
    if state.phase == PAUSED:
        state.phase = state.phase_before
    else:
        _join(state, _fact, _parts)


def _join(state: SessionState, _fact: Fact, _parts: dict[str, int]) -> None:
    """A session whose beginning is unknown is playing when a sign of playback comes."""
    if state.phase == IDLE:
        _start(state)


def _seek(state: SessionState, _fact: Fact, _parts: dict[str, int]) -> None:
    state.seek_count += 1
    state.just_sought = True
    if state.phase == STALLED:
        state.phase = SEEKING


def _stall_start(state: SessionState, fact: Fact, parts: dict[str, int]) -> None:
    _join(state, fact, parts)
    if state.phase == AD:
        state.phase = AD_STALLED
    elif state.phase == PLAYING and state.just_sought:
        state.phase = SEEKING
    elif state.phase == PLAYING:
        state.phase = STALLED
        state.stall_count += 1
        parts["stalls"] = 1


def _stall_end(state: SessionState, fact: Fact, parts: dict[str, int]) -> None:
    _join(state, fact, parts)
    if state.phase in (STALLED, SEEKING):
        state.phase = PLAYING
    elif state.phase == AD_STALLED:
        state.phase = AD


def _ad_start(state: SessionState, _fact: Fact, _parts: dict[str, int]) -> None:
    if state.phase not in (AD, AD_STALLED, ENDED):
        state.phase_before = PLAYING if state.is_started else STARTING
        state.phase = AD


def _ad_end(state: SessionState, _fact: Fact, _parts: dict[str, int]) -> None:
    if state.phase in (AD, AD_STALLED):
        state.phase = state.phase_before


def _error(state: SessionState, fact: Fact, parts: dict[str, int]) -> None:
    if not fact.fatal or state.phase == ENDED:
        return
    state.error_code = fact.error_code
    state.end_reason = "error" if state.is_started else "start_failure"
    parts["playback_failures" if state.is_started else "start_failures"] = 1
    state.phase = ENDED


def _stop(state: SessionState, _fact: Fact, parts: dict[str, int]) -> None:
    if state.phase == ENDED:
        return
    state.end_reason = "stop" if state.is_started or state.play_ms is None else "exit_before_start"
    if state.end_reason == "exit_before_start":
        parts["exits_before_start"] = 1
    state.phase = ENDED


_TRANSITIONS = {
    "play": _play,
    "first_frame": _first_frame,
    "pause": _pause,
    "resume": _resume,
    "seek": _seek,
    "stall_start": _stall_start,
    "stall_end": _stall_end,
    "heartbeat": _join,
    "ad_start": _ad_start,
    "ad_end": _ad_end,
    "ad_error": _ad_end,
    "error": _error,
    "stop": _stop,
}
_KEEPS_SEEK = frozenset({"seek", "stall_start", "quality_change"})


def is_repeat(state: SessionState, fact: Fact) -> bool:
    """Whether a live session has just seen this event id; remembers it if not."""
    digest = hashlib.blake2b(fact.event_id.encode(), digest_size=8).digest()
    if digest in state.recent:
        state.duplicate_event_count += 1
        return True
    state.recent = (state.recent + digest)[-8 * RECENT_EVENTS :]
    return False


def end_reason(state: SessionState, now_ms: int, timeout_ms: int) -> str:
    """How the session ended, as of received time `now_ms`: open until it has been silent for the time-out."""
    if state.end_reason is not None:
        return state.end_reason
    return "timeout" if now_ms - state.last_received_ms >= timeout_ms else "open"


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
        if state is None or not belongs(state, fact, timeout_ms):
            if state is not None:
                yield state, minutes
            state, minutes = open_session(fact), []
        seen[fact.event_id] = state
        minutes += fold(state, fact, timeout_ms)
    if state is not None:
        yield state, minutes
