"""The audit between staging and publishing: a failed check stops the chain here, the previous version stays visible."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG
from playlake_assets import GOLD_AUDITED, GOLD_STAGED
from playlake_operator import DEFAULTS, PlaylakeOperator

with DAG(
    "quality",
    description="Great Expectations over staged gold",
    doc_md="""
`playlake quality gold` runs every check that the tables declare, as Great Expectations suites, on the **staged**
result, and writes the ledger and the Data Docs. A failed check fails the task at once (a retry would find the same
data): `publish` does not run, and readers keep the previous version. The log names table, expectation, observed value
and the first offending rows.
""",
    schedule=[GOLD_STAGED],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["quality", "great-expectations"],
):
    PlaylakeOperator(
        task_id="quality",
        commands=[["quality", "gold"]],
        pool="gold",
        outlets=[GOLD_AUDITED],
    )
