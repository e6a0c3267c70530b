"""Alerts as the page Now shows them, each with the address of what is behind it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from schemas.alert import Alert, question
from schemas.metrics.registry import METRICS
from warehouse.dashboard.payload import AlertShown, Dimension

RECENT_S = 6 * 3_600
"""How long a closed alert is still shown."""


def shown(records: Iterable[str]) -> list[AlertShown]:
    """From the column `record` of live.alerts."""
    return [_shown(msgspec.json.decode(record, type=Alert)) for record in records]


def _shown(alert: Alert) -> AlertShown:
    metric = METRICS.get(alert.metric)
    title = metric.title if metric else alert.metric
    if alert.argument is not None:
        title += f" {alert.argument:g}"
    same = {name: getattr(alert, name) for name in AlertShown.__struct_fields__ if hasattr(alert, name)}
    cohort = [Dimension(name=name, value=value) for name, value in alert.cohort.items()]
    return AlertShown(**same | {"title": title, "cohort": cohort, "question": question(alert)})
