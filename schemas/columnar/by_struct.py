"""Records that are not plain, decoded by the topic's structs one by one, into the columns of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.errors import ContractError
from schemas.columnar.columns import Columns
from schemas.columnar.rules import FLAG, NUMBER, STAMP, TEXT, Field, family
from schemas.columnar.stamps import to_us
from schemas.event import Event, identity, identity_as_sent, occurred_at, unknown_fields
from schemas.fact import from_ms
from schemas.topic import EventTopic


class StructPath:
    """Writes into `columns`. What it makes of texts is in `made` and lies behind the buffer, from `base` on."""

    def __init__(self, topic: EventTopic, fields: Mapping[str, Field], columns: Columns, base: int) -> None:
        self._topic = topic
        self._fields = [field for field in fields.values() if field.slot >= 0]
        self._columns = columns
        self._end = base
        self._id_slot = fields["event_id"].slot
        self.made: list[bytes] = []

    def decode(self, places: Sequence[int], values: Sequence[bytes | None], received_ms: NDArray[np.int64]) -> None:
        """The records at `places`, each as a row or as broken."""
        for place in places:
            raw = values[place]
            try:
                event = self._topic.decode(raw)
            except ContractError as error:
                self._columns.broken.append((place, error))
                continue
            self._write(place, raw or b"", event, int(received_ms[place]))

    def name(self, places: Sequence[int], values: Sequence[bytes | None]) -> None:
        """The ids of plain records that have none."""
        out = self._columns.out
        for place in places:
            start, size = self._put(identity_as_sent(values[place] or b"").encode())
            out.start[self._id_slot, place], out.size[self._id_slot, place] = start, size

    def _write(self, place: int, raw: bytes, event: Event, received_ms: int) -> None:
        out = self._columns.out
        at, out.is_clock_suspect[place] = occurred_at(event, from_ms(received_ms))
        out.occurred_us[place] = to_us(at)
        out.kind[place] = self._topic.rank[event.event_type]
        out.key_start[place], out.key_size[place] = self._put(event.key.encode())
        if extra := unknown_fields(raw, event):
            out.extra_start[place], out.extra_size[place] = self._put(msgspec.json.encode(extra))
        for field in self._fields:
            value = getattr(event, field.name, None)
            if field.name == "event_id":
                value = identity(raw, event)
            if value is not None:
                self._write_value(field, place, value)

    def _write_value(self, field: Field, place: int, value: Any) -> None:
        out, slot = self._columns.out, field.slot
        kind = family(field.type)
        if kind == TEXT:
            text = value.encode() if field.type == TEXT else msgspec.json.encode(value)
            out.start[slot, place], out.size[slot, place] = self._put(text)
        elif kind == NUMBER:
            out.number[slot, place], out.has_number[slot, place] = value, True
        elif kind == FLAG:
            out.flag[slot, place], out.has_flag[slot, place] = value, True
        else:
            out.integer[slot, place] = to_us(value) if field.type == STAMP else value
            out.has_integer[slot, place] = True

    def _put(self, text: bytes) -> tuple[int, int]:
        start = self._end
        self.made.append(text)
        self._end += len(text)
        return start, len(text)
