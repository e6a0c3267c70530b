"""What a Delta log tells without Spark: versions, columns, and what came between two versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from infra.delta_scan import open_table

Log = list[dict[str, Any]]


def version(path: str) -> int | None:
    """Latest version of a Delta table; None when there is none."""
    table = open_table(path)
    return None if table is None else int(table.version())


def rows_in(path: str, at: int | None) -> int:
    """How many rows the log says that a version has; none when there is no version."""
    import pyarrow as pa
    from deltalake import DeltaTable

    if at is None:
        return 0
    counts = pa.table(DeltaTable(path, version=at).get_add_actions(flatten=True))["num_records"].to_pylist()
    return sum(count or 0 for count in counts)


def has_new_files(path: str, after: int | None, until: int) -> bool:
    """Whether versions `(after, until]` of a table (all up to `until` when None) may have brought it rows.

    Commits that only move a position or merge files are many, and this tells them apart without Spark.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    if after is not None and (brought := _brought(path, after, until)) is not None:
        return bool(brought)
    now = set(DeltaTable(path, version=until).file_uris())
    if after is None:
        return bool(now)
    try:
        return not now <= set(DeltaTable(path, version=after).file_uris())
    except DeltaError:  # a version whose log is gone
        return True


def is_same(path: str, after: int, until: int) -> bool:
    """Whether all that versions `(after, until]` did was to merge or split files: nobody need look at the table again.

    A commit that moved no row and says how far the table has come is something new; so is a table whose version is
    less than it was.
    """
    logs = _logs(path, after, until) if after <= until else None
    return logs is not None and all(_is_merge(actions) for actions in logs)


def _is_merge(actions: Log) -> bool:
    files = [file for action in actions if (file := action.get("add") or action.get("remove"))]
    others = {name for action in actions for name in action} - {"add", "remove", "commitInfo", "txn"}
    return bool(files) and not others and not any(file["dataChange"] for file in files)


def can_follow(path: str, after: int, until: int) -> bool:
    """Whether it can still be told row by row what versions `(after, until]` brought.

    Maintenance deletes the log of old versions, and files that were merged into others. A reader that was away for
    longer than that finds the rows in the table, but not what is new of them.
    """
    return files_brought(path, after, until) is not None


def is_feed_whole(path: str, after: int, until: int) -> bool:
    """Whether the change feed can still tell what versions `(after, until]` put in and took out."""
    logs = _logs(path, after, until)
    return logs is not None and all((Path(path) / file).exists() for actions in logs for file in _fed(actions))


def _fed(actions: Log) -> list[str]:
    """The files that the feed reads for a commit: those that it wrote for it, else what came and went."""
    written = [action["cdc"]["path"] for action in actions if "cdc" in action]
    moved = (action.get("add") or action.get("remove") for action in actions)
    return [unquote(file) for file in written or (one["path"] for one in moved if one and one["dataChange"])]


def files_brought(path: str, after: int, until: int) -> list[Path] | None:
    """Files that hold exactly the rows that versions `(after, until]` put in; None when that is no longer known."""
    files = _brought(path, after, until)
    found = None if files is None else [Path(path) / file for file in files]
    return found if found is not None and all(file.exists() for file in found) else None


def rows_brought(path: str, after: int, until: int) -> int | None:
    """How many rows versions `(after, until]` put in; None when that is no longer known."""
    logs = _logs(path, after, until)
    if logs is None:
        return None
    adds = (add for actions in logs for action in actions if (add := action.get("add")) and add["dataChange"])
    counts = [msgspec.json.decode(add.get("stats") or "{}").get("numRecords") for add in adds]
    return None if None in counts else sum(counts)


def _brought(path: str, after: int, until: int) -> list[str] | None:
    """Files with new rows of versions `(after, until]`, relative to the table; None when the log does not tell."""
    logs = _logs(path, after, until)
    if logs is None:
        return None
    adds = (add for actions in logs for action in actions if (add := action.get("add")))
    return [unquote(add["path"]) for add in adds if add["dataChange"]]


def _logs(path: str, after: int, until: int) -> list[Log] | None:
    """The commits `(after, until]`; None when one is no longer in the log."""
    try:
        return [log_of(path, number) for number in range(after + 1, until + 1)]
    except FileNotFoundError:
        return None


def log_of(path: str | Path, version: int) -> Log:
    """The actions of one commit. Raises FileNotFoundError when it is no longer in the log."""
    raw = (Path(path) / "_delta_log" / f"{version:020}.json").read_bytes()
    return [msgspec.json.decode(line) for line in raw.splitlines() if line.strip()]


def days_there(path: str, partition_by: str) -> set[str]:
    """The days that a table has; none when there is no table."""
    table = open_table(path)
    return set() if table is None else {str(partition[partition_by]) for partition in table.partitions()}


def columns_of(path: str) -> set[str] | None:
    """Names of a table's columns, with `column.element.field` of arrays of structs; None when there is no table."""
    table = open_table(path)
    if table is None:
        return None
    fields = table.schema().fields
    elements = ((field.name, getattr(field.type, "element_type", None)) for field in fields)
    nested = {f"{name}.element.{inner.name}" for name, kind in elements for inner in getattr(kind, "fields", ())}
    return {field.name for field in fields} | nested
