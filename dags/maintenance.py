"""Every hour: bronze's small files merged, old logs cleaned; of all layers replaced files deleted."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronTriggerTimetable
from playlake_operator import DEFAULTS, PlaylakeOperator

with DAG(
    "maintenance",
    description="Bronze and dead letters: merge, checkpoint, clean; all layers: vacuum",
    doc_md="""
`playlake maintain`, every hour: the many small files that the bronze sink writes become few large ones once they are an
hour old; old log files go, and so do the files that were replaced more than seven days ago. Readers of a version see
the same rows before and after, the jobs that follow bronze see nothing new, and the sink goes on meanwhile.

`playlake vacuum` deletes what silver and gold no longer need: files that were replaced, or written in vain, more than
seven days ago. It commits nothing, so that no stage is disturbed, and what is published keeps its files.

They can be triggered, retried or left out at any time. Without the first for long: queries and the sink's start grow
slower, and bronze's files that were replaced while it had failed for three days or more stay on the disk.
""",
    schedule=CronTriggerTimetable("30 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["bronze", "maintenance"],
):
    PlaylakeOperator(task_id="maintain", commands=[["maintain"], ["vacuum"]], pool="bronze")
