"""Published Delta versions → immutable DuckDB files, put in force together by one rename.

Called as `playlake warehouse-build` after batch has written `publish.json` (publication.py says which files there are).
Rows of tables with days are in the parts of `warehouse/parts.py`; only parts that have changed are written. One file
more, small and made by every publish, joins them (`warehouse/union_file.py`). DuckDB is given exactly the versions that
were audited, so what is visible is one publish over all tables, never a mixture.

Wherever a build is killed, what readers use is as it was: the next one finds the parts that were finished, writes the
others, and only then the record.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import msgspec

from infra.disk import replace_file
from infra.errors import LakeDamaged, SetupError
from infra.failpoints import failpoints
from infra.settings import Settings
from schemas.publication import PUBLISHED, Publish, read_published, write_record
from warehouse import parts, publication, retire, union_file
from warehouse.part_file import write_part
from warehouse.parts import Part
from warehouse.publication import PartFile, Publication
from warehouse.same_rows import has_same_rows

logger = logging.getLogger(__name__)


def build(settings: Settings) -> Publication:
    """Build what `publish.json` asks for and put it in force; nothing to do when it already is.

    Raises SetupError when nothing has been published, LakeDamaged when a version can't be read.
    """
    folder = settings.warehouse
    folder.mkdir(parents=True, exist_ok=True)
    with retire.building(folder, wait=True):
        request = read_published(folder)
        if request is None:
            msg = f"expected {folder / PUBLISHED}, which `playlake publish` writes; nothing has been published"
            raise SetupError(msg)
        current = publication.current(folder)
        is_there = current is not None and all(path.exists() for path in current.paths(folder))
        if current is not None and is_there and current.is_same(request):
            publication.write_script(folder, current)
            return current
        return _build(settings, folder, request, current)


def _build(settings: Settings, folder: Path, request: Publish, current: Publication | None) -> Publication:
    step = failpoints(settings.failpoints)
    retire.remove_leftovers(folder)
    sources = [
        parts.read_source(settings.lake_root, name, version) for name, version in sorted(request.versions.items())
    ]
    held = parts.plan(sources, settings.recent_days)
    files = {}
    for part in held:
        files[part.alias] = _file_of(folder, part, current)
        step(f"{part.alias}: built")
    name = _free_name(folder, request.publish_id)
    by_part = {part: folder / files[part.alias].file for part in held}
    replace_file(folder / name, lambda path: union_file.write(settings, path, request, sources, by_part))
    step("union: built")
    names = [name, *(file.file for file in files.values())]
    built = Publication(**msgspec.structs.asdict(request), files=names, parts=files)
    retire.remove_unused(folder, keep=names)
    before = current.paths(folder) if current else []
    retire.mark(path for path in before if path.name not in names)
    write_record(folder / publication.CURRENT, built)
    step("in force")
    publication.write_script(folder, built)
    return built


def _file_of(folder: Path, part: Part, current: Publication | None) -> PartFile:
    """The part's file, which is there afterwards."""
    built = current.parts.get(part.alias) if current else None
    if built and current and (folder / built.file).exists() and has_same_rows(part, built, current.versions):
        return built
    path = folder / part.file_name
    if not path.exists():
        replace_file(path, lambda fresh: write_part(fresh, part))
        logger.info("part built", extra={"part": part.alias, "file": path.name, "bytes": path.stat().st_size})
    tables = sorted(source.name for source in part.sources)
    return PartFile(file=path.name, form=parts.FORM, first=part.first, until=part.until, tables=tables)


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
