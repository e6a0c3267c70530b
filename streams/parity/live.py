"""What live has published: the newest value of every row of the live topic, and how far each partition had come."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from infra.errors import ContractError
from infra.settings import Settings
from infra.topics import offsets
from schemas.quality import DIMENSIONS, PARTS
from schemas.registry import LIVE_QUALITY, PLAYBACK, SESSION_TOPICS
from schemas.standing import is_standing
from streams.parity.replay import Place
from streams.parity.rows import HISTOGRAM, LiveRow, RowKey, histogram_part
from streams.parity.window import Window
from streams.reconcile_topics import live_standings, read_records

REASON = "invalid_live_value"
SETTLE_S = 2.0
"""What a worker has applied is on the live topic long before this is over."""


def positions(settings: Settings) -> dict[Place, int]:
    """Partition → the offset before which its worker has applied everything, as it says itself."""
    said = live_standings(settings, frozenset(topic.name for topic in SESSION_TOPICS))
    return {Place(*place): standing.position for place, standing in said.items()}


def settled_rows(settings: Settings, window_ms: Window) -> list[LiveRow]:
    """The rows of the minutes of [window) as they are published, once all that was applied before the call is."""
    time.sleep(SETTLE_S)
    found: dict[tuple[Place, RowKey], LiveRow] = {}
    for (name, partition), (low, high) in offsets(settings, [LIVE_QUALITY.name]).items():
        values = (value for _, key, value in read_records(settings, name, partition, low, high) if is_row(key, value))
        keep_newest(found, values, window_ms)
    return list(found.values())


def is_row(key: bytes | None, value: bytes | None) -> bool:
    """Whether a record of the live topic is a minute's row."""
    return key is not None and value is not None and not is_standing(key)


def keep_newest(found: dict[tuple[Place, RowKey], LiveRow], values: Iterable[bytes | None], window_ms: Window) -> None:
    """Take in values: of two of a row the one with the higher position counts."""
    for value in values:
        row = live_row(value or b"")
        known = found.get((row.place, row.key))
        is_inside = window_ms[0] <= row.key.minute_ms < window_ms[1]
        if is_inside and (known is None or row.position >= known.position):
            found[row.place, row.key] = row


def live_row(value: bytes) -> LiveRow:
    """A row of a minute, as `streams/live/minutes.py` publishes it. Raises ContractError for what is none."""
    try:
        said = msgspec.json.decode(value)
        amounts = amounts_of(said)
        place = Place(str(said.get("topic", PLAYBACK.name)), int(said["partition"]))
        key = RowKey(said["rollup"], int(said["minute"]) * 1000, tuple(said[name] for name in DIMENSIONS))
        return LiveRow(place=place, key=key, position=int(said.get("position", 0)), amounts=amounts)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        msg = f"a row of {LIVE_QUALITY.name} was expected, got {value[:200]!r}: {type(error).__name__}: {error}"
        raise ContractError(REASON, msg) from error


def amounts_of(row: Mapping[str, Any]) -> Counter[str]:
    """The parts of a row of quality_minute that are not 0, its histogram bucket by bucket."""
    amounts = Counter({part: int(row[part]) for part in PARTS if row.get(part)})
    for bucket, startups in enumerate(row[HISTOGRAM] or ()):
        if startups:
            amounts[histogram_part(bucket)] = int(startups)
    return amounts
