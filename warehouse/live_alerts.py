"""The alerts in memory, as `live.alerts` tells them: the newest record of each, closed ones for a week."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa

from infra.errors import ContractError
from schemas.alert import ALERT_PREFIX, Alert
from schemas.quality import DIMENSIONS
from warehouse.attach import ALERT_COLUMNS

KEPT_MS = 7 * 86_400_000
"""How long a closed alert stays."""
MOST = 2_000
REASON = "invalid_alert"
_KINDS = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
}
SCHEMA = pa.schema([(name, _KINDS[kind]) for name, kind in ALERT_COLUMNS.items()])


class LiveAlerts:
    """Alerts by id. Not thread-safe."""

    def __init__(self) -> None:
        self._alerts: dict[str, Alert] = {}

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take in a record of the topic of alerts; the evaluator's own state is none. Raises ContractError."""
        if not key.startswith(ALERT_PREFIX):
            return
        if value is None:
            self._alerts.pop(key[len(ALERT_PREFIX) :].decode(), None)
            return
        try:
            alert = msgspec.json.decode(value, type=Alert)
        except (msgspec.DecodeError, ValueError) as error:
            msg = f"record {key!r} of the topic of alerts is none: {error}"
            raise ContractError(REASON, msg) from error
        self._alerts[alert.id] = alert

    def forget(self, now_ms: int) -> None:
        """Drop what closed long ago, and the oldest of too many."""
        kept = [alert for alert in self._alerts.values() if alert.is_open or now_ms - (alert.closed_at or 0) < KEPT_MS]
        kept.sort(key=lambda alert: (not alert.is_open, -alert.judged_at))
        self._alerts = {alert.id: alert for alert in kept[:MOST]}

    def table(self) -> pa.Table:
        """Open ones first, then the newest: the columns of live.alerts."""
        ordered = sorted(self._alerts.values(), key=lambda alert: (not alert.is_open, -alert.opened_at, alert.id))
        return pa.Table.from_pylist([_row(alert) for alert in ordered], SCHEMA)


def _row(alert: Alert) -> dict[str, object]:
    told: dict[str, Any] = {name: getattr(alert, name, None) for name in ALERT_COLUMNS}
    stamps = {
        name: None if told[name] is None else 1000 * getattr(alert, name) for name in told if name.endswith("_at")
    }
    cohort = {name: alert.cohort.get(name) for name in DIMENSIONS}
    return told | stamps | cohort | {"by": ",".join(alert.cohort), "record": msgspec.json.encode(alert).decode()}
