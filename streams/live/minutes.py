"""Live minutes: the parts of `schemas/quality.py` added up by the named rollups, until a minute is frozen.

A row is a rollup, a minute and the dimensions that the rollup keeps. A minute is frozen for the whole partition when
the received clock has passed its end by `live_freeze_after_s`; later events only raise `late`. What is published are
absolute values, so that a replay overwrites and never adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
import numpy as np
import numpy.typing as npt
from numba import uint64

from infra.compiled import compiled, inlined
from schemas.live_minute import minute_key
from schemas.piece import BUCKET, FIRST_PART, MINUTE
from schemas.quality import DIMENSIONS, MINUTE_MS, PARTS, ROLLUPS, STARTUP_BUCKETS
from streams.live.hashing import EMPTY, empty_index, fill_index, mix
from streams.live.names import Names
from streams.live.place import Place

FIRST_ROWS = 8192
"""So many are free after a flush: what one record may need, with all that it releases. Untouched, they cost nothing."""
PORTION = 500
"""Rows that are made publishable at once: a few milliseconds."""
_NAMES = tuple(ROLLUPS)
_MASKS = np.array([[name in kept for name in DIMENSIONS] for kept in ROLLUPS.values()])
_NO_STARTUPS = msgspec.Raw(msgspec.json.encode([0] * STARTUP_BUCKETS))

ROW = np.dtype(
    [
        ("minute", "i8"),
        ("hash", "u8"),
        ("names", "i4", (len(DIMENSIONS),)),
        ("rollup", "i1"),
        ("is_unpublished", "?"),
        ("is_unsaved", "?"),
        ("parts", "i8", (len(PARTS),)),
        ("startups", "i4", (STARTUP_BUCKETS,)),
    ]
)


class Table(NamedTuple):
    """What the compiled code works on."""

    slots: npt.NDArray[np.int32]
    rows: npt.NDArray[Any]
    used: npt.NDArray[np.int64]
    """Number of rows in use: they are the first ones."""


class Minutes:
    """The open minutes of one partition."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.table = _room_for(FIRST_ROWS)

    def rows(self) -> Any:
        """The rows in use, as a view."""
        return self.table.rows[: int(self.table.used[0])]

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Take over stored rows; publish them again, in case that a worker before us did not."""
        rows = rows.copy()
        rows["is_unpublished"], rows["is_unsaved"] = True, False
        _set_hashes(rows)
        self._set(np.concatenate([self.rows(), rows]))

    def drop(self, gone: npt.NDArray[np.bool_]) -> None:
        """Forget rows."""
        if gone.any():
            self._set(self.rows()[~gone])

    def rename(self, new: npt.NDArray[np.int32]) -> None:
        """Old code of a name → new code."""
        rows = self.rows().copy()
        rows["names"] = new[rows["names"]]
        _set_hashes(rows)
        self._set(rows)

    def grow(self) -> None:
        """Make room."""
        self._set(self.rows(), 2 * len(self.table.rows))

    def _set(self, rows: npt.NDArray[Any], room: int = 0) -> None:
        table = _room_for(max(room, len(rows) + max(FIRST_ROWS, len(rows) // 2)))
        table.rows[: len(rows)] = rows
        table.used[0] = len(rows)
        fill_index(table.slots, rows["hash"].copy(), np.arange(len(rows), dtype=np.int32))
        self.table = table

    def publishable(self, names: Names, now: Callable[[], tuple[int, int]]) -> Iterator[list[tuple[bytes, bytes]]]:
        """Key and value of every row that changed since the last call, or whose minute was frozen since, in portions.

        Events may be added between two portions, but no row may go. `now`: the first minute (number) that is still
        open, and the source offset that the values stand for: of two values a reader takes the one with the higher, so
        that a zombie's late write changes nothing.
        """
        first = 0
        while first < len(rows := self.rows()):
            places = first + np.flatnonzero(rows["is_unpublished"][first:])[:PORTION]
            if not len(places):
                return
            rows["is_unpublished"][places] = False
            yield list(self._published(rows[places], names, *now()))
            first = int(places[-1]) + 1

    def _published(
        self, rows: npt.NDArray[Any], names: Names, frozen_before: int, position: int
    ) -> Iterator[tuple[bytes, bytes]]:
        texts = {code: names.text(code) for code in np.unique(rows["names"]).tolist()}
        quoted = {code: quote(text or "", safe="") for code, text in texts.items()}
        columns = (rows[name].tolist() for name in ("rollup", "minute", "names", "parts"))
        topic, partition = self.place.topic, self.place.partition
        for number, minute, codes, parts, startups in zip(*columns, _histograms(rows["startups"]), strict=True):
            rollup, start_s = _NAMES[number], minute * MINUTE_MS // 1000
            dimensions = [texts[code] for code in codes]
            is_frozen = minute < frozen_before
            row = _LiveRow(rollup, topic, partition, start_s, *dimensions, *parts, startups, is_frozen, position)
            name = "/".join([quoted[code] for code in codes])
            yield minute_key(rollup, topic, partition, start_s, name), _encode(row)


# A struct, made and encoded in a tenth of the time that a dict takes: there are thousands of rows a second.
_LiveRow: Any = msgspec.defstruct(
    "_LiveRow",
    [
        ("rollup", str),
        ("topic", str),
        ("partition", int),
        ("minute", int),
        *((name, str | None) for name in DIMENSIONS),
        *((part, int) for part in PARTS),
        ("startup_histogram", msgspec.Raw),
        ("frozen", bool),
        ("position", int),
    ],
    gc=False,
)
_encode = msgspec.json.Encoder().encode


def _histograms(startups: npt.NDArray[np.int32]) -> list[msgspec.Raw]:
    """Each as JSON. Most rows have no startup."""
    out = [_NO_STARTUPS] * len(startups)
    for place in np.flatnonzero(startups.any(axis=1)).tolist():
        out[place] = msgspec.Raw(_encode(startups[place].tolist()))
    return out


def _room_for(rows: int) -> Table:
    return Table(empty_index(rows), np.zeros(rows, ROW), np.zeros(1, np.int64))


ROLLUP_COUNT: Final = len(ROLLUPS)


@compiled
def has_room(table: Table, pieces: int) -> bool:
    """Whether so many pieces fit, whatever rows they need."""
    return bool(len(table.rows) - table.used[0] >= pieces * ROLLUP_COUNT)


@compiled
def add_piece(table: Table, piece: Any, names: Any) -> None:
    """Add a piece (`schemas.session.advance`) to its row of every rollup. There must be room."""
    mask = uint64(len(table.slots) - 1)
    for rollup in range(ROLLUP_COUNT):
        h = _hash(rollup, piece[MINUTE], names)
        at = h & mask
        found = -1
        while table.slots[at] != EMPTY:
            row = table.rows[table.slots[at]]
            if (
                row.hash == h
                and row.rollup == rollup
                and row.minute == piece[MINUTE]
                and _same(rollup, row.names, names)
            ):
                found = table.slots[at]
                break
            at = (at + uint64(1)) & mask
        if found < 0:
            found = table.used[0]
            table.used[0] += 1
            table.slots[at] = found
            _clear(table.rows[found], rollup, piece[MINUTE], names, h)
        row = table.rows[found]
        for k in range(len(row.parts)):
            row.parts[k] += piece[FIRST_PART + k]
        if piece[BUCKET] >= 0:
            row.startups[piece[BUCKET]] += 1
        row.is_unpublished = True
        row.is_unsaved = True


@inlined
def _hash(rollup: int, minute: int, names: Any) -> Any:
    h = mix(uint64(minute) * uint64(ROLLUP_COUNT) + uint64(rollup) + uint64(1))
    for k in range(len(names)):
        if _MASKS[rollup, k]:
            h = mix(h ^ (uint64(names[k]) + uint64(k) * uint64(0x9E3779B97F4A7C15)))
    return h


@inlined
def _same(rollup: int, mine: Any, names: Any) -> bool:
    for k in range(len(names)):
        if _MASKS[rollup, k] and mine[k] != names[k]:
            return False
    return True


@compiled
def _clear(row: Any, rollup: int, minute: int, names: Any, h: Any) -> None:
    row.minute, row.hash, row.rollup = minute, h, rollup
    for k in range(len(names)):
        row.names[k] = names[k] if _MASKS[rollup, k] else 0
    for k in range(len(row.parts)):
        row.parts[k] = 0
    for k in range(len(row.startups)):
        row.startups[k] = 0


@compiled
def _set_hashes(rows: Any) -> None:
    for k in range(len(rows)):
        rows[k].hash = _hash(rows[k].rollup, rows[k].minute, rows[k].names)


@compiled
def freeze(table: Table, before: int, until: int) -> None:
    """Minutes from `before` on, ahead of `until`, are frozen now: publish them once more, as final."""
    for k in range(table.used[0]):
        if before <= table.rows[k].minute < until:
            table.rows[k].is_unpublished = True
