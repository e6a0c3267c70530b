"""Which small files of a Delta table are to become one: the rule is the same for every table that is maintained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from infra.data_files import DataFile

MAX_ROWS = 500_000
"""Of a file that small ones become. Where they are sorted it is in memory: about 1 kB a row at its height."""
MAX_BYTES = 128_000_000
MAX_FILES = 10_000
"""Removed by one commit."""


def is_small(file: DataFile) -> bool:
    """Whether a merge may take it. Whoever wrote a file without counting its rows wrote it by other means: it stays."""
    return file.rows is not None and file.rows < MAX_ROWS // 2 and file.size < MAX_BYTES // 2


def groups(files: Iterable[DataFile], written_until_ms: int, at_least: int = 2) -> Iterator[list[DataFile]]:
    """Small files that are to become one each: of one day, written one after another, the last one until then.

    at_least   so many they must be
    """
    days: dict[str, list[DataFile]] = defaultdict(list)
    for file in files:
        days[str([*file.partition.values()])].append(file)
    for day in sorted(days):
        old = (file for file in days[day] if is_small(file) and file.written_ms <= written_until_ms)
        small = sorted(old, key=lambda file: file.written_ms)
        yield from (group for group in _cut(small) if len(group) >= at_least)


def _cut(files: Iterable[DataFile]) -> Iterator[list[DataFile]]:
    """The files, in their order, in groups of bounded size."""
    group: list[DataFile] = []
    rows = size = 0
    for file in files:
        count = file.rows or 0
        rows, size = rows + count, size + file.size
        if group and (rows > MAX_ROWS or size > MAX_BYTES or len(group) == MAX_FILES):
            yield group
            group, rows, size = [], count, file.size
        group.append(file)
    yield group
