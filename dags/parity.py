"""What live said, against what has just been published: every difference with its cause."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG
from playlake_assets import WAREHOUSE
from playlake_operator import DEFAULTS, PlaylakeOperator

with DAG(
    "parity",
    description="Live numbers against the published ones",
    doc_md="""
`playlake parity` replays both folds from bronze and compares every row that live and gold publish of the last minutes.
Whatever differs is counted under its cause (late, duplicate, order, still open, ...), to the last unit; a number that
its own records do not give fails the task. Nothing waits for it: what is published stays published.
The dashboard's page Parity shows the last comparisons, and so does `playlake parity --trend 20`.
""",
    schedule=[WAREHOUSE],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["quality", "parity"],
):
    # Maintenance deletes files that the report may be reading: one at a time.
    PlaylakeOperator(task_id="parity", commands=[["parity"]], pool="bronze")
