"""Silver → gold, into the staging area: nobody sees it before it is audited and published."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG
from playlake_assets import GOLD_STAGED, SILVER
from playlake_operator import DEFAULTS, PlaylakeOperator

with DAG(
    "gold",
    description="Silver → staged gold: the days whose sessions changed",
    doc_md="""
`playlake stage gold` recomputes the gold partitions of every day that silver has touched since the last publish, and
leaves them **staged** (`lake/staging/gold`). Published gold is unchanged until `quality` and `publish` have run.
Several silver runs may come together in one run of this DAG; the days come from the Delta log, not from the events.
""",
    schedule=[SILVER],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["batch", "spark"],
):
    PlaylakeOperator(
        task_id="gold",
        commands=[["stage", "gold"]],
        pool="gold",
        outlets=[GOLD_STAGED],
    )
