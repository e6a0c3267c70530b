"""All metrics, by subject, in the order of the page."""

from __future__ import annotations

from schemas.metrics import (
    ads,
    audience,
    delivery,
    engagement,
    functions,
    plays,
    scores,
    stalls,
    startup,
    telemetry,
    time,
)
from schemas.metrics.metric import Function, Metric

SUBJECTS: dict[str, tuple[Metric, ...]] = {
    "Sessions and plays": plays.METRICS,
    "Time": time.METRICS,
    "Startup and failures": startup.METRICS,
    "Stalls": stalls.METRICS,
    "Delivery": delivery.METRICS,
    "Audience": audience.METRICS,
    "Engagement": engagement.METRICS,
    "Ads": ads.METRICS,
    "Scores": scores.METRICS,
    "Telemetry": telemetry.METRICS,
}
METRICS: dict[str, Metric] = {metric.name: metric for metrics in SUBJECTS.values() for metric in metrics}
FUNCTIONS: tuple[Function, ...] = (*functions.FUNCTIONS, *audience.FUNCTIONS, *engagement.FUNCTIONS)
SESSION_METRICS: tuple[Metric, ...] = tuple(metric for metric in METRICS.values() if metric.level == "session")
"""In an order in which each needs only those before it."""
