"""Answers of the page Pipeline: everything behind the numbers, from the broker to the published file.

Read on demand, all at once, and kept for KEPT_S, however many look on: nothing is asked while nobody does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, cast

from infra import process_tree, run_state
from infra.settings import Settings
from warehouse import publication
from warehouse.dashboard.moments import known_ms, to_ms
from warehouse.dashboard.payload import Publish
from warehouse.dashboard.pipeline_flow import FlowWatch
from warehouse.dashboard.pipeline_lake import LakeWatch
from warehouse.dashboard.pipeline_shapes import AuditRun, PipelineView, Process, Restated, Supervision, TableState
from warehouse.dashboard.reader import Reader
from warehouse.quality import ledger
from warehouse.quality.ledger import Ledger

KEPT_S = 2.0
AUDITS = 12
RESTATED = 200
_MEMORY_BYTES = 128_000_000
_AUDITS_READ = 3 * AUDITS
"""More are read than shown: those of gold say how many rows a publish had."""

_NOW = "SELECT topic, partition, position FROM live.now"
_LIVE = """
SELECT (SELECT count(*) FROM live.quality_minute) AS rows, (SELECT min(received_at) FROM live.now) AS as_of,
       (SELECT max(written_at) FROM live.meta) AS written_at
"""
_PUBLISHED_ROWS = """
SELECT sum(estimated_size)::BIGINT AS rows FROM duckdb_tables()
WHERE schema_name IN ('gold', 'silver') AND NOT internal
"""
_HAS_RESTATEMENTS = """
SELECT 1 FROM duckdb_columns() WHERE schema_name = 'gold' AND table_name = 'restatements' LIMIT 1
"""
_RESTATED = f"""
SELECT table_name AS "table", CAST(play_date AS VARCHAR) AS day, alternative, metric, old_value, new_value, change,
       events, publish_id, restated_at, count(*) OVER () AS total
FROM warehouse.gold.restatements
ORDER BY restated_at DESC, "table", day DESC NULLS LAST, alternative, metric LIMIT {RESTATED}
"""


class Pipeline(Reader):
    """Not thread-safe. Raises QueryError (timeout) when the published file does not answer in time."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings.warehouse, _MEMORY_BYTES)
        self._settings = settings
        self._clock = clock
        self._flow = FlowWatch(settings)
        self._lake = LakeWatch(settings)
        self._last: tuple[float, PipelineView] | None = None
        self._audits: tuple[int, list[Ledger]] = (0, [])

    def view(self) -> PipelineView:
        """As of now, or of a moment ago."""
        if self._last is None or self._clock() - self._last[0] > KEPT_S:
            view = self._view()
            self._last = (self._clock(), view)  # after it: a reading may take longer than it is kept
        return self._last[1]

    def interrupt(self) -> None:
        """End the question that is under way, from another thread."""
        super().interrupt()
        self._lake.interrupt()

    def close(self) -> None:
        """Let go of the files and of the broker."""
        super().close()
        self._flow.close()

    def _view(self) -> PipelineView:
        publish = self._refresh()
        record = publication.current(self._settings.warehouse)
        now = datetime.now(UTC)
        audits = self._newest_audits()
        workers = {(row["topic"], row["partition"]): row["position"] for row in self._files.ask(_NOW)}
        restated = self._kept("restated", self._restated)
        tables, tables_problem = self._lake.tables(record)
        return PipelineView(
            read_at=to_ms(now),
            publish=publish,
            flow=self._flow.read(workers, to_ms(now)),
            tables=[*self._live(), *tables, *self._published(publish, record)],
            tables_problem=tables_problem,
            letters=self._lake.letters(now),
            publishes=self._lake.publishes(publish.publish_id, audits),
            built_ms=self._built_ms(record),
            audits=[_audit(one) for one in audits[:AUDITS]],
            restated=[Restated(**{name: row[name] for name in Restated.__struct_fields__}) for row in restated],
            restated_total=restated[0]["total"] if restated else 0,
            processes=self._processes(),
            supervisor=self._supervisor(),
        )

    def _live(self) -> list[TableState]:
        """The file of the minutes since the cut-over."""
        told = self._files.one(_LIVE)
        file = publication.live_file(self._settings.warehouse)
        if file is None or told["written_at"] is None:
            return []
        return [_served("live", told["rows"], [file.stat().st_size], to_ms(told["written_at"]), told["as_of"])]

    def _published(self, publish: Publish, record: publication.Publication | None) -> list[TableState]:
        """The files that answer for the past."""
        if record is None:
            return []
        sizes = [path.stat().st_size for name in record.files if (path := self._settings.warehouse / name).exists()]
        rows = self._kept("rows", lambda: self._files.one(_PUBLISHED_ROWS)["rows"])
        return [_served("published", rows, sizes, publish.published_at or 0, min(record.as_of.values(), default=None))]

    def _built_ms(self, record: publication.Publication | None) -> int | None:
        if record is None:
            return None
        built_ms = (self._settings.warehouse / publication.CURRENT).stat().st_mtime_ns // 1_000_000
        return max(0, built_ms - to_ms(record.published_at))

    def _newest_audits(self) -> list[Ledger]:
        """Read again when one was added."""
        folder = ledger.home(self._settings)
        results = folder / "results"
        changed_ns = results.stat().st_mtime_ns if results.is_dir() else 0
        if changed_ns != self._audits[0]:
            self._audits = (changed_ns, ledger.newest(folder, _AUDITS_READ))
        return self._audits[1]

    def _restated(self) -> list[dict[str, Any]]:
        if not self._files.ask(_HAS_RESTATEMENTS):
            return []
        return [row | {"restated_at": to_ms(row["restated_at"])} for row in self._files.ask(_RESTATED)]

    def _processes(self) -> list[Process]:
        state = run_state.read(self._settings)
        return [
            Process(
                name=part.name,
                state=part.state,
                is_well=part.state in ("healthy", "done"),
                since=round(part.since * 1000),
                restarts=part.restarts,
                why=part.why.splitlines()[0] if part.why else "",
                url=part.url,
            )
            for part in (state.parts if state else [])
        ]

    def _supervisor(self) -> Supervision:
        state = run_state.read(self._settings)
        if state is None:
            return "none"
        if state.phase not in ("stopped", "failed") and process_tree.same(state.pid, state.started) is None:
            return "gone"
        return cast("Supervision", state.phase)


def _served(
    layer: Literal["live", "published"], rows: int | None, sizes: list[int], changed_at: int, as_of: datetime | None
) -> TableState:
    return TableState(
        layer=layer,
        table=publication.LIVE if layer == "live" else "DuckDB files",
        version=None,
        published_version=None,
        changed_at=changed_at,
        as_of=known_ms(as_of),
        rows=rows,
        size_bytes=sum(sizes),
        files=len(sizes),
    )


def _audit(one: Ledger) -> AuditRun:
    checks = [check for table in one.tables for check in table.checks]
    return AuditRun(
        run_id=one.run_id,
        layer=one.layer,
        stage_id=one.stage_id,
        checked_at=to_ms(one.started_at) + round(one.seconds * 1000),
        took_ms=round(one.seconds * 1000),
        state=one.state,
        tables=len(one.tables),
        rows=sum(table.rows for table in one.tables),
        passed=sum(check.state == "passed" for check in checks),
        warnings=sum(check.state == "warning" for check in checks),
        failed=sum(check.state in ("failed", "broken") for check in checks),
        wrong=one.lines(),
    )
