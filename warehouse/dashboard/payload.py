"""What the server tells the pages: the shapes of `/v1/live`, `/v1/dashboard/history` and `/v1/dashboard/parity`.

Stated here once: `python -m warehouse.dashboard.protocol` derives `warehouse/pages/src/data/protocol.ts` from it.
Stamps end in `_at` and are milliseconds of epoch; minutes are seconds of epoch, the start of the minute.
Shares lie in 0..1. Null means "not known", never zero.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.parity import MetricParity


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
    playback_failure_rate: list[float | None]


class Seconds(msgspec.Struct, frozen=True, kw_only=True):
    """One value a second over everything that is watched, by the second in which it came, without a hole."""

    first: int
    """The second of the first value, of epoch."""
    kept_from: int
    """Seconds before it are no part of the hour any more."""
    concurrent: list[int | None]
    plays: list[int]
    failures: list[int]
    """Of the start and of the playback."""


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """One headline number, and what it was at the same minute earlier."""

    metric: Literal[
        "concurrent_viewers",
        "attempts_per_second",
        "startup_p50_ms",
        "startup_p95_ms",
        "stalled_share",
        "start_failure_rate",
        "playback_failure_rate",
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


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Viewers of one country who are served by one CDN in one version of the app."""

    cdn: str
    app_version: str
    country: str
    viewers: float
    plays: int
    startup_p95_ms: float | None
    stalled_share: float | None
    failure_rate: float | None
    """Start failures and playback failures by plays; of plays that began before the window it may be above 1."""


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """The last run of the data-quality checks."""

    checked_at: int
    passed: int
    failed: int
    status: Literal["passed", "failed"]


class ParityState(msgspec.Struct, frozen=True, kw_only=True):
    """How the last comparison of live with batch came out."""

    compared_at: int
    rows: int
    rows_equal: int
    whole_rows: int
    """Rows before the cut-over, which both sides hold whole."""
    whole_rows_equal: int
    unexplained: int
    """Values that their own records do not give: not one may be."""


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
    parity: ParityState | None


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


class Dimension(msgspec.Struct, frozen=True, kw_only=True):
    """What a row is about."""

    name: str
    value: str | None


class AlertShown(msgspec.Struct, frozen=True, kw_only=True):
    """An alert: a cohort whose metric left its range."""

    id: str
    rule: str
    severity: Literal["warning", "critical"]
    metric: str
    title: str
    """The metric's, for people."""
    unit: str
    cohort: list[Dimension]
    began_at: int
    opened_at: int
    closed_at: int | None
    value: float | None
    peak: float | None
    expected: float | None
    limit: float
    is_high: bool
    sample: float | None
    sample_unit: str | None
    covers: int
    """Other cohorts that are out of range because of this one."""
    question: str
    """Parameters of the page Quality, at this cohort, metric and time."""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the stream; a `snapshot` holds every live minute and second, an `update` the changed ones."""

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
    seconds: Seconds | None
    """The last hour; null before a stream worker has spoken for one."""
    titles: list[Title]
    cohorts: list[Cohort]
    deliveries: list[Delivery]
    alerts: list[AlertShown]
    """Open ones first, then those that closed in the last hours."""
    pipeline: Pipeline
    links: Links


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Published minutes of one interval, up to the cut-over minute."""

    publish: Publish
    minutes: Series


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why live and batch may differ."""

    cause: str
    meaning: str


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """How much a cause adds on the way from live to batch."""

    cause: str
    amount: int


class ParityPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part on both sides: live + all causes + batch_unexplained - live_unexplained = batch."""

    part: str
    live: int
    batch: int
    causes: list[Amount]
    live_unexplained: int
    batch_unexplained: int


class ParityRow(msgspec.Struct, frozen=True, kw_only=True):
    """A minute of a rollup in which live and batch differ."""

    minute: int
    rollup: str
    dimensions: list[Dimension]
    parts: list[ParityPart]
    metrics: list[MetricParity]


class ParityPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of the past."""

    compared_at: int
    publish_id: str | None
    whole_rows: int
    whole_rows_equal: int
    unexplained: int
    causes: list[Amount]
    """Of the events."""
    differences: list[float | None]
    """Batch less live of each metric of `Parity.metrics`, in that order; null where one of them is not known."""


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """The newest comparison of live with batch, and how the last ones came out."""

    state: ParityState | None = None
    """Null before the first comparison; the lists are empty then."""
    publish_id: str | None = None
    first_minute: int | None = None
    end_minute: int | None = None
    cutover_minute: int | None = None
    """Metrics are compared over the minutes before it, which both sides hold whole."""
    dead_letters: int = 0
    """Received in the window: they are in neither side."""
    causes: list[Cause]
    parts: list[ParityPart] = []
    """Over everything that is watched."""
    metrics: list[MetricParity] = []
    """Over everything that is watched."""
    rows: list[ParityRow] = []
    """What is unexplained first, then what is over everything, then by dimensions; of each the newest minutes first."""
    trend: list[ParityPoint] = []
    """The last comparisons, oldest first."""
