"""Values of Kafka records in, columns out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from schemas.columnar.by_struct import StructPath
from schemas.columnar.columns import Columns, empty_output
from schemas.columnar.rules import fields_of, rules_of
from schemas.columnar.scanner import ODD, UNNAMED, nothing_found, scan
from schemas.columnar.vocabulary import PAD
from schemas.topic import EventTopic

NUL, PADDING = b"\0", bytes(PAD)


class ColumnDecoder:
    """Decodes the records of one event topic. `wanted`: snake-case columns to keep, None for all; `event_id`, `extra`
    and what is computed are always there.
    """

    def __init__(self, topic: EventTopic, wanted: Iterable[str] | None = None) -> None:
        """Compiles what is not yet on the disk, which takes some seconds. Raises LookupError for a column that no event
        of the topic has."""
        self.topic = topic
        asked = None if wanted is None else frozenset(wanted)
        self._fields = fields_of(topic, asked)
        if unknown := sorted((asked or frozenset()) - self._fields.keys() - {"extra"}):
            msg = f"no event of {topic.name} has {', '.join(unknown)}; there are {', '.join(self._fields)}"
            raise LookupError(msg)
        self._rules = rules_of(topic, self._fields)
        self.decode([], np.zeros(0, np.int64))

    def decode(self, values: Sequence[bytes | None], received_ms: NDArray[np.int64]) -> Columns:
        """Every record ends as a row that keeps its contract or in `Columns.broken`.

        received_ms: [n], the broker's stamps. Beyond joining the values, the interpreter's lock is held only for
        records that are not plain.
        """
        present = cast("Sequence[bytes]", values if None not in values else [value or b"" for value in values])
        sizes = np.fromiter(map(len, present), np.int64, len(present))
        joined = bytearray(NUL).join((PADDING, *present, PADDING))
        data = np.frombuffer(joined, np.uint8)
        ends = np.empty(len(present) + 1, np.int64)
        ends[0] = PAD
        np.cumsum(sizes + 1, out=ends[1:])
        ends[1:] += PAD
        out = empty_output(len(present), self._fields)
        columns = Columns(data, out, self._fields)
        state = np.empty(len(present), np.int8)
        tail = np.empty(len(data), np.uint8)
        received_ms = np.ascontiguousarray(received_ms, np.int64)
        used = scan(data, ends, received_ms, self._rules, out, nothing_found(self._rules), tail, state)
        pieces = [data, tail[:used]]
        if state.any():
            by_struct = StructPath(self.topic, self._fields, columns, len(data) + used)
            by_struct.decode(np.flatnonzero(state == ODD).tolist(), values, received_ms)
            by_struct.name(np.flatnonzero(state == UNNAMED).tolist(), values)
            pieces.append(np.frombuffer(b"".join(by_struct.made), np.uint8))
        if sum(map(len, pieces)) > len(data):
            # Whoever loads words of eight bytes may do so at the end of any text.
            columns.data = np.concatenate([*pieces, np.zeros(PAD, np.uint8)])
        return columns
