"""What the server tells the page Pipeline: the shapes of `/v1/dashboard/pipeline`. See `payload.py` for the rules.

Each part of it may fail for itself: `problem` says why, and is empty where nothing is wrong.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from warehouse.dashboard.payload import Publish

Supervision = Literal["up", "starting", "stopping", "stopped", "failed", "gone", "none"]


class PartitionFlow(msgspec.Struct, frozen=True, kw_only=True):
    """How far the readers of a partition are behind its end, in records, and how fast all are."""

    topic: str
    partition: int
    end: int
    """Offset after the newest record."""
    sink_lag: int | None
    """Null: the sink has not said where it is."""
    worker_lag: int | None
    """Null: no stream worker reads this topic, or it has not said where it is."""
    in_per_s: float | None
    """Records a second over the last readings; null until there are two."""
    sink_per_s: float | None
    worker_per_s: float | None


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """Kafka's topics of events and their readers."""

    read_at: int | None
    over_ms: int | None
    """Time over which the speeds are told."""
    partitions: list[PartitionFlow]
    problem: str


class TableState(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the lake as its newest version is; of `live` and `published` the file that serves it."""

    layer: Literal["live", "bronze", "silver", "gold", "published"]
    table: str
    version: int | None
    published_version: int | None
    """The version that the published file holds; null where it holds none."""
    changed_at: int
    as_of: int | None
    """Received time up to which it holds every record; null where it does not say."""
    rows: int | None
    size_bytes: int | None
    files: int | None


class LetterCount(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of one reason."""

    topic: str
    reason: str
    meaning: str
    total: int
    hours: list[int]
    """By hours of received time, up to the running one."""
    newest_at: int


class NewestLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One of the newest."""

    place: str
    """topic/partition/offset, as `playlake deadletters show` takes it."""
    received_at: int
    reason: str
    field: str | None
    detail: str


class Letters(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of the last days."""

    days: int
    first_hour_at: int
    counts: list[LetterCount]
    """Most of them first."""
    newest: list[NewestLetter]
    problem: str


class PublishRun(msgspec.Struct, frozen=True, kw_only=True):
    """A publish of gold."""

    publish_id: str
    committed_at: int
    as_of: int | None
    """Received time up to which it holds every record."""
    rows: int | None
    """Of all its tables, as they were audited; null where the audit is no longer there."""
    took_ms: int | None
    """From the beginning of its stage to its commit."""
    is_current: bool


class AuditRun(msgspec.Struct, frozen=True, kw_only=True):
    """One audit of a staged layer."""

    run_id: str
    layer: str
    stage_id: str
    checked_at: int
    took_ms: int
    state: Literal["failed", "broken", "warning", "passed"]
    tables: int
    rows: int
    passed: int
    warnings: int
    failed: int
    """Broken ones, too."""
    wrong: list[str]
    """The checks that stopped it: table, check, what was found."""


class Restated(msgspec.Struct, frozen=True, kw_only=True):
    """What a publish changed of what had been published before: a row of gold.restatements."""

    table: str
    day: str | None
    alternative: str | None
    metric: str
    old_value: int | None
    new_value: int | None
    change: int | None
    events: int | None
    publish_id: str | None
    restated_at: int


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the platform as its supervisor sees it."""

    name: str
    state: str
    is_well: bool
    since: int
    restarts: int
    why: str
    url: str


class PipelineView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything behind the numbers at one moment."""

    read_at: int
    publish: Publish
    flow: Flow
    tables: list[TableState]
    tables_problem: str
    letters: Letters
    publishes: list[PublishRun]
    built_ms: int | None
    """From the publish in force to its file, which readers use; null before the first."""
    audits: list[AuditRun]
    restated: list[Restated]
    restated_total: int
    processes: list[Process]
    supervisor: Supervision
    """`none`: nothing was ever supervised here, as where each part is a service of its own; `gone`: it has died."""
