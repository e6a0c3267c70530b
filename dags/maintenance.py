"""Every hour: small files merged, bronze's old logs cleaned, replaced files of all layers deleted."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronTriggerTimetable
from playlake_operator import DEFAULTS, PlaylakeOperator

with DAG(
    "maintenance",
    description="Small files merged, old ones deleted, in all layers",
    doc_md="""
`playlake maintain`: the many small files that the bronze sink writes become few large ones once they are an hour old;
old log files go, and so do the files that were replaced more than seven days ago. The sink goes on meanwhile.

`playlake tidy`: the same of what the hourly runs leave in silver; and what silver and gold no longer need is deleted:
files that were replaced, or written in vain, more than seven days ago. What is published keeps its files. It has the
slot of the silver job: a stage that waits bears it that files are merged, but a merge that another commit comes before
has been made in vain.

Readers of a version see the same rows before and after, and the jobs that follow the changes see nothing new. Both can
be triggered, retried or left out at any time. Without them for long: queries and the sink's start grow slower, and
bronze's files that were replaced while the first had failed for three days or more stay on the disk.
""",
    schedule=CronTriggerTimetable("30 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["bronze", "silver", "maintenance"],
):
    PlaylakeOperator(task_id="maintain", commands=[["maintain"]], pool="bronze")
    PlaylakeOperator(task_id="tidy", commands=[["tidy"]], pool="silver")
