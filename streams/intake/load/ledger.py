"""What became of each record of a run: a folder of Parquet files, each whole and on the disk before it has its name.

    meta.json         the run, where it went, and where the topics ended when it began
    0-000001.parquet  event_id, topic, sha256 (of the record without its closing brace) and outcome

    acked    Kafka, or the collector, said that it has the record
    nacked   it said that it has not, and will not
    unknown  nobody said; the record may be there or not

A record that is in no file was never settled: the generator was killed before it could write down what it knew.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from infra.disk import sync
from infra.errors import SettingsError
from streams.intake.load.pool import Record

if TYPE_CHECKING:
    import pyarrow as pa

Outcome = Literal["acked", "nacked", "unknown"]
OUTCOMES: tuple[Outcome, ...] = ("acked", "nacked", "unknown")
META = "meta.json"


class Meta(msgspec.Struct):
    """The run, as it was begun."""

    run: str
    to: str
    began_ms: int
    starts: list[tuple[str, int, int]]
    """Topic, partition, and the offset after its last record when the run began."""


def begin(folder: Path, meta: Meta) -> None:
    """Make the ledger's folder. Raises SettingsError when there is something in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        msg = f"expected an empty or a new folder for the ledger, {folder} holds something already"
        raise SettingsError(msg)
    _write(folder / META, msgspec.json.encode(meta))


def read_meta(folder: Path) -> Meta:
    """Raises SettingsError when the folder is no ledger."""
    try:
        return msgspec.json.decode((folder / META).read_bytes(), type=Meta)
    except (OSError, msgspec.MsgspecError) as error:
        msg = f"expected the ledger of a load, a folder with {META}, at {folder}: {error}"
        raise SettingsError(msg) from None


def read(folder: Path) -> pa.Table:
    """All rows of a ledger."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(folder.glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file, schema=schema()) for file in files] or [schema().empty_table()])


def schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [("event_id", pa.string()), ("topic", pa.string()), ("sha256", pa.binary(32)), ("outcome", pa.string())]
    )


def digest(value: bytes) -> bytes:
    """Of a record, without its closing brace: a collector adds fields before that."""
    return hashlib.sha256(value[:-1]).digest()


class Writer:
    """The ledger of one process. It writes beside the sending: an fsync beside a busy broker takes its time."""

    behind = 3
    """How many files may wait for the disk before the sending does."""

    def __init__(self, folder: Path, process: int) -> None:
        import pyarrow.parquet  # noqa: F401 - takes a second, which is not to fall into the run

        self._folder, self._process, self._number = folder, process, 0
        self._thread = ThreadPoolExecutor(1)
        self._open: deque[Future[None]] = deque()

    def settle(self, records: list[Record], ids: list[str], digests: list[bytes], outcomes: list[Outcome]) -> None:
        """Write down what became of these records, soon. Raises what an earlier writing has failed with."""
        if records:
            self._number += 1
            topics = [topic for topic, _, _ in records]
            columns: list[list[Any]] = [ids, topics, digests, list(outcomes)]
            self._open.append(self._thread.submit(self._save, self._number, columns))
        while self._open and (len(self._open) > self.behind or self._open[0].done()):
            self._open.popleft().result()

    def close(self) -> None:
        """Returns when everything is on the disk."""
        while self._open:
            self._open.popleft().result()
        self._thread.shutdown()

    def _save(self, number: int, columns: list[list[Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema(), strict=True)]
        pq.write_table(pa.table(arrays, schema=schema()), sink, compression="lz4")
        _write(self._folder / f"{self._process}-{number:06}.parquet", sink.getvalue().to_pybytes())


def _write(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    sync(path.parent)
