"""Published Delta versions → one immutable DuckDB file, put in force by rename.

Called as `playlake warehouse-build` after batch has written `publish.json` (see publication.py for the files). The file
holds a schema a layer: every gold table whole, silver tables as far as their newest `recent_days` go and without nested
parts; the macros of metrics.sql; and `main.meta`, the publish record. Rows of gold also say as of when they are and how
complete (`schemas/completeness.py`). DuckDB is given exactly the versions that were audited, so what is visible is one
publish over all tables, never a mixture.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from infra.delta_scan import load_delta, quoted, scan
from infra.disk import replace_file
from infra.errors import LakeDamaged, SetupError
from infra.settings import ROOT, Settings
from schemas import completeness
from schemas.publication import PUBLISHED, Publish, read_published, write_record
from schemas.table import Table, read_sql_table
from schemas.tables import SILVER
from schemas.tables.restatements import RESTATEMENTS
from warehouse import publication
from warehouse.attach import MACROS, META_COLUMNS, create_table
from warehouse.publication import Publication

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "2GB"
GRACE_S = 30.0
"""How long after a newer publish a file is kept for readers that know its name but have not opened it yet."""

logger = logging.getLogger(__name__)


def build(settings: Settings) -> Publication:
    """Build what `publish.json` asks for and put it in force; nothing to do when it already is.

    Raises SetupError when nothing has been published, LakeDamaged when a version can't be read.
    """
    folder = settings.warehouse
    folder.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(folder):
        request = read_published(folder)
        if request is None:
            msg = f"expected {folder / PUBLISHED}, which `playlake publish` writes; nothing has been published"
            raise SetupError(msg)
        current = publication.current(folder)
        if current is not None and current.is_same(request) and current.file(folder).exists():
            return current
        name = _free_name(folder, request.publish_id)
        replace_file(folder / name, lambda path: _write(settings, request, path))
        built = Publication(**msgspec.structs.asdict(request), files=[name])
        write_record(folder / publication.CURRENT, built)
        _link(folder, name)
        remove_unused(folder)
        return built


def remove_unused(folder: Path) -> list[str]:
    """Remove published files that a newer publish has replaced and no reader has open; their names."""
    current = publication.current(folder)
    pointer = folder / publication.CURRENT
    if current is None or time.time() - pointer.stat().st_mtime < GRACE_S:
        return []
    old = [path for path in folder.glob("gold-*.duckdb") if path.name not in current.files and not _is_open(path)]
    for path in old:
        path.unlink(missing_ok=True)
    return [path.name for path in old]


def _free_name(folder: Path, publish_id: str) -> str:
    """A name that no file ever had while a reader may know it: files are never written twice."""
    if re.fullmatch(r"[\w.-]+", publish_id) is None:
        msg = f"{PUBLISHED}: expected a publish_id of letters, digits and . _ -, got {publish_id!r}"
        raise LakeDamaged(msg)
    name, number = f"gold-{publish_id}.duckdb", 1
    while (folder / name).exists():
        number += 1
        name = f"gold-{publish_id}-{number}.duckdb"
    return name


def _write(settings: Settings, request: Publish, path: Path) -> None:
    import duckdb

    spill = path.with_name(f"{path.name}.spill")
    with duckdb.connect(
        str(path), config={"memory_limit": MEMORY, "temp_directory": str(spill), "threads": 2}
    ) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        load_delta(connection)
        for layer in ("gold", "silver"):
            connection.execute(f"CREATE SCHEMA {layer}")
        for name, version in sorted(request.versions.items()):
            _copy_table(connection, settings, name, version, request.as_of.get(name))
        connection.execute(MACROS.read_text())
        connection.execute(create_table("main.meta", META_COLUMNS))
        connection.execute(
            "INSERT INTO main.meta VALUES (?, ?, ?, ?)",
            [request.publish_id, request.published_at, request.cutover_minute, request.versions],
        )
        connection.execute("CHECKPOINT")
    if spill.exists():
        spill.rmdir()
    path.chmod(0o444)


def _copy_table(
    connection: DuckDBPyConnection, settings: Settings, name: str, version: int, as_of: datetime | None
) -> None:
    """One table of the lake, as of one version, ordered by its column of time: selective queries then skip."""
    import duckdb

    started = time.monotonic()
    layer, _, table = name.partition(".")
    if layer not in ("gold", "silver") or not table.isidentifier():
        msg = f"{PUBLISHED}: expected tables like gold.title_daily or silver.sessions, got {name!r}"
        raise LakeDamaged(msg)
    contract = _contract(layer, table)
    source = scan(f"{settings.lake_root}/{layer}/{table}", version)
    try:
        columns: dict[str, str] = {
            row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        }
        kept = [column for column in columns if not _is_nested(columns[column])]
        times = [column for kind in ("TIMESTAMP WITH TIME ZONE", "DATE") for column in kept if columns[column] == kind]
        told = _completeness(settings, contract, as_of)
        select = f"SELECT {', '.join([*kept, *(f'{sql} AS {column}' for column, sql in told.items())])} FROM {source}"
        if layer == "silver" and contract is not None and contract.partition_by in columns:
            day = contract.partition_by
            select += f" WHERE {day} > (SELECT max({day}) FROM {source}) - {int(settings.recent_days)}"
        order = f" ORDER BY {times[0]}" if times else ""
        connection.execute(f"CREATE TABLE {name} AS {select}{order}")
    except duckdb.Error as error:
        msg = f"version {version} of {name} can't be read from {settings.lake_root}/{layer}/{table}: {error}"
        raise LakeDamaged(msg) from error
    _comment(connection, name, columns, contract, told)
    row = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
    seconds = round(time.monotonic() - started, 3)
    logger.info("table built", extra={"table": name, "version": version, "rows": row and row[0], "seconds": seconds})


def _completeness(settings: Settings, contract: Table | None, as_of: datetime | None) -> dict[str, str]:
    """Further columns of a gold table's rows, as SQL. The ledger's rows say for themselves when they are of."""
    if contract is None or contract.layer != "gold" or contract is RESTATEMENTS:
        return {}
    return completeness.expressions(contract, as_of, settings.session_timeout_s)


def _is_nested(kind: str) -> bool:
    """Parts of a row's own computation, like the minutes of a session: gold has them added up."""
    return kind.startswith("STRUCT") and kind.endswith("[]")


