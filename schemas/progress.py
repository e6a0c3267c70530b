"""How far a table has come, as the commits of its Delta log say it.

A commit of ours carries `Progress` as JSON in its userMetadata; the newest one that does is the table's watermark.
There is no other store of progress, so it can't disagree with the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from infra.delta_scan import open_table
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


def progress(path: str, at: int | None = None) -> Progress | None:
    """The watermark of a table, as of version `at`; None when nothing of ours was committed to it yet."""
    for commit, found in _commits(path):
        if at is None or commit["version"] <= at:
            return found
    return None


def commits(path: str) -> dict[int, tuple[dict[str, Any], Progress | None]]:
    """Version → its commit, and our record in it, as far back as the log goes."""
    table = open_table(path)
    history = [] if table is None else table.history()
    return {int(commit["version"]): (commit, _progress_of(commit, path)) for commit in history}


def commit_of(path: str, stage_id: str) -> dict[str, Any] | None:
    """The commit that a stage made, with `version` and `operationMetrics`; None when it made none."""
    return next((commit for commit, found in _commits(path) if found.stage_id == stage_id), None)


def _commits(path: str) -> Iterator[tuple[dict[str, Any], Progress]]:
    """Commits that carry a progress record, newest first."""
    table = open_table(path)
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
