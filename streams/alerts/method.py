"""What is watched without a rule, and the numbers of the method; `detector.py` says what they are for."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.metrics.registry import METRICS


@dataclass(frozen=True)
class Watched:
    """A metric that is watched: a ratio of two parts of which higher is worse.

    metric           name in `schemas/metrics`
    least_ratio      how many times the expected value it must reach
    least_sample     what the window must be made of at least, in the unit of the metric's second part or of `exposure`
    least_excess     how much more than expected of the first part there must be, in its unit
    least_excess_per_minute   the same for each minute of the window
    exposure         part that the first one grows with, where that is not the second: playback breaks while it runs,
                     however long ago it was asked for
    quantum          what one event adds to the first part, about: less was never measured, and sums vary by no less
    is_logarithmic   judged by the logarithm of each startup: a mean of long tails is mostly luck
    """

    metric: str
    least_ratio: float
    least_sample: float
    least_excess: float = 0.0
    least_excess_per_minute: float = 0.0
    exposure: str = ""
    quantum: float = 0.0
    is_logarithmic: bool = False

    @property
    def parts(self) -> tuple[str, str]:
        first, second = METRICS[self.metric].parts
        return first, second


WATCHED = (
    # More than three viewers add who wait a quarter of the time: one of them alone is no incident.
    Watched(
        "stalled_share", least_ratio=2.0, least_sample=20 * 60_000, least_excess_per_minute=3 * 15_000, quantum=2_000
    ),
    Watched("startup_average_ms", least_ratio=1.4, least_sample=15, is_logarithmic=True),
    Watched("start_failure_rate", least_ratio=2.0, least_sample=15, least_excess=4, quantum=1),
    Watched(
        "playback_failure_rate",
        least_ratio=2.0,
        least_sample=20 * 60_000,
        least_excess=4,
        exposure="watched_ms",
        quantum=1,
    ),
)


@dataclass(frozen=True)
class Method:
    """The detector's numbers; times in minutes."""

    watched: tuple[Watched, ...] = WATCHED
    history: int = 360
    """Minutes that are remembered, so that an alert of hours does not use up the baseline."""
    baseline: int = 110
    """The newest of them that may teach, but for `gap`."""
    gap: int = 10
    """Newest minutes that are no baseline; a third of all while there are fewer than 30."""
    least_baseline: int = 8
    """Judged from so many minutes of baseline on: the eleventh minute of all."""
    inexperience: float = 8
    """Minutes. Few minutes tell dispersion badly: it is taken to be 1 + 8 / minutes times as large."""
    windows: tuple[int, ...] = (1, 2, 3, 5, 7, 10)
    prior_minutes: float = 10
    """What the dispersion of a cohort's kind weighs."""
    false_alarms_per_day: float = 0.1
    occam: float = 2.0
    """What each dimension of a cohort must add to the score."""
    least_sessions: int = 5
    """A cohort with fewer in a minute, sessions and attempts, is not begun to be followed."""


METHOD = Method()
