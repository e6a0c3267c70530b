"""Whether a part's file still holds its rows although the files of Delta are others: maintenance merges small ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from warehouse.parts import FORM, Part, Source
from warehouse.publication import PartFile


def has_same_rows(part: Part, built: PartFile, versions: Mapping[str, int]) -> bool:
    """Whether `built`, which was made of these versions, is what the part would be. False when that can't be told."""
    if (built.form, built.first, built.until) != (FORM, part.first, part.until):
        return False
    if built.tables != sorted(source.name for source in part.sources):
        return False
    return all(_is_untouched(part, source, versions.get(source.name)) for source in part.sources)


def _is_untouched(part: Part, source: Source, since: int | None) -> bool:
    """Whether no commit after version `since` has brought or taken rows of the part's days."""
    if since is None or since > source.version:
        return False
    try:
        for number in range(since + 1, source.version + 1):
            for action in _log(source, number):
                file = action.get("add") or action.get("remove")
                if "metaData" in action or (file and file["dataChange"] and part.holds(_day(source, file))):
                    return False
    except (FileNotFoundError, KeyError):  # no longer in the log; or written by somebody who names no partition
        return False
    return True


def _log(source: Source, version: int) -> Iterator[dict[str, Any]]:
    raw = (Path(source.path) / "_delta_log" / f"{version:020}.json").read_bytes()
    return (msgspec.json.decode(line) for line in raw.splitlines() if line.strip())


def _day(source: Source, file: dict[str, Any]) -> date | None:
    told = file["partitionValues"][source.day]
    return date.fromisoformat(told) if told else None
