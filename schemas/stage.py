"""The papers of write-audit-publish: what is staged, who audited it. `batch/stage.py` tells the whole protocol.

Both lie beside the staged tables, in `<lake>/staging/<layer>/`: the job that stages writes the manifest, the audit
writes its record, the commit compares them. Batch and warehouse share these files and no code but this.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from infra.errors import CheckFailed, LakeDamaged, StageRefused

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

StagedLayer = Literal["silver", "gold"]
MANIFEST = "manifest.json"
AUDIT = "audit.json"
Record = TypeVar("Record", bound=msgspec.Struct)


class StagedTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a stage. Its rows are version `version` of the Delta table at `Table.staging_path(lake_root)`."""

    version: int
    rows: int
    base: int
    """Version of the target that the stage was computed from; a commit on any other version is refused."""
    sources: dict[str, int]
    """Source table → version that was read."""
    complete: dict[str, int]
    """Source table → version up to which the target holds everything once this is committed: its watermark."""
    now: datetime | None = None
    """Newest received_at up to which the target holds everything: the batch's only clock."""
    removed: int | None = None
    """Silver: version of the list of keys that go (`staging_path` + `__removed`); None when nothing goes."""
    definition: str = ""
    """As in `schemas.progress.Progress`."""
    dates: list[str] = []
    """Partitions that change: gold replaces exactly these, silver takes the keys that go out of these."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A stage that waits for its audit and its commit."""

    stage_id: str
    layer: StagedLayer
    tables: dict[str, StagedTable]
    """Table name (without layer) → what is staged of it."""
    is_whole: bool = False
    """What is staged of a table is all of it: the commit puts it in place of everything there was."""

    def versions(self) -> dict[str, int]:
        """Table → staged version: what an audit must name."""
        return {name: table.version for name, table in self.tables.items()}


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one stage: exactly these staged versions, of exactly this stage."""

    stage_id: str
    layer: StagedLayer
    versions: dict[str, int]
    passed: bool
    audited_at: datetime
    failures: list[str] = []
    """Failed `fail` checks, e.g. `sessions: never(ended_at < started_at)`."""


def folder(lake_root: str, layer: StagedLayer) -> str:
    """Where the papers and the staged tables of a layer lie."""
    return f"{lake_root}/staging/{layer}"


def read_manifest(lake_root: str, layer: StagedLayer) -> Manifest | None:
    """The stage that waits; None before the first."""
    return _read(f"{folder(lake_root, layer)}/{MANIFEST}", Manifest)


def write_manifest(lake_root: str, manifest: Manifest) -> None:
    """Announce a stage, in place of the one before."""
    _write(f"{folder(lake_root, manifest.layer)}/{MANIFEST}", manifest)


def read_audit(lake_root: str, layer: StagedLayer) -> Audit | None:
    """The newest verdict; None before the first. It may be about an older stage: see `require_audit`."""
    return _read(f"{folder(lake_root, layer)}/{AUDIT}", Audit)


def write_audit(lake_root: str, audit: Audit) -> None:
    """Record a verdict."""
    _write(f"{folder(lake_root, audit.layer)}/{AUDIT}", audit)


def require_audit(lake_root: str, manifest: Manifest) -> Audit:
    """The verdict that lets this stage through. Raises StageRefused without one, CheckFailed when checks failed."""
    audit = read_audit(lake_root, manifest.layer)
    what = f"stage {manifest.stage_id} of {manifest.layer}"
    if audit is None or (audit.stage_id, audit.versions) != (manifest.stage_id, manifest.versions()):
        seen = "none has been made" if audit is None else f"the newest one is of stage {audit.stage_id}"
        msg = f"{what} needs an audit of exactly what is staged, {seen}; run `playlake quality {manifest.layer}`"
        raise StageRefused(msg)
    if not audit.passed:
        msg = f"{what} did not pass its audit: {'; '.join(audit.failures) or 'no reason was recorded'}"
        raise CheckFailed(msg)
    return audit


def _read(uri: str, kind: type[Record]) -> Record | None:
    files, path = _files(uri)
    try:
        with files.open_input_stream(path) as stream:
            raw = stream.read()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        msg = f"{uri}: expected a {kind.__name__.lower()} record: {error}"
        raise LakeDamaged(msg) from None


def _write(uri: str, record: msgspec.Struct) -> None:
    """By rename where there is one; an object store replaces whole objects anyway."""
    from pyarrow.fs import LocalFileSystem

    files, path = _files(uri)
    fresh = path
    if isinstance(files, LocalFileSystem):
        files.create_dir(path.rpartition("/")[0], recursive=True)
        fresh = f"{path}.fresh"
    with files.open_output_stream(fresh) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(record)))
    if fresh != path:
        files.move(fresh, path)


def _files(uri: str) -> tuple[FileSystem, str]:
    from pyarrow.fs import FileSystem

    files, path = FileSystem.from_uri(uri)
    return files, path
