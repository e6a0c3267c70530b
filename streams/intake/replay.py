"""Recorded sessions sent again, as events of today or of the day when they happened.

As now (the default), each session keeps its inner timing; the starts are laid evenly, in the order of the recordings,
into the `hours` before `until`, early enough that nothing lies in the future. `until` is the begun hour unless it is
given: the sessions and events of one window always have the same ids, so a replay that was cut short can be repeated
and silver keeps each event once. In another window they happen at other times and are other sessions.

With their original times the ids are those of the recording. Stamps older than a week before their arrival are not
believed (`schemas/event.py`): silver keeps such events, flagged, and counts them at the time when they arrived, so
their sessions have no length there. Original times are for files and for topics of one's own.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from infra.errors import SettingsError
from schemas.fact import from_ms, to_ms
from schemas.registry import PLAYBACK
from streams.intake.lumos import Recording
from streams.intake.simulation.faults import Arriving


class Begin(NamedTuple):
    """When a recording begins in the replay, and what its session is called there."""

    at_ms: int
    session_id: str


def begun_hour(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def original_times(recordings: Sequence[Recording]) -> list[Begin]:
    return [Begin(to_ms(recording.began_at), recording.session_id) for recording in recordings]


def as_now(recordings: Sequence[Recording], until: datetime, hours: float) -> list[Begin]:
    """Starts within the hours before `until`. Raises SettingsError when the longest session does not fit."""
    lengths = [recording.events()[-1][0] for recording in recordings]
    begin, end = to_ms(until - timedelta(hours=hours)), to_ms(until)
    room = end - begin - max(lengths, default=0)
    if room < 0:
        msg = f"expected --hours of at least {max(lengths) / 3_600_000:.2f}, the longest session; got {hours}"
        raise SettingsError(msg)
    tag = until.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ") + f"-{hours:g}h"
    steps = max(1, len(recordings) - 1)
    return [
        Begin(begin + room * place // steps, f"{recording.session_id}@{tag}")
        for place, recording in enumerate(recordings)
    ]


def arriving(recordings: Iterable[Recording], begins: Iterable[Begin]) -> Iterator[Arriving]:
    """The events of all sessions, in order of time."""
    yield from heapq.merge(
        *(_events(recording, begin) for recording, begin in zip(recordings, begins, strict=True)),
        key=lambda record: record.at_ms,
    )


def _events(recording: Recording, begin: Begin) -> Iterator[Arriving]:
    key = begin.session_id.encode()
    for seq, (after_ms, fields) in enumerate(recording.events(), 1):
        at_ms = begin.at_ms + after_ms
        event_id = hashlib.blake2b(f"{begin.session_id}/{seq}".encode(), digest_size=12).hexdigest()
        event = {
            "eventId": event_id,
            "sessionId": begin.session_id,
            "timestamp": from_ms(at_ms),
            "seq": seq,
            **recording.labels,
            **fields,
        }
        yield Arriving(at_ms, PLAYBACK.name, key, msgspec.json.encode(event), "valid")
