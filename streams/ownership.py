"""Who may write a partition's records, and from which offset: the claim that every assignment begins with.

Numbers of a partition stand in the Delta log of its bronze table R, the first two also in that of the dead letters D,
as application transactions:

    bronze/<topic id>/<partition>         position: every record before it is in R or in D
    bronze/<topic id>/<partition>/epoch   raised by each claim
    bronze/<topic id>/<partition>/start   (R only) where the topic began when it was first read
    bronze/<topic id>/<partition>/letters/<id of table D>   (R only) D's position, as far as R's commits have seen it

Why a record is in R or D exactly once. An owner claims by raising the epoch in R and in D; each of its later commits
compares and rewrites the epoch (`DeltaSink.commit`), so none gets through once a later claim is there: between two
claims one process at most changes a partition's records. It commits dead letters before rows, and R's position is where
the next owner goes on. If the crash came between the two, D's position is ahead of R's: the next owner then reads from
D, after its claim, which records at or behind R's position are there already, and leaves exactly those out. Nothing
else is taken from memory, from the consumer group or from what the contract said before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.errors import LakeDamaged, PositionRefused
from streams.delta_log import Changes, PositionMoved
from streams.delta_sink import DeltaSink, begin_anew

ATTEMPTS = 10
"""At a claim. Each failure means that another process has just committed or claimed."""


@dataclass
class Owned:
    """A partition in our hands. `next` runs ahead of `position` by what is buffered."""

    topic: str
    partition: int
    transaction: str
    epoch: int
    position: int
    letters_position: int | None
    known_letters: frozenset[int] = frozenset()
    """Offsets from `position` on that are in D already."""
    letters_mark: str | None = None
    """Id under which R says how far D had come; None where D is the table of rows itself."""
    letters_marked: int | None = None
    next: int = field(init=False)

    def __post_init__(self) -> None:
        self.next = self.position

    def rows_changes(self) -> dict[str, tuple[int | None, int]]:
        """What the commit to R that brings it up to `next` compares and stores."""
        changes = {self.transaction: (self.position, self.next)} | self._keep_epoch()
        if self.letters_mark and self.letters_position is not None:
            changes[self.letters_mark] = (self.letters_marked, self.letters_position)
        return changes

    def letters_changes(self) -> dict[str, tuple[int | None, int]]:
        """The same for D. D's position may be ahead of R's and never goes back."""
        ahead = max(self.next, self.letters_position or 0)
        return {self.transaction: (self.letters_position, ahead)} | self._keep_epoch()

    def letters_kept(self) -> None:
        """D has been brought up to `next`."""
        self.letters_position = max(self.next, self.letters_position or 0)

    def rows_kept(self) -> None:
        """R has been brought up to `next`."""
        self.position = self.next
        if self.letters_mark:
            self.letters_marked = self.letters_position

    def _keep_epoch(self) -> dict[str, tuple[int | None, int]]:
        return {epoch_of(self.transaction): (self.epoch, self.epoch)}


def transaction_of(topic_id: str, partition: int) -> str:
    """The id under which a partition's position is stored. A topic that is created again has another one."""
    return f"bronze/{topic_id}/{partition}"


def epoch_of(transaction: str) -> str:
    return f"{transaction}/epoch"


def start_of(transaction: str) -> str:
    return f"{transaction}/start"


def letters_of(transaction: str, letters: DeltaSink) -> str:
    """Where R keeps D's position. A D that was moved away and made anew begins anew."""
    return f"{transaction}/letters/{letters.table_id}"


def claim(
    topic: str, topic_id: str, ends: Mapping[int, tuple[int, int]], rows: DeltaSink, letters: DeltaSink
) -> list[Owned]:
    """Take over partitions of one topic. `ends`: partition → (first offset that Kafka keeps, offset after the last).

    Raises PositionRefused when Kafka no longer has what comes next, LakeDamaged when dead letters are gone that were
    kept, PositionMoved when others keep claiming.
    """
    for attempt in range(ATTEMPTS):
        try:
            return _claim(topic, topic_id, ends, rows, letters)
        except PositionMoved:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


