"""Playback records of a batch as events of the live fold: object form, until columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from infra.errors import ContractError
from schemas.fact import fact_of
from schemas.registry import PLAYBACK
from streams.live.events import EVENT, REJECTED, EventList, bucket_of
from streams.live.names import Names


class Prepared(NamedTuple):
    records: Sequence[Any]


def prepare_playback(messages: Sequence[Any]) -> Prepared:
    return Prepared(messages)


def events_of_columns(prepared: Prepared, names: Names) -> npt.NDArray[Any]:
    out = EventList(names)
    for record in prepared.records:
        raw, record_key, offset, stamp = record.value(), record.key() or b"", record.offset(), record.timestamp()[1]
        try:
            event = PLAYBACK.decode(raw)
        except ContractError:
            out.tell(REJECTED, offset, bucket_of(record_key), stamp)
            continue
        key = event.key.encode()
        out.fold(fact_of(raw, event, stamp), offset, bucket_of(key), fate=EVENT, is_misplaced=record_key != key)
    return out.array()
