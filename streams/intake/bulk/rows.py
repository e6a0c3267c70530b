"""The rows of a file: CSV, NDJSON (both also gzipped) or Parquet, one dictionary each."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from infra.errors import SettingsError

Row = dict[str, Any]
FORMATS = {".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
BATCH = 10_000


def format_of(path: Path) -> str:
    """csv, ndjson or parquet, by the name. Raises SettingsError."""
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    if suffixes and (known := FORMATS.get(suffixes[-1])):
        return known
    msg = f"expected a file named .csv, .ndjson, .jsonl (also with .gz) or .parquet, got {path.name}"
    raise SettingsError(msg)


def read(path: Path, delimiter: str = ",") -> Iterator[Row]:
    """The rows in their order. Raises SettingsError when the file is not of the form that its name says."""
    form = format_of(path)
    try:
        if form == "parquet":
            yield from _parquet(path)
            return
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
            if form == "csv":
                yield from csv.DictReader(lines, delimiter="\t" if ".tsv" in path.suffixes else delimiter)
            else:
                yield from _ndjson(path, lines)
    except (OSError, UnicodeDecodeError, EOFError, csv.Error) as error:
        msg = f"{path}: expected a whole {form} file in UTF-8: {error}"
        raise SettingsError(msg) from error


def fingerprint(path: Path) -> str:
    """sha256 of the file as it lies there."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ndjson(path: Path, lines: TextIO) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            msg = f"{path}: line {number} is no JSON: {error}"
            raise SettingsError(msg) from None
        if not isinstance(row, dict):
            msg = f"{path}: expected a JSON object in line {number}, got {line.strip()[:60]}"
            raise SettingsError(msg)
        yield row


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        msg = f"{path}: expected a Parquet file: {error}"
        raise SettingsError(msg) from error
