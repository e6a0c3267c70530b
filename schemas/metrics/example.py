"""Worked examples as events: what the notes of an `Example` mean, as facts that the fold takes.

    0 play user_id=ann
    1.5 first_frame bitrate_kbps=3000
    9 stop

A line is the second of the event, its type, and further fields of the contract. Nothing is received late: the broker's
stamp is the event's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.metrics.metric import Example
from schemas.registry import PLAYBACK
from schemas.session_state import Fact

START_MS = 1_768_509_000_000
"""Second 0 of every example: 2026-01-15, 20:30 UTC."""
_LONG_MS = 86_400_000


def parsed(notes: str) -> Iterator[tuple[int, str, dict[str, str]]]:
    """(ms since second 0, event type, fields as text) of each line. Raises ValueError for one that is none."""
    for line in notes.splitlines():
        second, kind, *fields = line.split()
        yield round(float(second) * 1000), kind, dict(field.split("=", 1) for field in fields)


def facts(example: Example) -> list[Fact]:
    """The playback events of all its sessions. Raises ValidationError for a field that no event has."""
    found = []
    for session_id, notes in example.sessions.items():
        for number, (ms, kind, fields) in enumerate(parsed(notes)):
            known: dict[str, Any] = {
                "at_ms": START_MS + ms, "received_ms": START_MS + ms, "kind": kind, "rank": PLAYBACK.rank[kind],
                "event_id": f"{session_id}/{number}", "session_id": session_id, "seq": number, **fields,
            }  # fmt: skip
            if unknown := fields.keys() - set(Fact.__struct_fields__):
                msg = f"expected fields of an event, got {', '.join(sorted(unknown))} in {notes!r}"
                raise ValueError(msg)
            found.append(msgspec.convert(known, Fact, strict=False))
    return found


def end_ms(example: Example) -> int:
    """A received time at which every session of the example is over."""
    return max((fact.received_ms for fact in facts(example)), default=START_MS) + _LONG_MS
