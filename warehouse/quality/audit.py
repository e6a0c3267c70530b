"""`playlake quality`: run the suites on a stage; write ledger, Data Docs and the verdict that a commit needs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from infra.errors import CheckBroken, CheckFailed, SettingsError
from infra.settings import ROOT, Settings
from schemas import stage
from schemas.stage import Audit, Manifest, StagedLayer
from schemas.table import Table, read_sql_table
from schemas.tables import SILVER
from warehouse.quality import docs, ledger
from warehouse.quality.expectations import measured_on, suite
from warehouse.quality.ledger import Ledger, TableResult
from warehouse.quality.staged import open_staged

logger = logging.getLogger(__name__)


def audit_stage(
    settings: Settings, manifest: Manifest, find: Callable[[StagedLayer, str], Table] | None = None
) -> tuple[Ledger, Path]:
    """Check every staged table by its definition, which `find` gives (default: `definition`); ledger and report.

    Raises CheckFailed when a fail-check found rows: the verdict is written, nothing may be published. Raises
    CheckBroken when a check could not be computed: no verdict is written. Ledger and Data Docs are, in any case.
    """
    started_at, clock = datetime.now(UTC), time.monotonic()
    run_id = f"{started_at:%Y%m%dT%H%M%S%f}Z-{manifest.layer}"
    site = docs.Site(ledger.home(settings))
    tables = [
        check_table(site, settings, (find or definition)(manifest.layer, name), staged.version, run_id)
        for name, staged in sorted(manifest.tables.items())
    ]
    found = Ledger(
        run_id=run_id,
        stage_id=manifest.stage_id,
        layer=manifest.layer,
        started_at=started_at,
        seconds=round(time.monotonic() - clock, 3),
        tables=tables,
    )
    ledger.write(ledger.home(settings), found)
    if found.state != "broken":
        stage.write_audit(settings.lake_root, _verdict(manifest, found))
    index = site.build()
    logger.info("audited", extra={"stage_id": manifest.stage_id, "layer": manifest.layer, "verdict": found.state})
    what = f"stage {manifest.stage_id} of {manifest.layer}"
    report = "\n".join([*(f"  {line}" for line in found.lines()), f"  report: {index}"])
    if found.state == "broken":
        msg = f"{what} has no verdict, checks could not be computed:\n{report}"
        raise CheckBroken(msg)
    if found.state == "failed":
        msg = f"{what} did not pass, nothing of it will be published:\n{report}"
        raise CheckFailed(msg)
    return found, index


def check_table(site: docs.Site, settings: Settings, table: Table, version: int, run_id: str) -> TableResult:
    """Run the suite of one table on one staged version."""
    clock = time.monotonic()
    with open_staged(settings.lake_root, table, version) as staged, measured_on(staged):
        result, page = site.validate(suite(table, staged.columns), staged, run_id)
    return TableResult(
        table=table.full_name,
        version=version,
        rows=staged.rows,
        seconds=round(time.monotonic() - clock, 3),
        checks=ledger.check_results(result),
        page=page,
    )


def definition(layer: StagedLayer, name: str) -> Table:
    """The contract of a staged table. Raises SettingsError when there is none: unchecked data is not published."""
    path = ROOT / "batch" / "gold" / f"{name}.sql"
    if layer == "gold" and path.exists():
        return read_sql_table(path)
    if layer == "silver" and name in SILVER:
        return SILVER[name]
    msg = f"{layer}.{name} is staged, but no table of that name is defined, so there is nothing to check it by"
    raise SettingsError(msg)


def _verdict(manifest: Manifest, found: Ledger) -> Audit:
    return Audit(
        stage_id=manifest.stage_id,
        layer=manifest.layer,
        versions=manifest.versions(),
        passed=found.state in ("passed", "warning"),
        audited_at=datetime.now(UTC),
        failures=[f"{t.table.partition('.')[2]}: {c.check}" for t in found.tables for c in t.of("failed")],
    )
