"""Answers of queries in the forms that people and programs ask for: JSON, CSV, Parquet, a table on a terminal.

JSON knows fewer types than SQL: integers beyond ±(2^53 - 1) and decimals become strings, so that no digit is lost on
the way through a double; NaN and infinities become null; stamps are ISO 8601 in UTC with Z, intervals are
ISO 8601 durations, binary data is hex. Arrow keeps every type as it is; in Parquet intervals are text.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.disk import replace_file
from infra.text_columns import aligned, cut
from schemas.units import unit_of
from warehouse.forms import Form
from warehouse.sandbox.pool import Answer

SAFE_INTEGER = 2**53 - 1
CSV_TYPE, JSON_TYPE, ARROW_TYPE = "text/csv; charset=utf-8", "application/json", "application/vnd.apache.arrow.stream"
PARQUET_TYPE = "application/vnd.apache.parquet"
ROW_GROUP_BYTES = 16_000_000


def to_json(answer: Answer) -> bytes:
    """`{"columns": [{"name", "type", "unit"}], "rows": [[...]], "row_count", "truncated", ...}`: docs/sql.md."""
    table = answer.table
    tail = json_tail(answer.truncated, answer.elapsed_s, answer.publish_id)
    return b"".join(json_pieces(table.schema, table.to_batches(), {}, lambda: tail))


def json_pieces(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], head: dict[str, Any], tail: Callable[[], dict[str, Any]]
) -> Iterator[bytes]:
    """The same, piece by piece while batches come. `tail` is asked for when all have come."""
    columns = [{"name": field.name, "type": str(field.type), "unit": unit_of(field.name)} for field in schema]
    head = head | {"columns": columns}
    yield f'{_dumped(head)[:-1]},"rows":['.encode()
    count = 0
    for batch in batches:
        if batch.num_rows:
            lines = _dumped([[plain(value) for value in row] for row in rows([batch])])[1:-1]
            yield f"{',' if count else ''}{lines}".encode()
            count += batch.num_rows
    yield f"],{_dumped({'row_count': count} | tail())[1:]}".encode()


def json_tail(truncated: bool, elapsed_s: float, publish_id: str | None) -> dict[str, Any]:
    """What stands behind the rows and their number."""
    return {"truncated": truncated, "elapsed_ms": round(elapsed_s * 1000, 1), "publish_id": publish_id}


def json_broken_off(reason: str, message: str) -> bytes:
    """What stands behind the rows when no more come: for people to read, not closed, so that no program takes it."""
    return f'],"error":{_dumped({"reason": reason, "message": message})}'.encode()


def to_csv(answer: Answer) -> bytes:
    """A header and the rows; nested values as JSON, nulls empty."""
    return b"".join(csv_pieces(answer.table.schema, answer.table.to_batches()))


def csv_pieces(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """The same, piece by piece while batches come."""
    yield _csv([schema.names])
    for batch in batches:
        yield _csv([_text(value, null="") for value in row] for row in rows([batch]))


def to_arrow(answer: Answer) -> bytes:
    """An Arrow IPC stream."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, answer.table.schema) as stream:
        stream.write_table(answer.table)
    return out.getvalue()


def to_parquet(answer: Answer, path: Path) -> None:
    """A Parquet file."""
    with path.open("wb") as file:
        file.writelines(parquet_pieces(answer.table.schema, answer.table.to_batches()))


def parquet_pieces(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """The same, piece by piece. Of columns with one name the later ones get a number: readers look them up by name."""
    names: list[str] = []
    for name in schema.names:
        others = (f"{name}_{number}" for number in itertools.count(2))
        names.append(next(one for one in itertools.chain([name], others) if one not in names))
    kinds = [pa.string() if pa.types.is_interval(field.type) else field.type for field in schema]
    fields = pa.schema(zip(names, kinds, strict=True))
    pieces = _Pieces()
    with pq.ParquetWriter(pieces, fields, compression="zstd") as writer:
        for group in _row_groups(batches):
            writer.write_table(pa.Table.from_batches([_told(batch, fields) for batch in group], fields))
            yield pieces.taken()
    yield pieces.taken()


def _told(batch: pa.RecordBatch, fields: pa.Schema) -> pa.RecordBatch:
    """A batch under the names and with the types of the file, which knows no intervals: they are text."""
    columns = [
        column if column.type == kind else pa.array([plain(value) for value in column.to_pylist()], kind)
        for column, kind in zip(batch.columns, fields.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=fields)


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches that are compressed together."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(one.nbytes for one in group) >= ROW_GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group


class _Pieces(io.RawIOBase):
    """A file whose content is taken away while it is written."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._content += piece
        self._written += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._written

    def taken(self) -> bytes:
        """What was written since the last call."""
        content = bytes(self._content)
        self._content.clear()
        return content


def write_file(answer: Answer, form: Form, path: Path) -> None:
    """Put the answer in place of the file, whole: a reader sees what was there before, or all of it."""

    def write(fresh: Path) -> None:
        match form:
            case Form.parquet:
                to_parquet(answer, fresh)
            case Form.csv:
                fresh.write_bytes(to_csv(answer))
            case Form.json:
                fresh.write_bytes(to_json(answer) + b"\n")
            case Form.table:
                fresh.write_text(to_text(answer) + "\n")

    replace_file(path, write)


def to_text(answer: Answer, max_width: int = 60) -> str:
    """Columns that line up: numbers to the right, long values cut with …"""
    schema = answer.table.schema
    cells = [[cut(_line(value), max_width) for value in row] for row in rows(answer.table.to_batches())]
    right = {place for place, field in enumerate(schema) if _is_number(field.type)}
    body = aligned([schema.names, *cells], right, rule=True)
    note = f"({answer.table.num_rows} row{'' if answer.table.num_rows == 1 else 's'}"
    note += ", more were cut off)" if answer.truncated else ")"
    return "\n".join([*body, note])


def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    """Row after row, also where two columns have one name."""
    for batch in batches:
        yield from zip(*(_values(column) for column in batch.columns), strict=True)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -SAFE_INTEGER <= value <= SAFE_INTEGER else str(value)
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return plain(int(value)) if value.as_tuple().exponent == 0 else str(value)
        case datetime():
            stamp = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
            return stamp.isoformat() + ("" if value.tzinfo is None else "Z")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return f"PT{value.total_seconds():g}S"
        case pa.MonthDayNano():
            return f"P{value.months}M{value.days}DT{value.nanoseconds / 1e9:g}S"
        case bytes():
            return value.hex()
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return str(value)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _csv(lines: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue().encode()


def _values(column: pa.Array) -> list[Any]:
    """Python values; stamps beyond Python's years (infinity) as null."""
    try:
        return list(column.to_pylist(maps_as_pydicts="lossy"))
    except (OverflowError, ValueError):
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py(maps_as_pydicts="lossy")
    except (OverflowError, ValueError):
        return None


def _text(value: Any, null: str) -> str:
    simple = plain(value)
    if simple is None:
        return null if value is None else str(value)
    if isinstance(simple, bool):
        return "true" if simple else "false"
    return json.dumps(simple, ensure_ascii=False) if isinstance(simple, dict | list) else str(simple)


def _line(value: Any) -> str:
    return _text(value, null="NULL").replace("\n", "⏎")


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