def _contract(layer: str, table: str) -> Table | None:
    """What the table's definition says, for comments and the partition column."""
    path = ROOT / "batch" / "gold" / f"{table}.sql"
    if (layer, table) == (RESTATEMENTS.layer, RESTATEMENTS.name):
        return RESTATEMENTS
    if layer == "gold":
        return read_sql_table(path) if path.exists() else None
    return SILVER.get(table)


def _comment(
    connection: DuckDBPyConnection, name: str, columns: dict[str, str], contract: Table | None, told: Iterable[str]
) -> None:
    if contract is None:
        return
    connection.execute(f"COMMENT ON TABLE {name} IS {quoted(contract.description)}")
    shown = {column for column, kind in columns.items() if not _is_nested(kind)}.union(told)
    for column in (*contract.columns, *completeness.COLUMNS):
        if column.name in shown:
            connection.execute(f"COMMENT ON COLUMN {name}.{column.name} IS {quoted(column.doc)}")


def _link(folder: Path, name: str) -> None:
    """`warehouse.duckdb` → the newest file, for people and tools that open it themselves."""
    fresh = folder / f".{publication.LINK}.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(name)
    fresh.replace(folder / publication.LINK)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / ".build.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _is_open(path: Path) -> bool:
    """Whether a DuckDB of another process has the file open: it holds a POSIX lock on it as long as it does."""
    question = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        with path.open("rb") as handle:
            answer = fcntl.fcntl(handle, fcntl.F_GETLK, question)
    except FileNotFoundError:
        return False
    return bool(struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK)
