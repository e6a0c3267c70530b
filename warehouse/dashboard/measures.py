"""What the page Quality can ask: measures, dimensions, and which table answers a pair of them.

A measure is a metric of `schemas/metrics` with its arguments given. Minutes (history and live, joined at the cut-over)
answer where a named rollup keeps every dimension of the question; sessions (what the published file holds of them)
answer any combination, later. All names that get into SQL come from here, never from a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from schemas.metrics.metric import Metric
from schemas.metrics.parts import AD_PARTS, SCORES, VIEW_PARTS
from schemas.metrics.registry import METRICS, SUBJECTS
from schemas.quality import PARTS, ROLLUPS

HISTOGRAM: Final = "startup_histogram"
Source = Literal["minutes", "sessions"]

DIMENSIONS: dict[str, str] = {
    "country": "Country",
    "device_type": "Device",
    "content_id": "Title",
    "cdn": "CDN",
    "app_version": "App version",
    "region": "Region",
    "connection_type": "Network",
    "player_version": "Player version",
    "is_live": "Live stream",
    "end_reason": "End",
    "error_code": "Error code",
}
"""Dimension → its name for people. All are columns of silver.sessions; those of minutes are `schemas.quality`'s."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measure:
    """A metric as it is asked.

    name        in addresses
    call        the macro with its parts and arguments; `$minutes` is the length of what is asked for
    parts       what it is made of
    why_not     why no table of the warehouse answers it; empty where one does
    """

    name: str
    title: str
    subject: str
    metric: Metric
    call: str
    parts: tuple[str, ...]
    why_not: str = ""

    @property
    def sample(self) -> str | None:
        """The part that a ratio is divided by, which is how much a value is made of; None for sums and counts."""
        if len(self.parts) > 1 or HISTOGRAM in self.parts:
            return None if self.parts[-1] == "session_id" else self.parts[-1]
        return None

    @property
    def sample_unit(self) -> str | None:
        """Times are told in minutes."""
        if self.sample is None:
            return None
        if self.sample == HISTOGRAM:
            return "startups"
        if self.sample.endswith("_score_count"):
            return "sessions"
        name = self.sample.removesuffix("_ms").replace("_", " ")
        return f"min {name}" if self.sample.endswith("_ms") else name

    @property
    def is_additive(self) -> bool:
        """Made of parts that add up over rows; distinct viewers do not."""
        return self.parts != ("user_id", "session_id")

    def why_not_of(self, source: Source) -> str:
        """Why a source lacks it; empty where it does not."""
        has = {*PARTS, HISTOGRAM} if source == "minutes" else {*VIEW_PARTS, HISTOGRAM, "user_id", "session_id"}
        missing = [part for part in self.parts if part not in has]
        names = (part.removesuffix("_sum").removesuffix("_count").replace("_", " ") for part in missing)
        said = " and ".join(dict.fromkeys(names))
        return f"{source} do not hold {said}" if missing else ""


def _measure(subject: str, metric: Metric) -> list[Measure]:
    base = Measure(
        name=metric.name, title=metric.title, subject=subject, metric=metric, call=metric.call(), parts=metric.parts
    )
    if metric.name == "startup_quantile_ms":
        return [
            _changed(base, name=f"startup_p{q}_ms", title=f"Startup time, {said}", call=metric.call(f"0.{q}"))
            for q, said in ((50, "median"), (75, "p75"), (95, "p95"), (99, "p99"))
        ]
    if metric.name == "score_average":
        return [
            _changed(
                base,
                name=f"{score}_average",
                title=f"{METRICS[score].title}, average",
                call=f"{metric.name}({score}_sum, {score}_count)",
                parts=(f"{score}_sum", f"{score}_count"),
            )
            for score in SCORES
        ]
    if metric.name == "average_viewers":
        return [_changed(base, call=metric.call("$minutes"))]
    if metric.name == "attempts_per_second":
        return [_changed(base, call=metric.call("60 * $minutes"))]
    return [_changed(base, why_not=_why_not(metric))]


def _changed(measure: Measure, **values: str | tuple[str, ...]) -> Measure:
    return Measure(**{**vars(measure), **values})


def _why_not(metric: Metric) -> str:
    if metric.parts == ("concurrent",):
        return "it is known of this moment and of everything only: the page Now shows it; average viewers has a past"
    if metric.parts == ("viewer_registers",):
        return "it is an estimate by day (gold.audience_daily): ask for the exact one, counted over sessions"
    if metric.arguments:
        return f"it needs {', '.join(metric.arguments)}: ask for it in SQL"
    if AD_PARTS.keys() & {*metric.parts}:
        return "the ad server's events are counted by day (gold.ads_daily), without the dimensions of sessions"
    return ""


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for subject, metrics in SUBJECTS.items()
    for metric in metrics
    if metric.level == "aggregate"
    for measure in _measure(subject, metric)
}


@dataclass(frozen=True)
class Plan:
    """Where a question is answered. `rollup` is of minutes; `why` says why it is not the better of the two sources."""

    source: Source | None
    rollup: str | None = None
    why: str = ""


def plan(measure: Measure, dimensions: frozenset[str]) -> Plan:
    """The source of a question about these dimensions (broken down by, or filtered by)."""
    if measure.why_not:
        return Plan(None, why=f"{measure.title} cannot be asked by cohort: {measure.why_not}.")
    why = measure.why_not_of("minutes")
    fitting = [name for name, kept in ROLLUPS.items() if dimensions <= {*kept}]
    if not why and fitting:
        return Plan("minutes", min(fitting, key=lambda name: len(ROLLUPS[name])))
    names = [title if title.isupper() else title.lower() for name, title in DIMENSIONS.items() if name in dimensions]
    said = " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    because = why or f"no rollup of minutes keeps {said}{' together' if len(names) > 1 else ''}"
    if missing := measure.why_not_of("sessions"):
        return Plan(None, why=f"{measure.title} cannot be asked by {said or 'cohort'}: {because}, and {missing}.")
    return Plan("sessions", why=f"{because[0].upper()}{because[1:]}.")
