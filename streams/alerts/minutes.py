"""Minutes to be judged: the published values of the live topic, added up over its source partitions.

A minute is judged once, `settle_s` after its end by the clock of the records. By then players have told what happened
in it (they are heard every ten seconds); the five minutes until its numbers are frozen would be five minutes of delay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from infra.errors import ContractError
from schemas.live_minute import minute_of
from schemas.quality import DIMENSIONS, PARTS, ROLLUPS, STARTUP_BUCKETS
from schemas.registry import PLAYBACK
from schemas.standing import Standing, is_standing, read_standing

WIDTH = len(PARTS) + STARTUP_BUCKETS
MINUTE_S = 60
STILL_MS = 5_000
"""A partition whose clock has stood still for so long has nothing to read."""
REASON = "invalid_live_value"

Labels = tuple[str | None, ...]
"""Rollup, then DIMENSIONS."""
Cells = npt.NDArray[np.int64]
"""PARTS, then the startup histogram."""
Place = tuple[str, int]


@dataclass(frozen=True)
class MinuteRows:
    """One minute of all rollups. `minute_s` is its start, seconds of epoch."""

    minute_s: int
    rows: Mapping[Labels, Cells]


@dataclass
class _Clock:
    said_ms: int = 0
    received_ms: int = 0
    moved_ms: int = 0


@dataclass
class OpenMinutes:
    """What has come of the minutes that are not judged yet. Not thread-safe."""

    first_s: int = 0
    """Minutes before it are of no interest any more."""
    _minutes: dict[int, dict[tuple[Labels, Place], tuple[int, Cells]]] = field(default_factory=dict)
    _clocks: dict[Place, _Clock] = field(default_factory=dict)

    def apply(self, key: bytes, value: bytes) -> None:
        """Take in a record of the live topic. Raises ContractError for what is none.

        One of a minute before `first_s` is not looked at: rows of judged minutes come again until they are frozen.
        """
        minute_s = minute_of(key)
        if minute_s is not None and minute_s < self.first_s:
            return
        try:
            if is_standing(key):
                self._hear(read_standing(value))
            else:
                self._put(msgspec.json.decode(value))
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
            msg = f"record {key!r} of the live topic is none: {type(error).__name__}: {error}"
            raise ContractError(REASON, msg) from error

    def _hear(self, said: Standing) -> None:
        clock = self._clocks.setdefault((said.topic, said.partition), _Clock())
        if said.clock > clock.received_ms:
            clock.received_ms, clock.moved_ms = said.clock, said.at
        clock.said_ms = max(clock.said_ms, said.at)

    def _put(self, record: dict[str, Any]) -> None:
        minute_s = int(record["minute"])
        if record["rollup"] not in ROLLUPS:
            msg = f"expected rollup {', '.join(ROLLUPS)}, got {record['rollup']!r}"
            raise ValueError(msg)
        labels = (record["rollup"], *(record[name] for name in DIMENSIONS))
        position = int(record.get("position", 0))
        rows = self._minutes.setdefault(minute_s, {})
        known = rows.get((labels, _place(record)))
        if known is None or position >= known[0]:
            parts = [record.get(part, 0) for part in PARTS]
            rows[labels, _place(record)] = position, np.array([*parts, *record["startup_histogram"]], np.int64)

    @property
    def oldest_s(self) -> int | None:
        """The first minute of which anything has come."""
        return min(self._minutes, default=None)

    def is_settled(self, minute_s: int, settle_s: float, now_ms: int, at_latest_s: float) -> bool:
        """Whether a minute can be judged: every partition has read on past it, or has nothing to read.

        One that says nothing any more is waited for `at_latest_s` seconds after the minute's end.
        """
        due_ms = (minute_s + MINUTE_S + settle_s) * 1000
        if now_ms >= due_ms + at_latest_s * 1000:
            return True
        return bool(self._clocks) and now_ms >= due_ms and all(_is_past(one, due_ms) for one in self._clocks.values())

    def take(self, minute_s: int) -> MinuteRows:
        """The rows of a minute, which is forgotten with all before it."""
        rows: dict[Labels, Cells] = {}
        for (labels, _), (_, cells) in self._minutes.get(minute_s, {}).items():
            rows[labels] = rows[labels] + cells if labels in rows else cells
        for minute in [minute for minute in self._minutes if minute <= minute_s]:
            del self._minutes[minute]
        self.first_s = max(self.first_s, minute_s + MINUTE_S)
        return MinuteRows(minute_s, rows)


def _is_past(clock: _Clock, due_ms: float) -> bool:
    return clock.received_ms >= due_ms or (clock.said_ms >= due_ms and clock.said_ms - clock.moved_ms >= STILL_MS)


def _place(record: dict[str, Any]) -> Place:
    return str(record.get("topic", PLAYBACK.name)), int(record["partition"])
