"""How much has come for a run, by the logs of what it reads: before Spark is asked anything."""

from __future__ import annotations

from collections.abc import Iterator

from batch.gold.stage import gold_tables, sources_of
from batch.history import rows_brought, version
from infra.settings import Settings
from schemas.progress import progress
from schemas.registry import EVENT_TOPICS
from schemas.stage import StagedLayer
from schemas.table import Table
from schemas.tables import BRONZE, SILVER_EVENTS

LITTLE = 100_000
"""Rows. Of late events: they touch sessions of some million events, which four tasks still sort in their memory."""


def is_little(settings: Settings, layer: StagedLayer) -> bool:
    """Whether something was made of each of the layer's sources before, and none has brought much since."""
    counts = (_rows(settings, target, source) for target, source in _pairs(layer))
    return all(count is not None and count <= LITTLE for count in counts)


def _pairs(layer: StagedLayer) -> Iterator[tuple[Table, Table]]:
    """Every table of the layer with each table that it is made of."""
    if layer == "silver":
        for topic in EVENT_TOPICS.values():
            yield SILVER_EVENTS[topic.name], BRONZE[topic.name]
    else:
        for table in gold_tables().values():
            for source in sources_of(table):
                yield table, source


def _rows(settings: Settings, target: Table, source: Table) -> int | None:
    """Rows of the source that the target has not seen; None where it has seen none, or the log does not tell."""
    path = source.path(settings.lake_root)
    until = version(path)
    if until is None:
        return 0
    done = progress(target.path(settings.lake_root))
    after = done.complete.get(source.full_name) if done else None
    return None if after is None else rows_brought(path, after, until)
