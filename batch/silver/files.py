"""A table's files handed out to Spark's tasks, where what Arrow makes of a file is all that is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from infra.data_files import DataFile, data_files, has_deleted_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    Batches = Iterator[pa.RecordBatch]

TASKS = 8
BYTES_OF_A_TASK = (8 * 2**20, 64 * 2**20)
"""Least and most."""


def readable_files(path: str, at: int) -> list[DataFile] | None:
    """The files of a version; None when a file alone does not say which of its rows are there."""
    table = DeltaTable(path, version=at)
    return None if has_deleted_rows(table) else list(data_files(table))


def handed_out(
    spark: SparkSession, files: Sequence[Path], of_file: Callable[[Path], Batches]
) -> tuple[DataFrame, Callable[[Batches], Batches]]:
    """Tasks, and the function for their `mapInArrow`, which gives what `of_file` makes of each file of a task."""
    portions = _portions(files)

    def make(tasks: Batches) -> Batches:
        for batch in tasks:
            for task in batch.column("id").to_pylist():
                for file in portions[task]:
                    yield from of_file(file)

    return spark.range(0, len(portions), 1, len(portions)), make


def _portions(files: Sequence[Path]) -> list[list[Path]]:
    """Files that a task may well take together, in their order."""
    sizes = {file: file.stat().st_size for file in sorted(files)}
    least, most = BYTES_OF_A_TASK
    enough = min(most, max(least, sum(sizes.values()) // TASKS))
    portions: list[list[Path]] = [[]]
    size = 0
    for file, bytes_ in sizes.items():
        if size >= enough:
            portions.append([])
            size = 0
        portions[-1].append(file)
        size += bytes_
    return portions
