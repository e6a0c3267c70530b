"""Parquet files of a Delta table, on the disk before anybody hears of them."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.disk import sync

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake.transaction import AddAction


def write_files(
    root: Path, rows: pa.Table, partition_by: str | None, sorted_by: Sequence[str], *, are_new: bool = True
) -> list[AddAction]:
    """One sorted file a partition; returns what a commit says of them. Nothing refers to them before it does.

    `are_new`: the table does not have these rows yet, so that whoever follows its changes must see them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if sorted_by:
        keys = pa.table({name: rows[name].cast(_plain_type(rows[name].type)) for name in sorted_by})
        rows = rows.take(pc.sort_indices(keys, [(name, "ascending") for name in sorted_by]))
    if partition_by is None:
        return [_write_file(root, rows, {}, are_new)]
    values = pc.unique(rows[partition_by]).to_pylist()
    return [
        _write_file(
            root,
            rows if len(values) == 1 else rows.filter(pc.equal(rows[partition_by], value)),
            {partition_by: str(value)},
            are_new,
        )
        for value in values
    ]


def _write_file(root: Path, rows: pa.Table, partition: dict[str, str | None], is_new: bool) -> AddAction:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake.transaction import AddAction

    folder = root.joinpath(*(f"{name}={value}" for name, value in partition.items()))
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        sync(root)
    file = folder / f"part-{uuid.uuid4()}.zstd.parquet"
    rows = rows.drop_columns(list(partition))
    with file.open("xb") as out:
        # Who made the rows knows where few values come again and again; to look for them again only costs time.
        listed = [field.name for field in rows.schema if pa.types.is_dictionary(field.type)]
        pq.write_table(rows, out, compression="zstd", compression_level=1, use_dictionary=listed or True)
        out.flush()
        os.fsync(out.fileno())
    sync(folder)
    return AddAction(
        path=str(file.relative_to(root)),
        size=file.stat().st_size,
        partition_values=partition,
        modification_time=int(time.time() * 1000),
        data_change=is_new,
        stats=json.dumps(_statistics(rows)),
    )


def _statistics(rows: pa.Table) -> dict[str, Any]:
    """What lets readers skip files. Only numbers and moments: a bound of a text could be as long as the text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    low, high, nulls = {}, {}, {}
    for field in rows.schema:
        if field.nullable or not (pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type)):
            continue
        bounds = pc.min_max(rows[field.name]).as_py()
        low[field.name], high[field.name] = _plain(bounds["min"]), _plain(bounds["max"])
        nulls[field.name] = 0
    return {"numRecords": rows.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}


def _plain_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _plain(value: Any) -> Any:
    return value if isinstance(value, int) else value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
