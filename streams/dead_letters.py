"""Dead letters: records that broke their contract, with the reason and their original bytes.

The Delta table `bronze.dead_letters` is the truth; the sink alone writes it (`streams/bronze.py`). The Kafka topic
`dead.letters` carries DeadLetter as JSON, from two sources:

- `sink`: an announcement of what the table already holds, for alerting; lost or doubled, nothing is wrong;
- `collector`: a record that was never let into a topic, so this is its only copy. The sink keeps it in the table, where
  its identity is that of the `dead.letters` record that carried it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from infra.errors import ContractError, SettingsError
from schemas.derive import arrow_schema
from schemas.event import Stamp, decode
from schemas.fact import from_ms
from schemas.tables import DEAD_LETTERS
from streams.bronze_rows import Record

if TYPE_CHECKING:
    import pyarrow as pa

    from infra.settings import Settings

ANNOUNCED_VALUE_BYTES = 65_536
"""An announcement of a larger record goes without its bytes: the table has them."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One record that broke its contract. On the wire `key` and `value` are base64.

    source: who noticed. at: when it was received. topic, partition, offset: the record it was; a collector names the
    topic it was meant for, if it knows. size: bytes of the record, where `value` is not all of it.
    """

    source: Literal["sink", "collector"]
    at: Stamp
    reason: str
    detail: str
    field: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    key: bytes | None = None
    value: bytes | None = None
    size: int | None = None

    def announcement(self) -> bytes:
        """As JSON, without a value that is too large for a notice."""
        size = len(self.value or b"")
        cut = size > ANNOUNCED_VALUE_BYTES
        return msgspec.json.encode(msgspec.structs.replace(self, value=None, size=size) if cut else self)


def rejected(record: Record, error: ContractError) -> DeadLetter:
    """The dead letter of a topic's record that broke its contract."""
    return DeadLetter(
        source="sink",
        at=from_ms(record.timestamp()[1]),
        reason=error.reason,
        detail=error.detail,
        field=error.field,
        topic=record.topic(),
        partition=record.partition(),
        offset=record.offset(),
        key=record.key(),
        value=record.value(),
    )


_DECODER = msgspec.json.Decoder(DeadLetter)


def from_topic(record: Record) -> DeadLetter | None:
    """What the table keeps of a record of the topic `dead.letters`: None for a notice of what it has already.

    A record that is no dead letter is itself one.
    """
    try:
        letter: DeadLetter = decode(record.value(), _DECODER)
    except ContractError as error:
        return rejected(record, error)
    if letter.source == "sink":
        return None
    return msgspec.structs.replace(
        letter,
        at=from_ms(record.timestamp()[1]),
        topic=record.topic(),
        partition=record.partition(),
        offset=record.offset(),
        detail=f"{letter.detail} (meant for {letter.topic})" if letter.topic else letter.detail,
    )


def to_arrow(letters: Sequence[DeadLetter]) -> pa.Table:
    """Rows of the table."""
    import pyarrow as pa

    schema = arrow_schema(DEAD_LETTERS.columns)
    columns: dict[str, list[Any]] = {
        "received_at": [letter.at for letter in letters],
        "received_date": [letter.at.date() for letter in letters],
    }
    for name in schema.names:
        if name not in columns:
            columns[name] = [getattr(letter, name) for letter in letters]
    return pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def find(settings: Settings, topic: str | None, reason: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest dead letters, without their bytes."""
    from infra.delta_scan import quoted

    asked = {"topic": topic, "reason": reason}
    where = " AND ".join(["true", *(f"{name} = {quoted(value)}" for name, value in asked.items() if value)])
    return _query(
        settings,
        'topic, partition, "offset", received_at, reason, field, detail, octet_length(value) AS bytes',
        f'{where} ORDER BY received_at DESC, topic, partition, "offset" DESC LIMIT {limit}',
    )


def show(settings: Settings, topic: str, partition: int, offset: int) -> dict[str, Any]:
    """One dead letter with its original bytes. Raises SettingsError if there is none."""
    from infra.delta_scan import quoted

    place = f'topic = {quoted(topic)} AND partition = {partition} AND "offset" = {offset}'
    rows = _query(settings, "*", place)
    if not rows:
        msg = f"there is no dead letter {topic}/{partition}/{offset}; `playlake deadletters list` shows what there is"
        raise SettingsError(msg)
    return rows[0]


def parse_place(text: str) -> tuple[str, int, int]:
    """`topic/partition/offset` → its parts. Raises SettingsError."""
    topic, *numbers = text.split("/")
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        msg = f"expected topic/partition/offset, e.g. user.playback.events/0/1234, got {text!r}"
        raise SettingsError(msg)
    return topic, int(numbers[0]), int(numbers[1])


def _query(settings: Settings, columns: str, where: str) -> list[dict[str, Any]]:
    from deltalake import DeltaTable

    from infra.delta_scan import query, scan

    path = DEAD_LETTERS.path(settings.lake_root)
    return query(f"SELECT {columns} FROM {scan(path)} WHERE {where}") if DeltaTable.is_deltatable(path) else []
