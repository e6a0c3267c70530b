"""Audited gold → published gold → DuckDB files: the moment at which readers see it, all tables together."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG
from playlake_assets import GOLD_AUDITED, WAREHOUSE
from playlake_operator import DEFAULTS, PlaylakeOperator

with DAG(
    "publish",
    description="Audited gold → what readers see",
    doc_md="""
`playlake publish` replaces gold by the audited stage, one commit a table; `playlake warehouse-build` builds the
immutable DuckDB file from the published versions and swaps it by rename. SQL, dashboard and reports change then, and
not before.
""",
    schedule=[GOLD_AUDITED],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["batch", "warehouse"],
):
    PlaylakeOperator(
        task_id="publish",
        # Gold may have been staged anew since its audit; within one slot the audit is of what gets published.
        commands=[["quality", "gold", "--if-needed"], ["publish"], ["warehouse-build"]],
        pool="gold",
        outlets=[WAREHOUSE],
    )
