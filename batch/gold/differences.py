"""Days of gold made anew of their old rows and of what has changed in silver, where that comes to the same.

A table says by `-- additive:` in its header that each row of silver adds whole numbers to some rows of it. Then

    old row - what rows of silver that went had added + what rows that came add = the row as it is now

exactly, whatever else the day holds. So the table's SELECT runs over the changed rows of silver alone
(`batch/gold/signed.py`), and Arrow does the rest: of the day's files it copies what no difference touches. The header
names the parts of which each row of silver adds at least one; a row of gold where they are all zero is made of nothing,
and is no more.

Where anything is in doubt, days are made anew whole: the table's definition has changed, days were restated by hand,
silver no longer tells what changed, there is much of it, or a difference does not fit its row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from batch.day_files import Layout, write_days
from batch.gold.signed import SIGN
from infra.data_files import DataFile, columns_as, data_files, has_deleted_rows
from schemas.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from schemas.table import Table

    Numbers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]


class Misfit(Exception):
    """A difference that does not fit the rows that are there, or a table that does not keep to what its header says."""


def definition_of(sql: str) -> str:
    """Tells definitions of a table apart."""
    return hashlib.blake2b(sql.encode(), digest_size=8).hexdigest()


def may_differ(table: Table, done: Progress | None, sources: Iterable[str], definition: str) -> bool:
    """Whether the table is made, in all its days, of this definition and of one version of each source."""
    return (
        bool(table.additive)
        and done is not None
        and done.definition == definition
        and all(name in done.complete and done.read.get(name) == done.complete[name] for name in sources)
    )


@dataclass(frozen=True)
class DifferentDays:
    """The days of a gold table that differences touch."""

    table: Table
    path: str
    base: DeltaTable
    schema: pa.Schema
    keys: list[str]
    changes: pa.Table
    """The differences, under the columns of `schema`."""
    signs: Numbers

    @classmethod
    def of(cls, table: Table, path: str, at: int, changes: pa.Table) -> DifferentDays | None:
        """None when a file of version `at` alone does not say which rows are there. Raises Misfit."""
        import pyarrow as pa

        base = DeltaTable(path, version=at)
        if has_deleted_rows(base):
            return None
        schema = pa.schema([pa.field(field.name, field.type) for field in pa.schema(base.schema())])
        keys = [name for name in schema.names if name in table.grain or name == table.partition_by]
        parts = [name for name in schema.names if name not in keys]
        others = [name for name in parts if not _is_whole(schema.field(name).type)]
        if others or set(parts) != set(changes.schema.names) - {SIGN, *keys}:
            msg = f"expected whole numbers in every column but {', '.join(keys)}; {', '.join(others)} are none"
            raise Misfit(msg)
        rows = pa.Table.from_arrays(columns_as(changes, schema), schema=schema)
        return cls(table, path, base, schema, keys, rows, changes[SIGN].to_numpy())

    @property
    def dates(self) -> list[str]:
        return sorted({str(day) for day in self.changes[f"{self.table.partition_by}"].unique().to_pylist()})

    def write(self, folder: str) -> None:
        """Write the days, whole, as they are now. Raises Misfit."""
        batches = (batch for rows in self._rows() for batch in rows.to_batches())
        write_days(Layout.of(self.table, by_contract=False), folder, batches)

    def _rows(self) -> Iterator[pa.Table]:
        import numpy as np
        import pyarrow as pa

        touched = [self.changes]
        for batch in self._old():
            is_touched = self._touches(batch)
            yield batch.filter(pa.array(~is_touched))
            touched.append(batch.filter(pa.array(is_touched)))
        rows = pa.concat_tables(touched)
        signs = np.concatenate([self.signs, np.ones(len(rows) - len(self.signs), np.int64)])
        yield added_up(rows, signs, self.keys, self.table.additive)

    def _old(self) -> Iterator[pa.Table]:
        """The old rows of the days, a row group at a time."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        day = f"{self.table.partition_by}"
        for file in self._files():
            with pq.ParquetFile(file.at(self.path)) as source:
                for group in range(source.num_row_groups):
                    rows = source.read_row_group(group, use_threads=False)
                    rows = rows.append_column(day, pa.repeat(file.partition[day], len(rows)))
                    yield pa.Table.from_arrays(columns_as(rows, self.schema), schema=self.schema)

    def _files(self) -> list[DataFile]:
        days = set(self.dates)
        return [file for file in data_files(self.base) if file.partition[f"{self.table.partition_by}"] in days]

    def _touches(self, rows: pa.Table) -> Flags:
        """Which of the rows have a key of a difference."""
        import numpy as np
        import pyarrow as pa

        groups, _ = grouped(pa.concat_tables([self.changes.select(self.keys), rows.select(self.keys)]))
        of_changes = np.zeros(int(groups.max(initial=-1)) + 1, np.bool_)
        of_changes[groups[: len(self.changes)]] = True
        flags: Flags = of_changes[groups[len(self.changes) :]]
        return flags


