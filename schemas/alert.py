"""What an alert is: the contract of the topic `live.alerts`, of the webhook, and of the table `live.alerts`.

The topic is compacted: `alert/<id>` holds an alert as it is now; `state` is the evaluator's own.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlencode

import msgspec

AUTOMATIC = "automatic"
"""The rule of alerts that no file asks for: a cohort left its own recent range."""

Severity = Literal["warning", "critical"]


class Alert(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A cohort whose metric is out of range, or was. Stamps are ms of epoch; an alert is open while it has no end."""

    id: str
    """The same for an alert however often it is told."""
    rule: str
    """Name of the rule's file, or `automatic`."""
    severity: Severity
    metric: str
    """Name in the registry of metrics."""
    argument: float | None = None
    """The metric's, where it has one: 0.95 of a quantile."""
    unit: str
    cohort: dict[str, str | None]
    """Dimension → value; null: unknown; empty: everything."""
    began_at: int
    """Start of the first minute that is out of range."""
    opened_at: int
    """End of the minute that opened it."""
    closed_at: int | None = None
    close_reason: Literal["recovered", "merged"] | None = None
    """merged: another open alert explains it."""
    judged_at: int
    """End of the newest minute that the figures are made of."""
    value: float | None
    """Over the last `minutes` minutes; null: unknown."""
    minutes: int
    expected: float | None = None
    """What the cohort's own past lets expect; null for rules with a fixed limit."""
    limit: float
    """End of the range that was left."""
    is_high: bool = True
    """Whether values above the limit are out of range, or those below."""
    sample: float | None = None
    """What the value is made of, in the unit `sample_unit`."""
    sample_unit: str | None = None
    peak: float | None
    """The worst value since it began."""
    covers: int = 0
    """Other cohorts that were out of range because of this one."""

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


class Change(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is told of an alert: it opened, it closed, or another cohort turned out to explain it."""

    kind: Literal["opened", "moved", "closed"]
    alert: Alert

    @property
    def key(self) -> str:
        """The same however often it is told: what a receiver may remember."""
        return f"{self.alert.id}/{self.kind}/{self.alert.judged_at}"


STATE_KEY = b"state"
ALERT_PREFIX = b"alert/"
EARLIER_S = 600
"""How much of the time before an alert its page shows."""
_NEXT = {
    (): ("country", "device_type"),
    ("country",): ("cdn", "app_version"),
    ("cdn",): ("country", "app_version"),
    ("app_version",): ("country", "cdn"),
    ("country", "cdn"): ("app_version",),
    ("country", "app_version"): ("cdn",),
    ("cdn", "app_version"): ("country",),
    ("device_type",): ("country",),
    ("country", "device_type"): ("cdn", "app_version"),
}
"""A cohort's dimensions → what tells its viewers apart, a cause first. Most are answered by live minutes."""


def topic_key(alert: Alert) -> bytes:
    """Key of an alert's record."""
    return ALERT_PREFIX + alert.id.encode()


def question(alert: Alert) -> str:
    """The parameters of the page Quality that show an alert: its metric, its cohort, its time."""
    metric = alert.metric
    if metric == "startup_quantile_ms" and alert.argument is not None:
        metric = f"startup_p{round(100 * alert.argument)}_ms"
    by = _NEXT.get(tuple(alert.cohort), ("country", "device_type"))
    end_ms = alert.judged_at if alert.closed_at is None else alert.closed_at
    told = [("metric", metric), *(("by", name) for name in by)]
    told += [("where", name if value is None else f"{name}:{value}") for name, value in alert.cohort.items()]
    told += [("from", str(alert.began_at // 1000 - EARLIER_S)), ("to", str(end_ms // 1000)), ("least", "5")]
    return urlencode(told)
