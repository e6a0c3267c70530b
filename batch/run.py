"""The one runner: a layer and an interval in, its stage out; and the commit of what was audited.

The interval is whole days, or what the sources have gained since the targets' last commit, or everything. Running it
twice, or twice at once, equals once (`batch/stage.py` says why).
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor

from batch.arrived import is_little
from batch.commit import commit_table
from batch.gold.stage import gold_tables, stage_gold
from batch.silver.events import stage_events
from batch.silver.sessions import stage_sessions
from batch.spark import spark_when_asked
from batch.stage import Days, Job, new_stage_id
from infra.errors import StageRefused
from infra.settings import Settings
from schemas.registry import EVENT_TOPICS, SESSION_TOPICS
from schemas.stage import Manifest, StagedLayer, StagedTable, read_manifest, require_audit, write_manifest
from schemas.table import Table
from schemas.tables import SILVER
from schemas.tables.sessions import SESSIONS
from schemas.topic import EventTopic

logger = logging.getLogger(__name__)

AT_ONCE = 2
"""Tables worked on at a time: they are independent, and planning a small query keeps one core busy."""


def stage(
    settings: Settings, layer: StagedLayer, days: Days | None = None, *, is_whole: bool = False
) -> Manifest | None:
    """Stage a layer and write its manifest. None: the sources have brought nothing new.

    `is_whole`: all of it from the beginning of its sources, whatever its tables hold.
    """
    is_new = days is None and not is_whole
    with spark_when_asked(settings, is_little=lambda: is_new and is_little(settings, layer)) as session:
        job = Job(session, settings, new_stage_id(), days, is_whole)
        with job.memory.kept:
            tables = _silver(job) if layer == "silver" else _gold(job)
    if not tables:
        return None
    manifest = Manifest(stage_id=job.stage_id, layer=layer, tables=tables, is_whole=is_whole)
    write_manifest(settings.lake_root, manifest)
    return manifest


def commit(settings: Settings, layer: StagedLayer) -> tuple[Manifest, dict[str, int]]:
    """Commit the stage of a layer, if it was audited. Returns it, and the version that holds each of its tables.

    Sessions go before the events that they come from: when a crash falls in between, the events are staged again from
    where they were, and nothing that a replaced row has touched is forgotten.
    """
    manifest = read_manifest(settings.lake_root, layer)
    if manifest is None:
        msg = f"no stage of {layer} waits in {settings.lake_root}; run `playlake stage {layer}`"
        raise StageRefused(msg)
    require_audit(settings.lake_root, manifest)
    tables = definitions(layer)
    names = [name for name in reversed(tables) if name in manifest.tables]
    first, others = ([name for name in names if (name == SESSIONS.name) is is_first] for is_first in (True, False))
    with spark_when_asked(settings, is_own=True) as session:

        def one(name: str) -> int:
            started, staged = time.monotonic(), manifest.tables[name]
            version = commit_table(session, settings, tables[name], manifest)
            _report("committed", tables[name], staged, started, version=version)
            return version

        versions = {name: one(name) for name in first}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            versions |= zip(others, pool.map(one, others), strict=True)
    return manifest, versions


def definitions(layer: StagedLayer) -> dict[str, Table]:
    """The tables of a layer by name, in order of dependence."""
    return SILVER if layer == "silver" else gold_tables()


def _silver(job: Job) -> dict[str, StagedTable]:
    def one(topic: EventTopic) -> StagedTable | None:
        started = time.monotonic()
        if staged := stage_events(job, topic):
            _report("staged", SILVER[topic.table], staged, started)
        return staged

    # What sessions are made of first: they wait for it, and for nothing else.
    topics = sorted(EVENT_TOPICS.values(), key=lambda topic: topic not in SESSION_TOPICS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        staging = {topic.table: pool.submit(one, topic) for topic in topics}
        awaited = {topic.table: staging[topic.table].result() for topic in SESSION_TOPICS}
        started = time.monotonic()
        sessions = stage_sessions(job, {name: events for name, events in awaited.items() if events})
    if sessions:
        _report("staged", SESSIONS, sessions, started)
    found = {name: future.result() for name, future in staging.items()} | {SESSIONS.name: sessions}
    return {name: staged for name in SILVER if (staged := found[name])}


def _gold(job: Job) -> dict[str, StagedTable]:
    def one(table: Table) -> StagedTable | None:
        started = time.monotonic()
        if staged := stage_gold(job, table):
            _report("staged", table, staged, started)
        return staged

    tables = gold_tables()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(tables, pool.map(one, tables.values()), strict=True))
    return {name: staged for name, staged in found.items() if staged}


def _report(what: str, table: Table, staged: StagedTable, started: float, **more: int) -> None:
    seconds = round(time.monotonic() - started, 1)
    figures = {"rows": staged.rows, "partitions": len(staged.dates), "seconds": seconds, **more}
    logger.info("%s %s", what, table.full_name, extra=figures)
