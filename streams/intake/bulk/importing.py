"""An import: the events of a file, sent at a set rate, from where an earlier import of it stopped.

The position is written when everything before it is acknowledged, so an import that was killed goes on with at most
the last few seconds sent twice. An event's id follows from the file, its unit and its place in it: what was sent twice
has the same id both times, and silver keeps it once.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from infra.errors import ContractError, SettingsError
from streams.intake.bulk import rows as files
from streams.intake.bulk.mapping import Made, Mapping, Unit
from streams.intake.targets import Target

SAVE_S = 2.0
_encode = msgspec.json.Encoder().encode


class Position(msgspec.Struct):
    """How far an import has come. `mapped_by` and `file` say of what it is the position."""

    file: str
    """sha256."""
    mapped_by: str
    row: int = 0
    rejected: int = 0
    is_done: bool = False


@dataclass(frozen=True)
class Window:
    """The units laid evenly into the hours before `until`, as if they had happened then."""

    until: datetime
    hours: float

    @property
    def tag(self) -> str:
        return f"{self.until.astimezone(UTC):%Y%m%dT%H%M%SZ}-{self.hours:g}h"


@dataclass
class Result:
    """What an import came to, together with what an earlier one of it had done."""

    rows: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    """By topic, in this run."""
    rejected: int = 0
    skipped_rows: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Event:
    """An event on its way, or why it is not."""

    row: int
    topic: str
    key: bytes | None
    value: bytes
    error: ContractError | None


def events(
    path: Path, mapping: Mapping, file_id: str, window: Window | None = None
) -> Iterator[tuple[Unit, list[Event]]]:
    """The units of a file with their events as they are sent: with ids, checked against their contracts."""
    total = sum(1 for _ in mapping.units(path)) if window else 0
    for place, unit in enumerate(mapping.units(path), 1):
        made = _moved(unit, place / total, window) if window else unit.events
        name = f"{file_id}/{unit.identity}" if window is None else f"{file_id}/{unit.identity}@{window.tag}"
        yield unit, [_checked(unit.row, f"{name}/{number}", one) for number, one in enumerate(made)]


def run(
    path: Path,
    mapping: Mapping,
    mapped_by: str,
    target: Target,
    position_file: Path,
    *,
    window: Window | None = None,
    rate: float | None = None,
    restart: bool = False,
    say: Callable[[Result], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Send what was not sent yet; `say` hears of the progress every second.

    What is rejected goes to `<position file>.rejected.ndjson`, a line each. Raises SettingsError when the position is
    that of another file or mapping.
    """
    file_id = files.fingerprint(path)
    if window:
        mapped_by += f" @{window.tag}"
    position = _position(position_file, file_id, mapped_by, restart)
    result = Result(skipped_rows=position.row)
    began = saved = said = time.monotonic()
    sent = 0
    rejected_file = position_file.with_name(position_file.name + ".rejected.ndjson")
    with rejected_file.open("ab" if position.row else "wb") as rejected:
        for unit, made in events(path, mapping, file_id, window):
            result.rows = unit.row
            if unit.row <= position.row or position.is_done:
                continue
            for event in made:
                if event.error is not None:
                    result.rejected += 1
                    position.rejected += 1
                    rejected.write(_encode(_why(event)) + b"\n")
                    continue
                if rate and (ahead := began + sent / rate - time.monotonic()) > 0:
                    target.pause()
                    sleep(ahead)
                target.send(event.topic, event.key, event.value)
                result.sent[event.topic] += 1
                sent += 1
            now = time.monotonic()
            if now - said > 1.0:
                said, result.seconds = now, now - began
                say(result)
            if now - saved > SAVE_S:
                _save(position_file, position, unit.row, target)
                rejected.flush()
                saved = time.monotonic()
        position.is_done = True
        _save(position_file, position, result.rows, target)
    if not rejected_file.stat().st_size:
        rejected_file.unlink()
    result.seconds = time.monotonic() - began
    return result


def describe(event: Event) -> dict[str, Any]:
    """What a dry run shows of an event."""
    return _why(event) if event.error else {"row": event.row, "topic": event.topic, "event": json.loads(event.value)}


def _checked(row: int, name: str, made: Made) -> Event:
    event_id = hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
    event = {"eventId": event_id, **made.event}
    error = made.error
    try:
        value = _encode(event)
        key = made.topic.decode(value).key.encode() if error is None else None
    except ContractError as broken:
        error, key = broken, None
    return Event(row, made.topic.name, key, value, error)


def _moved(unit: Unit, share: float, window: Window) -> list[Made]:
    """The unit's events with their distances kept, the last of them at its share of the window."""
    stamps = [one.event["timestamp"] for one in unit.events if isinstance(one.event.get("timestamp"), datetime)]
    if not stamps:
        return unit.events
    shift = window.until - timedelta(hours=window.hours * (1 - share)) - max(stamps)
    moved = []
    for one in unit.events:
        event = dict(one.event)
        if isinstance(event.get("timestamp"), datetime):
            event["timestamp"] += shift
        # At another time it is another session.
        if "sessionId" in event:
            event["sessionId"] = f"{event['sessionId']}@{window.tag}"
        moved.append(Made(one.topic, event, one.error))
    return moved


def _why(event: Event) -> dict[str, Any]:
    assert event.error is not None
    why = {"reason": event.error.reason, "field": event.error.field, "detail": event.error.detail}
    return {"row": event.row, "topic": event.topic, **why, "event": msgspec.Raw(event.value)}


def _position(path: Path, file_id: str, mapped_by: str, restart: bool) -> Position:
    new = Position(file_id, mapped_by)
    if restart or not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return new
    try:
        old = msgspec.json.decode(path.read_bytes(), type=Position)
    except msgspec.MsgspecError as error:
        msg = f"{path}: expected the position of an import: {error}; `--restart` begins anew"
        raise SettingsError(msg) from None
    if (old.file, old.mapped_by) != (new.file, new.mapped_by):
        what = "of another file" if old.file != new.file else f"by another mapping ({old.mapped_by})"
        msg = f"{path} is the position of an import {what}; `--restart` begins anew, `--position` names another"
        raise SettingsError(msg)
    return old


def _save(path: Path, position: Position, row: int, target: Target) -> None:
    target.settle()
    position.row = row
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(_encode(position))
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