def _claim(
    topic: str, topic_id: str, ends: Mapping[int, tuple[int, int]], rows: DeltaSink, letters: DeltaSink
) -> list[Owned]:
    # In this order: what R says of D is then no newer than what is seen of D.
    rows.reopen()
    letters.reopen()
    taken: list[Owned] = []
    in_rows: dict[str, tuple[int | None, int]] = {}
    in_letters: dict[str, tuple[int | None, int]] = {}
    for partition, (low, high) in ends.items():
        name = transaction_of(topic_id, partition)
        epochs = [sink.stored(epoch_of(name)) for sink in (rows, letters)]
        epoch = max(number or 0 for number in epochs) + 1
        stored = rows.stored(name)
        owned = Owned(topic, partition, name, epoch, low if stored is None else stored, None)
        if stored is None:
            in_rows |= {name: (None, low), start_of(name): (None, low)}
        elif not low <= stored <= high:
            raise PositionRefused(_cannot_go_on(owned, low, high, rows))
        else:
            # The owner before us may commit until our epoch is there: what was read must still hold then.
            in_rows[name] = (stored, stored)
        if letters is not rows:
            owned.letters_mark = letters_of(name, letters)
            owned.letters_marked = rows.stored(owned.letters_mark)
            if (owned.letters_marked or 0) > (letters.stored(name) or 0):
                raise LakeDamaged(_letters_are_gone(owned, rows, letters))
            if owned.letters_marked is not None:
                in_rows[owned.letters_mark] = (owned.letters_marked, owned.letters_marked)
        in_rows[epoch_of(name)] = (epochs[0], epoch)
        in_letters[epoch_of(name)] = (epochs[1], epoch)
        taken.append(owned)
    _commit_claim(rows, in_rows)
    if letters is not rows:
        _commit_claim(letters, in_letters)
    for owned in taken:
        owned.letters_position = letters.stored(owned.transaction)
        if letters is not rows and (owned.letters_position or 0) > owned.position:
            owned.known_letters = _letters_from(letters, owned)
    return taken


def _commit_claim(sink: DeltaSink, changes: Changes) -> None:
    if changes:
        sink.commit(None, changes)


def _letters_from(letters: DeltaSink, owned: Owned) -> frozenset[int]:
    """Offsets of the partition's dead letters at or behind its position in R."""
    rows: Iterable[Mapping[str, Any]] = letters.query(
        f"""SELECT "offset" FROM t WHERE topic = '{owned.topic}' AND "partition" = {owned.partition} """
        f"""AND "offset" >= {owned.position}"""
    )
    return frozenset(row["offset"] for row in rows)


def _letters_are_gone(owned: Owned, rows: DeltaSink, letters: DeltaSink) -> str:
    return (
        f"{letters.path} has the dead letters of {owned.topic}/{owned.partition} up to offset "
        f"{letters.stored(owned.transaction) or 0}, but {rows.path} was written when they were kept up to "
        f"{owned.letters_marked}: newest commits of the dead letters are missing. Restore that folder from a backup "
        f"that has them; or, while Kafka still keeps the records, {begin_anew(rows.path)}"
    )


def _cannot_go_on(owned: Owned, low: int, high: int, rows: DeltaSink) -> str:
    at = f"{owned.topic}/{owned.partition} is to be read from offset {owned.position}"
    if owned.position < low:
        lost = low - owned.position
        why = f"but Kafka has only what is from {low} on: {lost} records went by retention, unread. Restore them"
    else:
        why = f"but it ends at offset {high}: records that are in the lake are gone from Kafka. Restore the topic"
    return f"{at}, {why}; or, to go on without them, {begin_anew(rows.path)}"
