"""The trend: a row a comparison in a Delta table beside the lake's layers (`schemas/parity.py`).

A comparison that runs twice leaves two rows: they were made at two moments.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as shapes

from infra.settings import Settings
from schemas.parity import Comparison, RowParity, history_path
from streams.parity.rows import OVERALL

if TYPE_CHECKING:
    import pyarrow as pa

MOST_DIFFERING, MOST_OVERALL = 200, 60
"""Rows that differ of which a comparison is remembered; of those over all, as long as there are others."""
KEPT = timedelta(days=30)
MOST_FILES = 64
"""A comparison is a file; with more they are merged, and what is older than KEPT goes."""
READ_FOR_HOURS = 24
"""How long a file that was merged may still be read."""


def remember(settings: Settings, made: Comparison) -> None:
    """Append a comparison."""
    import pyarrow as pa
    from deltalake import DeltaTable, write_deltalake

    path = history_path(settings.lake_root)
    kept = msgspec.structs.replace(made, differing=telling(made.differing))
    row = {name: _plain(getattr(kept, name)) for name in Comparison.__struct_fields__}
    write_deltalake(path, pa.Table.from_pylist([row], schema=schema()), mode="append", schema_mode="merge")
    table = DeltaTable(path)
    if len(table.file_uris()) > MOST_FILES:
        before = (made.made_at - KEPT).isoformat()
        table.delete(f"made_at < arrow_cast('{before}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
        table.optimize.compact()
        table.vacuum(READ_FOR_HOURS, dry_run=False, enforce_retention_duration=False)


def telling(rows: Iterable[RowParity], most: int = MOST_DIFFERING) -> list[RowParity]:
    """What is unexplained first, then the newest rows over all, then the newest by dimensions."""
    newest = sorted(rows, key=lambda row: row.minute, reverse=True)
    wrong = [row for row in newest if not row.is_explained]
    overall = [row for row in newest if row.is_explained and row.rollup == OVERALL]
    others = [row for row in newest if row.is_explained and row.rollup != OVERALL]
    return [*wrong, *overall[:MOST_OVERALL], *others, *overall[MOST_OVERALL:]][:most]


def schema() -> pa.Schema:
    """The table's columns."""
    import pyarrow as pa

    return pa.schema([(field.name, _arrow(field.type)) for field in _fields(shapes.type_info(Comparison))])


def _fields(kind: shapes.Type) -> tuple[shapes.Field, ...]:
    assert isinstance(kind, shapes.StructType)
    return kind.fields


def _arrow(kind: shapes.Type) -> pa.DataType:
    import pyarrow as pa

    match kind:
        case shapes.DateTimeType():
            return pa.timestamp("us", tz="UTC")
        case shapes.IntType():
            return pa.int64()
        case shapes.FloatType():
            return pa.float64()
        case shapes.StrType():
            return pa.string()
        case shapes.UnionType(types=types):
            [told] = (one for one in types if not isinstance(one, shapes.NoneType))
            return _arrow(told)
        case shapes.ListType(item_type=item):
            return pa.list_(_arrow(item))
        case shapes.DictType(key_type=key, value_type=value):
            return pa.map_(_arrow(key), _arrow(value))
        case shapes.StructType():
            return pa.struct([(field.name, _arrow(field.type)) for field in _fields(kind)])
        case _:
            msg = f"a comparison may have numbers, strings, moments, lists, maps and structs; it has {kind}"
            raise TypeError(msg)


def _plain(value: Any) -> Any:
    """As Arrow takes it: structs as dicts, moments as they are."""
    return msgspec.to_builtins(value, builtin_types=(datetime,))
