"""What the server tells the pages: the shapes of `/v1/live` and `/v1/dashboard/history`.

Stated here once: `python -m warehouse.dashboard.protocol` derives `warehouse/pages/src/data/protocol.ts` from it.
Stamps end in `_at` and are milliseconds of epoch; minutes are seconds of epoch, the start of the minute.
Shares lie in 0..1. Null means "not known", never zero.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One row a minute over everything that is watched, as columns of equal length, oldest first."""

    minute: list[int]
    viewers: list[float | None]
    """Average number of concurrent viewers within the minute."""
    plays: list[int]
    startup_p50_ms: list[float | None]
    startup_p95_ms: list[float | None]
    stalled_share: list[float | None]
    start_failure_rate: list[float | None]
    start_failures: list[int]


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """One headline number, and what it was at the same minute earlier."""

    metric: Literal[
        "concurrent_viewers",
        "plays_per_minute",
        "startup_p50_ms",
        "startup_p95_ms",
        "stalled_share",
        "start_failure_rate",
    ]
    value: float | None
    hour_ago: float | None
    day_ago: float | None
    week_ago: float | None


class Title(msgspec.Struct, frozen=True, kw_only=True):
    """A title in the ranking."""

    content_id: str
    viewers: float
    plays: int
    stalled_share: float | None
    change: float
    """Average viewers of the settled minutes of the window less those of as many minutes before it."""


class Cohort(msgspec.Struct, frozen=True, kw_only=True):
    """Viewers of one country on one kind of device."""

    country: str
    device_type: str
    viewers: float
    plays: int
    stalled_share: float | None


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """The last run of the data-quality checks."""

    checked_at: int
    passed: int
    failed: int
    status: Literal["passed", "failed"]


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """How the machinery behind the numbers does."""

    events_per_s: float | None
    events: int
    late: int
    duplicates: int
    rejected: int
    open_sessions: int
    lag_ms: int | None
    """Age of the live numbers when the server sent them."""
    quality: Quality | None


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """Where the header leads."""

    airflow: str
    quality: str | None
    collector: str


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """What batch has published last; all null before the first time."""

    publish_id: str | None = None
    published_at: int | None = None
    cutover_minute: int | None = None
    """Minutes before it are history, minutes from it on are live."""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the stream; a `snapshot` holds every live minute, an `update` the changed ones."""

    kind: Literal["snapshot", "update"]
    sequence: int
    page_build: str
    """Changes when other pages are served: an open page then loads itself anew."""
    server_at: int
    live_at: int | None
    """Up to when the live numbers are whole: the stamp of the partition furthest behind; null before the first."""
    publish: Publish
    live_from: int | None
    """First minute of which live holds everything; later than the cut-over when publishing is long overdue."""
    window_minutes: int
    """Whole minutes that titles, cohorts and the ratios of the tiles look back."""
    tiles: list[Tile]
    minutes: Series
    titles: list[Title]
    cohorts: list[Cohort]
    pipeline: Pipeline
    links: Links


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Published minutes of one interval, up to the cut-over minute."""

    publish: Publish
    minutes: Series
