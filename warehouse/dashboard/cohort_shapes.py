"""What the server tells the page Quality: the shapes of `/v1/dashboard/cohorts…`. See `payload.py` for the rules."""

from __future__ import annotations

from typing import Literal

import msgspec

from warehouse.dashboard.payload import Publish


class MeasureOption(msgspec.Struct, frozen=True, kw_only=True):
    """A metric that can be chosen."""

    name: str
    title: str
    subject: str
    meaning: str
    formula: str
    unit: str
    worse: Literal["higher", "lower"] | None
    sample_unit: str | None
    """What a ratio is divided by, with its unit: how much a value is made of. Null for sums and counts."""
    why_not: str
    """Why it cannot be asked by cohort; empty when it can."""


class DimensionOption(msgspec.Struct, frozen=True, kw_only=True):
    """What cohorts can be told apart by."""

    name: str
    title: str


class CohortCatalog(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be asked."""

    measures: list[MeasureOption]
    dimensions: list[DimensionOption]


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer was made of, and how current that is."""

    source: Literal["minutes", "sessions"] | None
    """Null: the question cannot be answered; `why` says why not."""
    why: str
    """Why it is not answered from minutes, which reach up to now."""
    start_at: int
    stop_at: int
    """The stretch [start, stop) that was asked; sessions end at the cut-over."""
    live_at: int | None
    """Up to when the live numbers in it are whole; null when there are none in it."""
    publish: Publish


class CohortValue(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a group of viewers."""

    values: list[str | None]
    """Of the dimensions that were asked for, in their order; null is unknown."""
    value: float | None
    sample: float | None
    """In the unit of the measure's `sample_unit`."""


class Cohorts(msgspec.Struct, frozen=True, kw_only=True):
    """A metric by dimensions."""

    basis: Basis
    whole: CohortValue | None
    """Over all cohorts."""
    cells: list[CohortValue]
    """Worst first, those with too small a sample last; without a worse side the largest first."""
    small_from: int
    """Place of the first cohort whose sample is too small."""
    totals: list[CohortValue]
    """By the first dimension alone, in the same order; empty when one was asked for."""
    left_out: int
    """Cohorts that are not sent, because there are too many: those of the smallest sample."""
    sql: str | None = None
    """The question that gave this answer, for anyone who wants to go on from it; null where there was none."""


class TrendLine(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over time, as columns of equal length, oldest first. Stretches without rows have no place."""

    at: list[int]
    value: list[float | None]
    sample: list[float | None]


class CohortTrend(msgspec.Struct, frozen=True, kw_only=True):
    """A cohort's metric over time, beside everything's."""

    basis: Basis
    step_s: int
    cohort: TrendLine
    everything: TrendLine


class SessionOfCohort(msgspec.Struct, frozen=True, kw_only=True):
    """A session in the list, with what a first look needs."""

    session_id: str
    user_id: str | None
    content_id: str | None
    country: str | None
    device_type: str | None
    cdn: str | None
    app_version: str | None
    started_at: int
    ended_at: int
    end_reason: str
    error_code: str | None
    value: float | None
    """The metric that the list is sorted by, of this session alone."""
    startup_ms: int | None
    watched_ms: int
    stall_count: int
    stall_ms: int
    average_bitrate_kbps: int | None
    experience_score: int | None


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    """Published sessions."""

    basis: Basis
    sessions: list[SessionOfCohort]
    total: int
    """How many there are; the list holds the first of them."""
