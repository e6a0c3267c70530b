"""What the tests of bronze's tables share: rows without a broker, and a table of the playback events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from schemas.registry import PLAYBACK
from schemas.tables import BRONZE, DEAD_LETTERS
from streams.bronze_rows import Decoder, sorted_by
from streams.dead_letters import rejected, to_arrow
from streams.delta_sink import DeltaSink
from streams.ownership import transaction_of
from tests.streams.bronze_world import event, query

TABLE = BRONZE[PLAYBACK.name]
ID = "topicid"
SOURCE = {PLAYBACK.name: f"id {ID}, 2 partitions"}
P0 = transaction_of(ID, 0)
RECEIVED_MS = 1_768_509_045_000


class Record:
    """What the sink needs of a Kafka record."""

    def __init__(self, offset: int, value: bytes | None, received_ms: int = RECEIVED_MS) -> None:
        self._offset, self._value, self._received_ms = offset, value, received_ms

    def topic(self) -> str:
        return PLAYBACK.name

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 2, self._received_ms

    def key(self) -> bytes | None:
        return b"u1"

    def value(self) -> bytes | None:
        return self._value


def rows(offsets: Iterable[int], received_ms: int = RECEIVED_MS) -> Any:
    """Playback events as rows of bronze; an event's number is its offset."""
    return Decoder(PLAYBACK).decode([Record(offset, event(offset), received_ms) for offset in offsets]).rows


def letters(offsets: Sequence[int]) -> Any:
    """Broken records as rows of the dead letters."""
    decoded = Decoder(PLAYBACK).decode([Record(offset, b"{") for offset in offsets])
    return to_arrow([rejected(*pair) for pair in decoded.broken])


def table_in(lake: str | Path) -> DeltaSink:
    return DeltaSink(TABLE, str(lake), SOURCE, sorted_by(PLAYBACK))


def dead_in(lake: str | Path) -> DeltaSink:
    return DeltaSink(DEAD_LETTERS, str(lake), SOURCE)


def offsets_in(path: Path) -> list[int]:
    return sorted(row["offset"] for row in query(path, 'SELECT "offset" FROM t'))
