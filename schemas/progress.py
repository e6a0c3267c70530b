"""How far a table has come, as the commits of its Delta log say it.

A commit of ours carries `Progress` as JSON in its userMetadata; the newest one that does is the table's watermark.
There is no other store of progress, so it can't disagree with the data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from infra.errors import LakeDamaged

COMMITS = "[0-9]" * 20 + ".json"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit of a table leaves behind."""

    stage_id: str
    complete: dict[str, int] = {}
    """Source table → version up to which this table holds everything."""
    now: datetime | None = None
    """Newest received_at up to which this table holds everything."""
    sources: dict[str, int] = {}
    """Source table → version that was read. Beyond `complete` where days were restated; empty: the same."""

    definition: str = ""
    """Gold: which definition all of the table's rows are made by; empty: not all by the same."""

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
    return {commit["version"]: (commit, _progress_of(commit, path)) for commit in _history(path)}


def recent(path: str, count: int) -> list[tuple[dict[str, Any], Progress]]:
    """The last commits that carry a progress record, newest first; fewer where the log does not go back so far."""
    return list(islice(_commits(path), count))


def commit_of(path: str, stage_id: str) -> dict[str, Any] | None:
    """The commit that a stage made, with `version`; None when it made none."""
    return next((commit for commit, found in _commits(path) if found.stage_id == stage_id), None)


def _commits(path: str) -> Iterator[tuple[dict[str, Any], Progress]]:
    """Commits that carry a progress record, newest first."""
    for commit in _history(path):
        if found := _progress_of(commit, path):
            yield commit, found


def _history(path: str) -> Iterator[dict[str, Any]]:
    """What each commit says of itself, newest first, and its `version`.

    By the names of the log's files: delta-rs counts back from the version of its handle, and so is one off when a
    commit comes in between.
    """
    log = Path(path) / "_delta_log"
    versions = sorted((int(file.stem) for file in log.glob(COMMITS)), reverse=True)
    for version in versions:
        try:
            lines = (log / f"{version:020}.json").read_bytes().splitlines()
        except FileNotFoundError:  # cleaned away meanwhile, with all before it
            return
        told = next((line for line in lines if line.startswith(b'{"commitInfo":')), None)
        yield {**(json.loads(told)["commitInfo"] if told else {}), "version": version}


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
