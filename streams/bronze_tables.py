"""The tables of the sink: every bronze table, the dead letters, and the one order in which they are committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from schemas.registry import DEAD_LETTER_TOPIC, EVENT_TOPICS
from schemas.tables import BRONZE, DEAD_LETTERS
from streams.bronze_rows import Decoder, Record
from streams.dead_letters import DeadLetter, from_topic, rejected, to_arrow
from streams.delta_audit import audit
from streams.delta_sink import DeltaSink, local_path
from streams.ownership import Owned, claim

if TYPE_CHECKING:
    import pyarrow as pa

SOURCES = (*EVENT_TOPICS, DEAD_LETTER_TOPIC.name)
"""Topics that the sink reads. What a collector puts into the last one is in no other."""


@dataclass
class Pending:
    """Taken and not yet committed: records by topic, and the letters that a commit finds among them."""

    records: dict[str, list[Record]] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    count: int = 0
    bytes: int = 0

    def add(self, topic: str, records: Sequence[Record], size: int) -> None:
        """`size`: of the records' values, in bytes."""
        self.records.setdefault(topic, []).extend(records)
        self.count += len(records)
        self.bytes += size


class BronzeTables:
    """All tables, opened. `sources`: topic → what identifies it (its id and layout), to which its table is bound."""

    def __init__(self, lake_root: str, sources: Mapping[str, str], step: Callable[[str], None]) -> None:
        """Raises LakeDamaged for a log that can't be trusted, PositionRefused for one that belongs to other topics."""
        for table in (*BRONZE.values(), DEAD_LETTERS):
            audit(local_path(table, lake_root))
        self._rows = {
            name: DeltaSink(BRONZE[name], lake_root, {name: sources[name]}, step=step) for name in EVENT_TOPICS
        }
        # After the tables of rows, whose refusal names both folders that an operator has to see to.
        self._letters = DeltaSink(DEAD_LETTERS, lake_root, sources, step=step)
        self._decoders = {name: Decoder(topic) for name, topic in EVENT_TOPICS.items()}

    def claim(self, topic: str, topic_id: str, ends: Mapping[int, tuple[int, int]]) -> list[Owned]:
        """Take over partitions (`streams.ownership.claim`)."""
        return claim(topic, topic_id, ends, self._rows.get(topic, self._letters), self._letters)

    def commit(self, moved: Iterable[Owned], pending: Pending) -> dict[str, int]:
        """Everything pending into the lake, and the positions of `moved` with it; returns rows by table.

        Dead letters go first: a position in the rows' table says that both are kept. Raises PositionMoved when another
        process got in between; then some tables may be committed and the log knows which.
        """
        rows = self._decoded(pending)
        by_topic = {topic: list(group) for topic, group in groupby(sorted(moved, key=_topic), key=_topic)}
        done: dict[str, int] = {}
        broken = {(letter.topic, letter.partition) for letter in pending.letters}
        concerned = [
            owned
            for topic, group in by_topic.items()
            for owned in group
            if topic == DEAD_LETTER_TOPIC.name or (topic, owned.partition) in broken
        ]
        if concerned:
            self._letters.commit(to_arrow(pending.letters), _all(owned.letters_changes() for owned in concerned))
            done[DEAD_LETTERS.name] = len(pending.letters)
            for owned in concerned:
                owned.letters_kept()
        for topic, group in by_topic.items():
            if topic != DEAD_LETTER_TOPIC.name:
                done[BRONZE[topic].name] = self._commit_rows(topic, group, rows.get(topic))
            for owned in group:
                owned.rows_kept()
        return done

    def _decoded(self, pending: Pending) -> dict[str, pa.Table]:
        """Rows by topic; what broke its contract becomes a letter."""
        found = {}
        for topic, records in pending.records.items():
            if topic == DEAD_LETTER_TOPIC.name:
                pending.letters += [letter for record in records if (letter := from_topic(record))]
                continue
            found[topic], broken = self._decoders[topic].decode(records)
            pending.letters += [rejected(*pair) for pair in broken]
        return found

    def _commit_rows(self, topic: str, group: Iterable[Owned], rows: pa.Table | None) -> int:
        self._rows[topic].commit(rows, _all(owned.rows_changes() for owned in group))
        return 0 if rows is None else int(rows.num_rows)


def _topic(owned: Owned) -> str:
    return owned.topic


def _all(
    changes: Iterable[Mapping[str, tuple[int | None, int]]],
) -> dict[str, tuple[int | None, int]]:
    return {name: change for some in changes for name, change in some.items()}
