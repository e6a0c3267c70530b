"""Records of an event topic → rows of its bronze table, as Arrow, and the records that broke their contract."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from infra.errors import ContractError
from schemas.columnar.arrow import column_array, plain_array, prepare, text_array
from schemas.columnar.columns import Columns, Text
from schemas.columnar.decoder import ColumnDecoder
from schemas.columnar.order import ordered
from schemas.columnar.vocabulary import PAD
from schemas.derive import arrow_schema
from schemas.session_state import Fact
from schemas.tables import BRONZE
from schemas.topic import DAY_MS, EventTopic

if TYPE_CHECKING:
    import pyarrow as pa


class Record(Protocol):
    """What is needed of a Kafka record (`confluent_kafka.Message` is one)."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...


class Decoded(NamedTuple):
    """The two outcomes: rows (sorted as `sorted_by` says), and what broke its contract, with why."""

    rows: pa.Table
    broken: list[tuple[Record, ContractError]]


# The group is defined on the fold's fact; a playback event has the fields it looks at under the same names.
_group_id = Fact.group_id.fget  # type: ignore[attr-defined]
GROUP_FIELDS = ("session_id", "user_id", "device_type", "content_id")


def sorted_by(topic: EventTopic) -> tuple[str, ...]:
    """Order of the rows of a file: what has one key lies together."""
    return (*topic.key_fields, "partition", "offset")


class Decoder:
    """Decodes the records of one event topic."""

    def __init__(self, topic: EventTopic) -> None:
        self.topic = topic
        self.schema = arrow_schema(BRONZE[topic.name].columns)
        self._decoder = ColumnDecoder(topic)
        # Now, and not when a batch waits.
        prepare()
        self.decode([])

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Every record ends in exactly one of the two outcomes."""
        count = len(records)
        partitions = np.fromiter((record.partition() for record in records), np.int32, count)
        offsets = np.fromiter((record.offset() for record in records), np.int64, count)
        received_ms = np.fromiter((record.timestamp()[1] for record in records), np.int64, count)
        columns = self._decoder.decode([record.value() for record in records], received_ms)
        keys = [columns.text(name) for name in self.topic.key_fields]
        rows = ordered(columns.data, keys, partitions, offsets, np.flatnonzero(columns.kind >= 0))
        table = self._table(columns, rows, partitions, offsets, received_ms)
        return Decoded(table, [(records[place], error) for place, error in columns.broken])

    def _table(
        self,
        columns: Columns,
        rows: NDArray[np.int64],
        partitions: NDArray[np.int32],
        offsets: NDArray[np.int64],
        received_ms: NDArray[np.int64],
    ) -> pa.Table:
        import pyarrow as pa

        made: dict[str, pa.Array] = {}
        for name, kind in zip(self.schema.names, self.schema.types, strict=True):
            match name:
                case "topic":
                    made[name] = _same(self.topic.name, len(rows))
                case "partition":
                    made[name] = plain_array(partitions[rows], kind)
                case "offset":
                    made[name] = plain_array(offsets[rows], kind)
                case "received_at":
                    made[name] = plain_array(received_ms[rows] * 1000, kind)
                case "received_date":
                    made[name] = plain_array((received_ms[rows] // DAY_MS).astype(np.int32), kind)
                case "event_type":
                    indices = plain_array(columns.kind[rows].astype(np.int32), pa.int32())
                    made[name] = pa.DictionaryArray.from_arrays(indices, list(self.topic.rank))
                case "occurred_at":
                    made[name] = plain_array(columns.occurred_us[rows], kind)
                case "is_clock_suspect":
                    made[name] = plain_array(columns.is_clock_suspect[rows], kind)
                case "group_id":
                    continue
                case _:
                    made[name] = column_array(columns, name, kind, rows)
        if "group_id" in self.schema.names:
            made["group_id"] = _groups(columns, rows, made["session_id"])
        arrays = [made[name] for name in self.schema.names]
        fields = [field.with_type(one.type) for field, one in zip(self.schema, arrays, strict=True)]
        return pa.table(arrays, schema=pa.schema(fields))


def _same(text: str, count: int) -> pa.Array:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(plain_array(np.zeros(count, np.int32), pa.int32()), [text])


def _groups(columns: Columns, rows: NDArray[np.int64], sessions: pa.Array) -> pa.Array:
    """The session's id, which most records have; of the others, what its definition says."""
    session = columns.text("session_id")
    without = rows[session.size[rows] <= 0]
    if not len(without):
        return sessions
    start, size = session.start.copy(), session.size.copy()
    fields = [text_array(columns.data, columns.text(name), without).to_pylist() for name in GROUP_FIELDS]
    groups = [
        str(_group_id(SimpleNamespace(**dict(zip(GROUP_FIELDS, one, strict=True))))).encode()
        for one in zip(*fields, strict=True)
    ]
    size[without] = [len(group) for group in groups]
    start[without] = len(columns.data) + np.cumsum(size[without]) - size[without]
    data = np.concatenate([columns.data, np.frombuffer(b"".join(groups) + bytes(PAD), np.uint8)])
    return text_array(data, Text(start, size), rows)
