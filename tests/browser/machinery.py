"""What stands behind the numbers, as batch and the supervisor leave it: publishes, audits, restatements, processes.

Records, dead letters and their positions are not made here: a real broker and a real sink have them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psutil
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from infra import run_state
from infra.kafka import producer_config
from infra.run_state import PartState, RunState
from infra.settings import Settings
from schemas.derive import arrow_schema
from schemas.progress import Progress
from schemas.registry import LIVE_QUALITY, PLAYBACK
from schemas.standing import Standing
from schemas.tables.restatements import RESTATEMENTS
from tests.warehouse.lake import QUALITY_SCHEMA, SESSIONS_SCHEMA, Lake, quality_row, session_row
from warehouse import build
from warehouse.quality import ledger
from warehouse.quality.ledger import CheckResult, Ledger, TableResult

WRONG = CheckResult(check="unique(session_id)", severity="fail", expectation="x", success=False, observed=3)
FINE = CheckResult(check="rows(min=1)", severity="fail", expectation="x", success=True, observed=60)
DOUBTFUL = CheckResult(check="range(startup_ms)", severity="warn", expectation="x", success=False, observed=2)


@dataclass
class Machinery:
    """The state folder and the lake of `settings`. `at` is now."""

    settings: Settings
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def publish(self, minutes_ago: int, restated: int) -> str:
        """One publish, which changed so many figures; its id."""
        began = self.at - timedelta(minutes=minutes_ago)
        cutover = began.replace(second=0, microsecond=0) - timedelta(minutes=5)
        publish_id = f"{began:%Y%m%dT%H%M%S}-7f3a"
        minutes = [cutover - timedelta(minutes=back) for back in range(1, 61)]
        quality = [quality_row(at, plays=9, watched_ms=540_000, stall_ms=3_000) for at in minutes]
        sessions = [session_row(number, cutover.date()) for number in range(1, 4)]
        changed = [self._restated(n, publish_id, began) for n in range(restated)]
        told = Progress(stage_id=publish_id, now=began - timedelta(seconds=20))
        versions = {
            "gold.quality_minute": self._commit("gold.quality_minute", quality, QUALITY_SCHEMA, told),
            "silver.sessions": self._commit("silver.sessions", sessions, SESSIONS_SCHEMA, told),
            RESTATEMENTS.full_name: self._commit(
                RESTATEMENTS.full_name, changed, arrow_schema(RESTATEMENTS.columns), told
            ),
        }
        as_of = {name: told.now for name in versions if name.startswith("gold.") and told.now}
        Lake(self.settings).request(publish_id, versions, cutover, as_of)
        build.build(self.settings)
        self._audit("silver", publish_id, began - timedelta(seconds=40), [FINE, FINE, DOUBTFUL], 3)
        self._audit("gold", publish_id, began, [FINE, FINE], 60 + restated)
        return publish_id

    def fail_an_audit(self) -> None:
        """The newest one, of silver."""
        self._audit("silver", "20990101T000000-bad", self.at, [FINE, WRONG], 3)

    def processes(self) -> None:
        """A supervisor that lives as long as this process; one of its parts does not."""
        well = ("broker", "topics", "collector", "stream-0", "sink", "server", "spark", "airflow-api-server")
        since = self.at.timestamp() - 5_400
        parts = [PartState(name, "done" if name == "topics" else "healthy", since) for name in well]
        why = "ended with exit code 1; next start in 4.0 s"
        parts.append(PartState("airflow-triggerer", "backing off", self.at.timestamp() - 3, restarts=4, why=why))
        me = psutil.Process()
        run_state.write(self.settings, RunState(os.getpid(), me.create_time(), "up", parts=parts))

    def workers_stand_at(self, behind: dict[int, int], ends: dict[tuple[str, int], int]) -> None:
        """What stream workers of the playback topic say of themselves, `behind` records by partition."""
        from confluent_kafka import Producer

        producer = Producer(producer_config(self.settings, {}))
        for partition, lag in behind.items():
            at = round(self.at.timestamp() * 1000)
            position = ends[PLAYBACK.name, partition] - lag
            said = Standing(topic=PLAYBACK.name, partition=partition, at=at, clock=at, position=position)
            key, value = said.record()
            producer.produce(LIVE_QUALITY.name, value, key)
        assert producer.flush(30) == 0

    def _commit(self, table: str, rows: list[dict[str, Any]], schema: pa.Schema, told: Progress) -> int:
        path = f"{self.settings.lake_root}/{table.replace('.', '/')}"
        note = CommitProperties(custom_metadata={"userMetadata": told.to_json()})
        write_deltalake(path, pa.Table.from_pylist(rows, schema=schema), mode="overwrite", commit_properties=note)
        return DeltaTable(path).version()

    def _audit(self, layer: str, stage_id: str, at: datetime, checks: list[CheckResult], rows: int) -> None:
        table = TableResult(table=f"{layer}.one", version=1, rows=rows, seconds=1.5, checks=checks)
        told = Ledger(
            run_id=f"{at:%Y%m%dT%H%M%S}-{layer}",
            stage_id=stage_id,
            layer=layer,
            started_at=at,
            seconds=3.5,
            tables=[table],
        )
        ledger.write(ledger.home(self.settings), told)

    def _restated(self, number: int, publish_id: str, at: datetime) -> dict[str, Any]:
        names = ("watched_ms", "plays", "stall_ms")
        old = 1_000_000 + 7_919 * number
        return {
            "table_name": "gold.quality_minute" if number % 2 else "gold.title_daily",
            "play_date": date(2026, 11, 20) - timedelta(days=number // 3),
            "alternative": "total" if number % 2 else None,
            "metric": names[number % 3],
            "old_value": old,
            "new_value": old + 312 * (number - 2),
            "change": 312 * (number - 2),
            "records": 14,
            "events": 11,
            "old_as_of": at - timedelta(minutes=30),
            "new_as_of": at,
            "silver_stage_id": publish_id,
            "publish_id": publish_id,
            "version": 1,
            "restated_at": at + timedelta(seconds=25),
        }
