"""Publish: audited gold becomes gold, the ledger says what that changed, and the publish record which versions belong
together.

The record's **cut-over minute** is where readers change from gold to live. Gold is complete up to the received time
`now` of its sources; an event may be on its way for a while, and live numbers freeze `live_freeze_after_s` after their
minute, so gold answers for minutes that ended that long before `now`, and live for all from there on. Both then
hold the same events, but for those later still, which the next publish restates.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from batch.gold.stage import gold_tables, sources_of
from batch.history import version
from batch.restate import ledger
from batch.run import commit
from infra.settings import Settings
from schemas.progress import Progress, progress
from schemas.publication import PUBLISHED, Publish, write_record
from schemas.tables.restatements import RESTATEMENTS
from schemas.tables.sessions import SESSIONS

logger = logging.getLogger(__name__)

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def publish(settings: Settings) -> tuple[Publish, list[dict[str, Any]]]:
    """Commit the audited stage of gold, one commit a table, then write the publish record.

    Returns that record, and the rows that the ledger has gained.
    """
    manifest, _ = commit(settings, "gold")
    restated = ledger.record(settings.lake_root, gold_tables().values())
    paths = {table.full_name: table.path(settings.lake_root) for table in gold_tables().values()}
    done = {name: found for name, path in paths.items() if (found := progress(path))}
    paths[SESSIONS.full_name] = SESSIONS.path(settings.lake_root)
    versions = {name: version(path) for name, path in paths.items() if name in done or name == SESSIONS.full_name}
    record = Publish(
        publish_id=manifest.stage_id,
        published_at=datetime.now(UTC),
        cutover_minute=cutover_minute(_of_viewing(done), settings.live_freeze_after_s),
        versions={name: at for name, at in versions.items() if at is not None}
        | {RESTATEMENTS.full_name: restated.version},
        as_of={name: found.now for name, found in done.items() if found.now},
    )
    settings.warehouse.mkdir(parents=True, exist_ok=True)
    write_record(settings.warehouse / PUBLISHED, record)
    logger.info("published", extra={"publish_id": record.publish_id, "cutover_minute": record.cutover_minute})
    return record, restated.rows


def _of_viewing(done: dict[str, Progress]) -> list[Progress]:
    """How far the tables have come that live numbers stand beside. The catalogue may be quiet for days."""
    tables = {table.full_name: table for table in gold_tables().values()}
    return [found for name, found in done.items() if SESSIONS in sources_of(tables[name])]


def cutover_minute(done: list[Progress], freeze_after_s: int) -> datetime:
    """The first minute that gold does not fully hold yet, going by its least advanced table."""
    moments = [one.now or NEVER for one in done]
    complete_to = min(moments, default=NEVER) - timedelta(seconds=freeze_after_s)
    return max(NEVER, complete_to.replace(second=0, microsecond=0))
