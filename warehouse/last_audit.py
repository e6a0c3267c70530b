"""The newest audit of the data-quality ledger, as the dashboard's header shows it."""

from __future__ import annotations

from pathlib import Path

from infra.settings import Settings
from warehouse.dashboard.moments import to_ms
from warehouse.dashboard.payload import Quality
from warehouse.quality import ledger


class LastAudit:
    """Reads the ledger again only when an audit was added."""

    def __init__(self, settings: Settings) -> None:
        self._folder = ledger.home(settings)
        self._changed_ns = 0
        self._newest: Quality | None = None

    def __call__(self) -> Quality | None:
        """None before the first audit."""
        results = self._folder / "results"
        changed_ns = _changed_ns(results)
        if changed_ns != self._changed_ns:
            self._changed_ns = changed_ns
            self._newest = _summary(self._folder)
        return self._newest


def _changed_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _summary(folder: Path) -> Quality | None:
    for audit in ledger.newest(folder, 1):
        checks = [check for table in audit.tables for check in table.checks]
        return Quality(
            checked_at=to_ms(audit.started_at) + round(audit.seconds * 1000),
            passed=sum(check.state == "passed" for check in checks),
            failed=sum(check.state in ("failed", "broken") for check in checks),
            status="failed" if audit.state in ("failed", "broken") else "passed",
        )
    return None
