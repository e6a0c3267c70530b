"""What an audit found, as a record that outlives it: `<home>/quality/results/<run id>.json`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from infra.settings import Settings

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult

State = Literal["failed", "broken", "warning", "passed"]
STATES: tuple[State, ...] = ("failed", "broken", "warning", "passed")
"""From worst to best."""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """One check. `observed`: rows that break it, or the number of rows for rows(min=n). `rows`: the first of them."""

    check: str
    severity: str
    expectation: str
    success: bool
    observed: int | None
    rows: list[dict[str, Any]] = []
    error: str | None = None
    """Why the check could not be computed: then it says nothing about the data."""

    @property
    def state(self) -> State:
        if self.error is not None:
            return "broken"
        if self.success:
            return "passed"
        return "failed" if self.severity == "fail" else "warning"


class TableResult(msgspec.Struct, frozen=True, kw_only=True):
    """One staged table."""

    table: str
    version: int
    rows: int
    seconds: float
    checks: list[CheckResult]
    page: str = ""
    """Its page in the Data Docs, relative to their index."""

    def of(self, state: State) -> list[CheckResult]:
        return [check for check in self.checks if check.state == state]

    @property
    def state(self) -> State:
        """That of the worst check."""
        return min((check.state for check in self.checks), key=STATES.index, default="passed")


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """One audit."""

    run_id: str
    stage_id: str
    layer: str
    started_at: datetime
    seconds: float
    tables: list[TableResult]

    @property
    def state(self) -> State:
        """That of the worst table."""
        return min((table.state for table in self.tables), key=STATES.index, default="passed")

    def lines(self) -> list[str]:
        """Each check that stops the publish: table, check, observed value, first offending rows."""
        return [
            f"{table.table}: {_line(check, table)}"
            for table in self.tables
            for check in (*table.of("failed"), *table.of("broken"))
        ]


def home(settings: Settings) -> Path:
    """Where ledger, results and Data Docs lie."""
    return settings.home / "quality"


def write(folder: Path, ledger: Ledger) -> Path:
    """By rename, so that a reader never sees half of it."""
    results = folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{ledger.run_id}.json"
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(ledger)))
    return fresh.replace(path)


def newest(folder: Path, count: int) -> list[Ledger]:
    """The last audits, newest first: run ids sort by time."""
    paths = sorted((folder / "results").glob("*.json"), reverse=True)[:count]
    return [msgspec.json.decode(path.read_bytes(), type=Ledger) for path in paths]


def _line(check: CheckResult, table: TableResult) -> str:
    if check.error is not None:
        return f"{check.check} could not be computed: {check.error}"
    if check.check.startswith("rows("):
        return f"{check.check} [{check.expectation}]: the stage has {check.observed} rows"
    shown = "; ".join(", ".join(f"{name}={value}" for name, value in row.items()) for row in check.rows[:3])
    found = f"expected 0 rows that break it, got {check.observed} of {table.rows}"
    return f"{check.check} [{check.expectation}]: {found}: {shown}"


def check_results(result: ExpectationSuiteValidationResult) -> list[CheckResult]:
    """What Great Expectations found, in the order of the suite."""
    return [_check_result(one) for one in result.results]


def exception_message(info: dict[str, Any] | None) -> str | None:
    """The message of an exception within an expectation; Great Expectations calls it `success: False`, like bad data.

    `info` is `{"raised_exception": ..., "exception_message": ...}`, or one such record for each metric that failed.
    """
    if not info:
        return None
    records = [info] if "raised_exception" in info else list(info.values())
    messages = [str(r.get("exception_message") or "no message") for r in records if r.get("raised_exception")]
    return messages[0].strip().splitlines()[0] if messages else None


def _check_result(one: ExpectationValidationResult) -> CheckResult:
    config = one.expectation_config
    assert config is not None
    severity = str(getattr(config.severity, "value", config.severity))
    return CheckResult(
        check=config.meta["check"],
        severity="fail" if severity == "critical" else "warn",
        expectation=config.type,
        success=bool(one.success),
        observed=one.result.get("observed_value"),
        rows=one.result.get("details", {}).get("unexpected_rows", []),
        error=exception_message(one.exception_info),
    )