def _is_whole(kind: pa.DataType) -> bool:
    import pyarrow as pa

    number = kind.value_type if pa.types.is_list(kind) else kind
    return bool(pa.types.is_integer(number))


def grouped(keys: pa.Table) -> tuple[Numbers, Numbers]:
    """Of each row the number of its group, which are the rows of equal keys (null equals null); a row of each group."""
    import numpy as np
    import pyarrow as pa

    numbered = keys.append_column("_row", pa.array(np.arange(len(keys))))
    rows = numbered.group_by(keys.schema.names, use_threads=False).aggregate([("_row", "list")])["_row_list"]
    lists = rows.combine_chunks() if rows.num_chunks != 1 else rows.chunk(0)
    sizes, flat = lists.value_lengths().to_numpy(), lists.flatten().to_numpy()
    groups = np.empty(len(keys), np.int64)
    groups[flat] = np.repeat(np.arange(len(sizes)), sizes)
    return groups, flat[np.cumsum(sizes) - sizes]


def added_up(rows: pa.Table, signs: Numbers, keys: list[str], additive: Iterable[str]) -> pa.Table:
    """One row a key, the sum of its rows by their signs; without those made of nothing. Raises Misfit for what is less
    than nothing.

    rows       columns `keys`, the others whole numbers or lists of them; a list of zeros only is null
    additive   parts of which each row adds at least one
    """
    import numpy as np
    import pyarrow as pa

    groups, first = grouped(rows.select(keys))
    is_there = np.zeros(len(first), np.bool_)
    columns: dict[str, pa.Array] = {}
    for field in rows.schema:
        column = rows[field.name].combine_chunks()
        if field.name in keys:
            columns[field.name] = column.take(pa.array(first))
        elif pa.types.is_list(field.type):
            columns[field.name] = _lists(column, groups, signs, len(first)).cast(field.type)
        else:
            sums = np.zeros(len(first), np.int64)
            np.add.at(sums, groups, signs * _numbers(column, field.name))
            _must_fit(sums, field.name)
            if field.name in additive:
                is_there |= sums > 0
            columns[field.name] = pa.array(sums).cast(field.type)
    return pa.Table.from_pydict(columns, schema=rows.schema).filter(pa.array(is_there))


def _lists(column: pa.ListArray, groups: Numbers, signs: Numbers, count: int) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    has = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    if not len(has):
        return pa.nulls(count, column.type)
    if len(sizes := column.value_lengths().drop_null().unique()) != 1:
        msg = f"expected lists of one length, got {sizes.to_pylist()}"
        raise Misfit(msg)
    values = _numbers(column.flatten(), "a list").reshape(len(has), -1)
    of_group, place = np.unique(groups[has], return_inverse=True)
    sums = np.zeros((len(of_group), values.shape[1]), np.int64)
    np.add.at(sums, place, signs[has, None] * values)
    _must_fit(sums, "a list")
    is_some = sums.any(axis=1)
    ends = np.zeros(count, np.int32)
    ends[of_group[is_some]] = values.shape[1]
    offsets = pa.array(np.concatenate([[0], np.cumsum(ends)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(sums[is_some].ravel()), mask=pa.array(ends == 0))


def _numbers(column: pa.Array, name: str) -> Numbers:
    import numpy as np

    if column.null_count:
        msg = f"expected a number in every row of {name}, found none in some"
        raise Misfit(msg)
    numbers: Numbers = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _must_fit(sums: Numbers, name: str) -> None:
    if (sums < 0).any():
        msg = f"expected no less than 0 of {name}, got {sums.min()}"
        raise Misfit(msg)
