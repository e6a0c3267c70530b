"""A batch of decoded records as columns: what a reader of `schemas/columnar` sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra.errors import ContractError
from schemas.columnar.rules import FLAG, INTEGER, NUMBER, TEXT, Field, family
from schemas.columnar.scanner import Output

ABSENT = -1


class Text(NamedTuple):
    """Texts in UTF-8 that lie in `Columns.data`: [n] each; size -1 where there is none."""

    start: NDArray[np.int64]
    size: NDArray[np.int32]


class Numbers(NamedTuple):
    """Numbers, moments (microseconds since 1970) or flags (0, 1): [n] each; a value that is not present is 0."""

    values: NDArray[Any]
    present: NDArray[np.bool_]


class Columns:
    """What a batch of n records says; row i is the i-th record, whether it kept its contract or not.

    data: the buffer in which the texts lie.
    kind: [n], place of the event type in the topic's `rank`; -1 for a record that broke its contract.
    broken: (i, why) of these, in order. Their other columns are absent.
    occurred_us, is_clock_suspect: [n], as `schemas.event.occurred_at` has it.
    key: the record's key by its contract.
    """

    def __init__(self, data: NDArray[np.uint8], out: Output, fields: Mapping[str, Field]) -> None:
        self.data = data
        self.out = out
        self.broken: list[tuple[int, ContractError]] = []
        self.kind = out.kind
        self.occurred_us = out.occurred_us
        self.is_clock_suspect = out.is_clock_suspect
        self.key = Text(out.key_start, out.key_size)
        self._fields = fields

    def __len__(self) -> int:
        return len(self.kind)

    def text(self, name: str) -> Text:
        """Texts, listed values, `event_id` (with what stands in for a missing one), `extra`; what is no single value
        (`experiments`, lists) as JSON. Raises LookupError for a column that is none, or was not asked for."""
        if name == "extra":
            return Text(self.out.extra_start, self.out.extra_size)
        slot = self._slot(name, TEXT)
        return Text(self.out.start[slot], self.out.size[slot])

    def integer(self, name: str) -> Numbers:
        """int64: integers, and moments as microseconds since 1970."""
        slot = self._slot(name, INTEGER)
        return Numbers(self.out.integer[slot], self.out.has_integer[slot])

    def number(self, name: str) -> Numbers:
        """float64."""
        slot = self._slot(name, NUMBER)
        return Numbers(self.out.number[slot], self.out.has_number[slot])

    def flag(self, name: str) -> Numbers:
        """uint8, 0 or 1."""
        slot = self._slot(name, FLAG)
        return Numbers(self.out.flag[slot], self.out.has_flag[slot])

    def _slot(self, name: str, asked: int) -> int:
        field = self._fields.get(name)
        if field is None or field.slot < 0 or family(field.type) != asked:
            there = [one.name for one in self._fields.values() if one.slot >= 0 and family(one.type) == asked]
            msg = f"no such column of this type: {name}; there are {', '.join(there) or 'none'}"
            raise LookupError(msg)
        return field.slot


def empty_output(count: int, fields: Mapping[str, Field]) -> Output:
    """Columns of `count` records in which everything is absent."""
    slots = {of: 1 + max((f.slot for f in fields.values() if family(f.type) == of), default=-1) for of in range(8)}
    return Output(
        kind=np.full(count, ABSENT, np.int16),
        occurred_us=np.zeros(count, np.int64),
        is_clock_suspect=np.zeros(count, np.bool_),
        key_start=np.zeros(count, np.int64),
        key_size=np.full(count, ABSENT, np.int32),
        extra_start=np.zeros(count, np.int64),
        extra_size=np.full(count, ABSENT, np.int32),
        start=np.zeros((slots[TEXT], count), np.int64),
        size=np.full((slots[TEXT], count), ABSENT, np.int32),
        integer=np.zeros((slots[INTEGER], count), np.int64),
        has_integer=np.zeros((slots[INTEGER], count), np.bool_),
        number=np.zeros((slots[NUMBER], count), np.float64),
        has_number=np.zeros((slots[NUMBER], count), np.bool_),
        flag=np.zeros((slots[FLAG], count), np.uint8),
        has_flag=np.zeros((slots[FLAG], count), np.bool_),
    )
