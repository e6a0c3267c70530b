"""Is a Delta log as it was written? Some damage that a power cut leaves is read without a complaint, rows gone.

Checked, from the last checkpoint on: every commit is there, whole, parses, and holds as many files and transactions as
it says; every file that the table refers to is there with the size that was logged. Nothing is repaired here.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from infra.errors import LakeDamaged
from streams.delta_log import FILES_KEY, REMOVED_KEY, TRANSACTIONS_KEY

_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")
LOOK_AGAIN_S = 0.5


def audit(table: Path) -> int:
    """The number of files that the table refers to; 0 if there is no table. Raises LakeDamaged with what to do."""
    try:
        return _audit(table)
    except LakeDamaged:
        # Another process may be at work on the table: a folder is not listed in one instant.
        time.sleep(LOOK_AGAIN_S)
        return _audit(table)


def _audit(table: Path) -> int:
    log = table / "_delta_log"
    names = [entry.name for entry in log.iterdir()] if log.is_dir() else []
    commits = sorted(int(m[1]) for name in names if (m := _COMMIT.fullmatch(name)))
    checkpoints = sorted(int(m[1]) for name in names if (m := _CHECKPOINT.fullmatch(name)))
    if not commits and not checkpoints:
        if data := next(table.rglob("*.parquet"), None):
            msg = (
                f"{log} is empty or not there, but {data} is: the log of a table is lost. Restore the folder from a "
                "backup; or, while Kafka still keeps the records, move the table away and start again: it is filled "
                "anew"
            )
            raise LakeDamaged(msg)
        return 0
    base = checkpoints[-1] if checkpoints else -1
    live: dict[str, int] = {}
    if checkpoints:
        live.update(_checkpoint_files(log / f"{base:020}.checkpoint.parquet"))
    newest = max([base, *commits])
    for version in range(base + 1, newest + 1):
        file = log / f"{version:020}.json"
        if version not in commits:
            raise LakeDamaged(_message(file, "is missing, though later commits are there", is_newest=False))
        actions = _read(file, is_newest=version == newest)
        for action in actions:
            if "add" in action:
                live[unquote(action["add"]["path"])] = action["add"]["size"]
            elif "remove" in action:
                live.pop(unquote(action["remove"]["path"]), None)
    _check_files(table, live)
    return len(live)


def _read(file: Path, *, is_newest: bool) -> list[dict[str, Any]]:
    """The actions of one commit."""
    text = file.read_bytes()
    if not text:
        raise LakeDamaged(_message(file, "is empty", is_newest))
    try:
        actions = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise LakeDamaged(_message(file, f"is not JSON in every line ({error})", is_newest)) from None
    # delta-rs ends no commit with a line end, Spark each: what is cut there is found by the counts.
    info: Mapping[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    if not info:
        raise LakeDamaged(_message(file, "has no commitInfo", is_newest))
    for key, kind in ((FILES_KEY, "add"), (REMOVED_KEY, "remove"), (TRANSACTIONS_KEY, "txn")):
        found = sum(kind in action for action in actions)
        if info.get(key, found) != found:
            raise LakeDamaged(_message(file, f"says {info[key]} `{kind}` lines and has {found}", is_newest))
    return actions


def _checkpoint_files(file: Path) -> Iterator[tuple[str, int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        adds = pq.read_table(file, columns=["add"], use_threads=False)["add"]
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        msg = (
            f"{file} can't be read ({error}). The commits before it may still be there: move it and _last_checkpoint "
            "out of the folder and start again; the log is then read from an earlier checkpoint, or refused"
        )
        raise LakeDamaged(msg) from None
    for add in adds.to_pylist():
        if add is not None and add["path"] is not None:
            yield unquote(add["path"]), add["size"]


def _check_files(table: Path, live: Mapping[str, int]) -> None:
    damaged = list(_differences(table, live.items()))
    if damaged:
        shown = "; ".join(damaged[:5]) + (f"; and {len(damaged) - 5} more" if len(damaged) > 5 else "")
        msg = (
            f"{table} refers to files that are not as they were written: {shown}. Restore them from a backup of the "
            "folder; or, while Kafka still keeps the records, move the table away and start again: it is filled anew"
        )
        raise LakeDamaged(msg)


def _differences(table: Path, files: Iterable[tuple[str, int]]) -> Iterator[str]:
    for name, size in files:
        path = table / name
        if not path.exists():
            yield f"{name} is missing"
        elif path.stat().st_size != size:
            yield f"{name} has {path.stat().st_size} bytes, logged were {size}"


def _message(file: Path, what: str, is_newest: bool) -> str:
    if is_newest:
        todo = (
            "It is the newest commit and was not completed before the machine stopped, so nothing relies on it: move "
            "it out of the folder and start again; its records are read again from Kafka"
        )
    else:
        todo = (
            "Later commits build on it. Restore it from a backup of the folder; or, while Kafka still keeps the "
            "records, move the table away and start again: it is filled anew"
        )
    return f"{file} {what}. {todo}"
