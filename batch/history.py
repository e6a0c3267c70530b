"""What a Delta log tells without Spark: versions, and how far a table has come.

A commit of ours carries `Progress` as JSON in its userMetadata; the newest one that does is the table's watermark.
There is no other store of progress, so it can't disagree with the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from infra.errors import LakeDamaged

if TYPE_CHECKING:
    from deltalake import DeltaTable

RECENT = 20
"""Commits looked at first; maintenance may have put a few of its own on top of ours."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit of a table leaves behind."""

    stage_id: str
    complete: dict[str, int] = {}
    """Source table → version up to which this table holds everything."""
    now: datetime | None = None
    """Newest received_at up to which this table holds everything."""
    sources: dict[str, int] = {}
    """Source table → version that was read. Beyond `complete` where days were restated; empty: the same."""

    @property
    def read(self) -> dict[str, int]:
        """Source table → version that the commit's rows are of."""
        return self.sources or self.complete

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()


def version(path: str) -> int | None:
    """Latest version of a Delta table; None when there is none."""
    table = _open(path)
    return None if table is None else int(table.version())


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


def can_follow(path: str, after: int, until: int) -> bool:
    """Whether it can still be told row by row what versions `(after, until]` brought.

    Maintenance deletes the log of old versions, and files that were merged into others. A reader that was away for
    longer than that finds the rows in the table, but not what is new of them.
    """
    if "://" in path:
        return True  # nothing of ours maintains it
    return files_brought(path, after, until) is not None


def files_brought(path: str, after: int, until: int) -> list[Path] | None:
    """Files that hold exactly the rows that versions `(after, until]` put in; None when that is no longer known."""
    files = _brought(path, after, until)
    found = None if files is None else [Path(path) / file for file in files]
    return found if found is not None and all(file.exists() for file in found) else None


def _brought(path: str, after: int, until: int) -> list[str] | None:
    """Files with new rows of versions `(after, until]`, relative to the table; None when the log does not tell."""
    if "://" in path:
        return None
    found = []
    for number in range(after + 1, until + 1):
        try:
            commit = (Path(path) / "_delta_log" / f"{number:020}.json").read_bytes()
        except FileNotFoundError:
            return None
        for line in commit.splitlines():
            if line.startswith(b'{"add":'):
                add = msgspec.json.decode(line)["add"]
                found += [unquote(add["path"])] if add["dataChange"] else []
    return found


def columns_of(path: str) -> set[str] | None:
    """Names of a table's columns, with `column.element.field` of arrays of structs; None when there is no table."""
    table = _open(path)
    if table is None:
        return None
    fields = table.schema().fields
    elements = ((field.name, getattr(field.type, "element_type", None)) for field in fields)
    nested = {f"{name}.element.{inner.name}" for name, kind in elements for inner in getattr(kind, "fields", ())}
    return {field.name for field in fields} | nested


def progress(path: str, at: int | None = None) -> Progress | None:
    """The watermark of a table, as of version `at`; None when nothing of ours was committed to it yet."""
    for commit, found in _commits(path):
        if at is None or commit["version"] <= at:
            return found
    return None


def commits(path: str) -> dict[int, tuple[dict[str, Any], Progress | None]]:
    """Version → its commit, and our record in it, as far back as the log goes."""
    table = _open(path)
    history = [] if table is None else table.history()
    return {int(commit["version"]): (commit, _progress_of(commit, path)) for commit in history}


def commit_of(path: str, stage_id: str) -> dict[str, Any] | None:
    """The commit that a stage made, with `version` and `operationMetrics`; None when it made none."""
    return next((commit for commit, found in _commits(path) if found.stage_id == stage_id), None)


def _commits(path: str) -> Iterator[tuple[dict[str, Any], Progress]]:
    """Commits that carry a progress record, newest first."""
    table = _open(path)
    if table is None:
        return
    recent = table.history(RECENT)
    for part in (recent, ()) if len(recent) < RECENT else (recent, _older(table)):
        for commit in part:
            if found := _progress_of(commit, path):
                yield commit, found


def _older(table: DeltaTable) -> Iterator[dict[str, Any]]:
    yield from table.history()[RECENT:]


def _progress_of(commit: dict[str, Any], path: str) -> Progress | None:
    raw = commit.get("userMetadata")
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw, type=Progress)
    except msgspec.DecodeError as error:
        if "stage_id" not in raw:
            return None  # somebody else's note
        msg = f"{path} version {commit.get('version')}: its userMetadata is no progress record: {error}"
        raise LakeDamaged(msg) from None


def _open(path: str) -> DeltaTable | None:
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(path)
    except TableNotFoundError:
        return None
