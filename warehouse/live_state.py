"""The live minutes in memory: what `live.quality` says, added up over the partitions of its source topics.

A record of that topic is an absolute value, so applying one twice, or an old one again after a worker's restart,
changes nothing; of two values for a key the one that stands for the higher source offset holds.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra.errors import ContractError
from schemas.live_minute import minute_of
from schemas.quality import DIMENSIONS, PARTS, ROLLUPS, STARTUP_BUCKETS
from schemas.registry import PLAYBACK
from schemas.standing import Standing, is_standing, read_standing
from warehouse.attach import NOW_COLUMNS
from warehouse.live_seconds import LastHour, Place

WIDTH = len(PARTS) + STARTUP_BUCKETS
REASON = "invalid_live_value"
_STAMP = pa.timestamp("us", tz="UTC")
_LABELS = ("rollup", *DIMENSIONS)

Labels = tuple[str | None, ...]
"""Rollup, then DIMENSIONS."""
Cells = npt.NDArray[np.int64]


class LiveState:
    """Rows by minute, and where each partition's worker stands. Not thread-safe."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._minutes: dict[int, _Minute] = {}
        self._rows = 0
        self._needed_from_s = 0
        self.dropped_before_s = 0
        """Minutes before it were given up because there were too many rows (epoch seconds; 0: none)."""
        self.now: dict[Place, Standing] = {}
        """Partition → how its worker stands."""
        self.last_hour = LastHour()

    def apply(self, key: bytes, value: bytes) -> None:
        """Take in one record. Raises ContractError for one that is no live value.

        One of a minute that is not needed any more is not looked at: a restart meets hours of them.
        """
        minute_s = minute_of(key)
        if minute_s is not None and minute_s < max(self._needed_from_s, self.dropped_before_s):
            return
        try:
            if is_standing(key):
                self._apply_standing(read_standing(value))
            else:
                self._apply_minute(msgspec.json.decode(value))
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
            msg = f"record {key!r} of the live topic is none: {type(error).__name__}: {error}"
            raise ContractError(REASON, msg) from error

    def forget_before(self, minute_s: int) -> None:
        """Drop minutes that published tables answer, those also that come again."""
        self._needed_from_s = minute_s
        for minute in [minute for minute in self._minutes if minute < minute_s]:
            self._rows -= len(self._minutes.pop(minute).index)

    @property
    def first_minute_s(self) -> int | None:
        return min(self._minutes, default=None)

    @property
    def rows(self) -> int:
        return self._rows

    def table(self) -> pa.Table:
        """All rows, added up over partitions: the columns of live.quality_minute."""
        batches = [self._minutes[minute].batch() for minute in sorted(self._minutes)]
        return pa.Table.from_batches(batches, SCHEMA)

    def now_table(self) -> pa.Table:
        """One row a partition: the columns of live.now."""
        said = [self.now[place] for place in sorted(self.now)]
        columns: dict[str, list[Any]] = {
            name: [getattr(one, name) for one in said] for name in NOW_COLUMNS if name != "received_at"
        }
        columns["received_at"] = [one.at * 1000 for one in said]
        return pa.table(columns).select(list(NOW_COLUMNS)).cast(NOW_SCHEMA)

    def _apply_standing(self, said: Standing) -> None:
        place = said.topic, said.partition
        self.last_hour.take(place, said)
        known = self.now.get(place)
        if known is None or said.at >= known.at:
            self.now[place] = said

    def _apply_minute(self, record: dict[str, Any]) -> None:
        minute_s = int(record["minute"])
        if record["rollup"] not in ROLLUPS:
            msg = f"expected rollup {', '.join(ROLLUPS)}, got {record['rollup']!r}"
            raise ValueError(msg)
        cells = np.empty(WIDTH, np.int64)
        cells[: len(PARTS)] = [record.get(part, 0) for part in PARTS]  # written before the part was there: 0
        cells[len(PARTS) :] = record["startup_histogram"]
        labels = tuple(record[name] for name in _LABELS)
        minute = self._minutes.get(minute_s)
        if minute is None:
            minute = self._minutes[minute_s] = _Minute(minute_s)
        before = len(minute.index)
        minute.put(labels, _place(record), int(record.get("position", 0)), cells)
        self._rows += len(minute.index) - before
        if self._rows > self._max_rows and len(self._minutes) > 1:
            oldest = min(self._minutes)
            self.dropped_before_s = oldest + 60
            self.forget_before(self.dropped_before_s)


def _place(record: dict[str, Any]) -> Place:
    return str(record.get("topic", PLAYBACK.name)), int(record["partition"])


class _Minute:
    """Rows of one minute: a matrix a partition, so that adding up and handing to Arrow are done by column."""

    def __init__(self, minute_s: int) -> None:
        self._minute_s = minute_s
        self.index: dict[Labels, int] = {}
        self._cells: dict[Place, Cells] = {}
        self._positions: dict[Place, Cells] = {}
        self._batch: pa.RecordBatch | None = None

    def put(self, labels: Labels, place: Place, position: int, cells: Cells) -> None:
        """Replace a partition's share of a row, unless what is known is newer."""
        row = self.index.setdefault(labels, len(self.index))
        matrix, positions = self._room(place, row)
        if position >= positions[row]:
            matrix[row] = cells
            positions[row] = position
            self._batch = None

    def batch(self) -> pa.RecordBatch:
        """The rows, summed; kept until one changes."""
        if self._batch is None:
            count = len(self.index)
            total = np.zeros((count, WIDTH), np.int64)
            for matrix in self._cells.values():
                known = matrix[:count]
                total[: len(known)] += known
            labels = list(zip(*self.index, strict=True))
            columns = {name: pa.array(values, pa.string()) for name, values in zip(_LABELS, labels, strict=True)}
            columns |= {part: pa.array(total[:, place].copy()) for place, part in enumerate(PARTS)}
            columns["minute"] = pa.array(np.full(count, self._minute_s * 1_000_000, np.int64)).cast(_STAMP)
            offsets = pa.array(np.arange(count + 1, dtype=np.int32) * STARTUP_BUCKETS)
            histogram = np.ascontiguousarray(total[:, len(PARTS) :]).reshape(-1)
            columns["startup_histogram"] = pa.ListArray.from_arrays(offsets, pa.array(histogram))
            self._batch = pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)
        return self._batch

    def _room(self, place: Place, row: int) -> tuple[Cells, Cells]:
        matrix = self._cells.get(place)
        if matrix is None or row >= len(matrix):
            size = max(16, 2 * row)
            grown, positions = np.zeros((size, WIDTH), np.int64), np.full(size, -1, np.int64)
            if matrix is not None:
                grown[: len(matrix)] = matrix
                positions[: len(matrix)] = self._positions[place]
            self._cells[place], self._positions[place] = grown, positions
        return self._cells[place], self._positions[place]


SCHEMA = pa.schema(
    [("rollup", pa.string()), ("minute", _STAMP)]
    + [(name, pa.string()) for name in DIMENSIONS]
    + [(part, pa.int64()) for part in PARTS]
    + [("startup_histogram", pa.list_(pa.int64()))]
)
NOW_SCHEMA = pa.schema(
    [
        (name, {"topic": pa.string(), "partition": pa.int32(), "received_at": _STAMP}.get(name, pa.int64()))
        for name in NOW_COLUMNS
    ]
)
