"""The recorded input as bronze: by the sink's own decoder, in files of the sink's kind. A part of it comes late."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
from deltalake import write_deltalake

from benchmarks.recording import Recording
from infra.settings import Settings
from schemas.registry import PLAYBACK
from schemas.tables import BRONZE
from streams.bronze_rows import Decoder
from streams.message import Message

ROWS_OF_A_FILE = 500_000
PARTITIONS = 8
REPEATED = 200
"""One record in so many was sent twice."""
LATE_SESSIONS = 100
"""One session in so many is touched by what comes late."""
LATE_EVENTS = 9
"""Its last events, about half of them."""
SCATTERED = -1
"""What comes late of sessions of all days."""
NOT_LATE = -2


class Bronze:
    """The table with all that came in time, and what has not come yet."""

    def __init__(self, settings: Settings, recording: Recording, lates: int):
        """`lates`: how many times newest sessions are touched; each time it is others."""
        self.path = BRONZE[PLAYBACK.name].path(settings.lake_root)
        self._decoder = Decoder(PLAYBACK)
        self._offsets = [count() for _ in range(PARTITIONS)]
        self._end_ms = int(recording.at_ms[-1]) + 10_000
        late = late_part(recording, lates)
        self.late: dict[int, list[tuple[int, bytes]]] = {part: [] for part in (*range(lates), SCATTERED)}
        self.events = self.records = 0
        rows: list[Message] = []
        every = zip(recording.at_ms.tolist(), recording.session.tolist(), late.tolist(), strict=True)
        values = (value for _, value in recording.records(len(recording.at_ms)))
        for (at_ms, session, part), value in zip(every, values, strict=True):
            if part != NOT_LATE:
                self.late[part].append((session, value))
                continue
            self.events += 1
            rows.append(self._receive(session, at_ms + 300, value))
            if self.events % REPEATED == 0:
                rows.append(self._receive(session, at_ms + 5_000, value))
            if len(rows) >= ROWS_OF_A_FILE:
                self._write(rows)
                rows = []
        self._write(rows)
        self.size_mb = sum(file.stat().st_size for file in Path(self.path).rglob("*.parquet")) / 1e6

    def add_late(self, part: int) -> int:
        """Late events come, in one commit of the sink. Returns how many."""
        self._end_ms += 60_000
        self._write([self._receive(session, self._end_ms, value) for session, value in self.late[part]])
        return len(self.late[part])

    def _receive(self, session: int, received_ms: int, raw: bytes) -> Message:
        place = session % PARTITIONS
        return Message(place, next(self._offsets[place]), received_ms, raw)

    def _write(self, records: list[Message]) -> None:
        write_deltalake(
            self.path,
            self._decoder.decode(records).rows,
            mode="append",
            partition_by=["received_date"],
            configuration={"delta.enableChangeDataFeed": "true"},
        )
        self.records += len(records)


def late_part(recording: Recording, lates: int) -> np.ndarray:
    """Of each event, in which part it comes late: that of its session if it is one of its last, else NOT_LATE."""
    sessions = int(recording.session.max()) + 1
    last, begin = np.zeros(sessions, np.int64), np.zeros(sessions, np.int64)
    np.maximum.at(last, recording.session, recording.seq)
    first = recording.seq == 0
    begin[recording.session[first]] = recording.at_ms[first]
    by_age = np.empty(sessions, np.int64)
    by_age[np.argsort(-begin, kind="stable")] = np.arange(sessions)
    part = by_age // max(1, sessions // LATE_SESSIONS)
    part[part >= lates] = NOT_LATE
    part[(part == NOT_LATE) & (np.arange(sessions) % LATE_SESSIONS == 0)] = SCATTERED
    # The newest come last.
    part[part >= 0] = lates - 1 - part[part >= 0]
    is_last = recording.seq > last[recording.session] - LATE_EVENTS
    return np.where(is_last, part[recording.session], NOT_LATE)
