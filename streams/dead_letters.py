"""Dead letters: records that broke their contract, with the reason and their original bytes.

The Delta table `bronze.dead_letters` is the truth; the sink alone writes it (`streams/bronze.py`). The Kafka topic
`dead.letters` carries DeadLetter as JSON, from two sources:

- `sink`: an announcement of what the table already holds, for alerting; lost or doubled, nothing is wrong;
- `collector`: a record that was never let into a topic, so this is its only copy. The sink keeps it in the table, where
  its identity is that of the `dead.letters` record that carried it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
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
    where = [f"{name} = '{_quoted(value)}'" for name, value in (("topic", topic), ("reason", reason)) if value]
    return _query(
        settings,
        'SELECT topic, "partition", "offset", received_at, reason, field, detail, octet_length(value) AS bytes '
        f"FROM letters {'WHERE ' + ' AND '.join(where) if where else ''} "
        f'ORDER BY received_at DESC, topic, "partition", "offset" DESC LIMIT {int(limit)}',
    )


def show(settings: Settings, topic: str, partition: int, offset: int) -> dict[str, Any]:
    """One dead letter with its original bytes. Raises SettingsError if there is none."""
    rows = _query(
        settings,
        f"SELECT * FROM letters WHERE topic = '{_quoted(topic)}' "
        f'AND "partition" = {int(partition)} AND "offset" = {int(offset)}',
    )
    if not rows:
        msg = f"there is no dead letter {topic}/{partition}/{offset}; `playlake deadletters list` shows what there is"
        raise SettingsError(msg)
    return rows[0]


def count_since(settings: Settings, hours: float) -> dict[str, int]:
    """Reason → how many were received in the last hours."""
    seconds = int(timedelta(hours=hours).total_seconds())
    rows = _query(
        settings,
        "SELECT reason, count(*) AS n FROM letters "
        f"WHERE received_at >= now() - interval '{seconds} seconds' GROUP BY reason",
    )
    return {row["reason"]: row["n"] for row in rows}


def _query(settings: Settings, sql: str) -> list[dict[str, Any]]:
    import pyarrow as pa
    from deltalake import DeltaTable, QueryBuilder

    path = DEAD_LETTERS.path(settings.lake_root)
    if not DeltaTable.is_deltatable(path):
        return []
    reader = QueryBuilder().register("letters", DeltaTable(path)).execute(sql)
    return pa.table(reader.read_all()).to_pylist()  # type: ignore[no-any-return]


def _quoted(text: str) -> str:
    return text.replace("'", "''")
