"""Silver events made from nothing: bronze's files written again as silver's, without what is a later copy.

That is most of what silver is to do when it is made for the first time, or anew, and it is a copy of columns: so Spark
hands out files, and Arrow copies them. What is put to rows that are there already is found by joins, and Spark's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batch.day_files import WRITTEN, Layout, writing
from batch.silver.files import handed_out
from infra.data_files import columns_as
from infra.errors import LakeDamaged
from schemas.derive import arrow_schema
from schemas.table import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    Places = npt.NDArray[np.int64]

ROWS_AT_ONCE = 128 * 1024
MAX_OFFSET_BITS = 44


@dataclass(frozen=True)
class Bronze:
    """What is to be written again. `count`: of rows in all files. `later`: partition and offset of each record that has
    an earlier copy; few."""

    files: Sequence[Path]
    count: int
    later: DataFrame


def rewrite(spark: SparkSession, bronze: Bronze, table: Table, folder: str) -> None:
    """Write bronze's rows to `folder` as rows of `table`. Raises LakeDamaged when they were not as many as expected."""
    left_out = _places(bronze.later.toArrow())
    tasks, make = handed_out(spark, bronze.files, lambda file: rows_of_file(file, table, left_out))
    written = sum(row["rows"] for row in tasks.mapInArrow(writing(Layout.of(table), folder, make), WRITTEN).collect())
    if written != (expected := bronze.count - len(left_out)):
        msg = (
            f"{table.full_name}: expected {expected} rows of bronze's files, without {len(left_out)} copies: {written}"
        )
        raise LakeDamaged(msg)


def rows_of_file(file: Path, table: Table, left_out: Places) -> Iterator[pa.RecordBatch]:
    """A bronze file as silver's rows: the columns of the contract, null where the file is older than the column."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema = arrow_schema(table.columns)
    values = pa.array(left_out, pa.int64())
    with pq.ParquetFile(file) as source:
        there = [name for name in source.schema_arrow.names if name in schema.names]
        for batch in source.iter_batches(ROWS_AT_ONCE, columns=there, use_threads=False):
            if len(left_out):
                places = pa.array(_keys(batch.column("partition"), batch.column("offset")))
                rows = batch.filter(pc.invert(pc.is_in(places, values)))
            else:
                rows = batch
            day = pc.floor_temporal(rows.column("occurred_at"), unit="day")
            rows = rows.append_column(f"{table.partition_by}", day)
            yield pa.RecordBatch.from_arrays(columns_as(rows, schema), names=schema.names)


def _places(rows: pa.Table) -> Places:
    import numpy as np

    found: Places = np.sort(_keys(rows["partition"].combine_chunks(), rows["offset"].combine_chunks()))
    return found


def _keys(partitions: pa.Array, offsets: pa.Array) -> Places:
    """Partition and offset as one number."""
    import numpy as np

    keys: Places = (partitions.to_numpy(zero_copy_only=False).astype(np.int64) << MAX_OFFSET_BITS) | (
        offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    )
    return keys
