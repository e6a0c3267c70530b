"""Bronze → silver: every few minutes, because bronze is written by the sink, which Airflow knows nothing of."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk import DAG, CronDataIntervalTimetable, DeltaDataIntervalTimetable, Param
from playlake_assets import SILVER
from playlake_operator import DEFAULTS, PlaylakeOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

EVERY_MINUTES = int(os.environ.get("PLAYLAKE_SILVER_EVERY_MINUTES", "60"))


def timetable(minutes: int) -> CronDataIntervalTimetable | DeltaDataIntervalTimetable:
    """Intervals of so many minutes, on the clock where they divide the hour or the day.

    Data intervals, because a run of a backfill must know which stretch of time it stands for.
    """
    if minutes < 60 and 60 % minutes == 0:
        return CronDataIntervalTimetable(f"*/{minutes} * * * *", timezone="UTC")
    if minutes == 1440:
        return CronDataIntervalTimetable("0 0 * * *", timezone="UTC")
    if minutes % 60 == 0 and minutes < 1440 and 1440 % minutes == 0:
        return CronDataIntervalTimetable(f"0 */{minutes // 60} * * *", timezone="UTC")
    return DeltaDataIntervalTimetable(timedelta(minutes=minutes))


def dates(context: Context) -> list[str]:
    """The dates to restate, both included; none: the bronze versions since the last success."""
    run, params = context["dag_run"], context["params"]
    if run.run_type == "backfill":
        last = run.data_interval_end - timedelta(microseconds=1)  # an interval ends where the next one begins
        return ["--from", run.data_interval_start.date().isoformat(), "--to", last.date().isoformat()]
    if params["from"] or params["to"]:
        return ["--from", params["from"] or params["to"], "--to", params["to"] or params["from"]]
    return []


with DAG(
    "silver",
    description="Bronze → silver: de-duplicated events and viewing sessions",
    doc_md=f"""
Every {EVERY_MINUTES} minutes: `playlake stage silver` takes what the bronze sink has committed since the last success
and recomputes the sessions it touches; `playlake quality silver` audits that; `playlake commit silver` replaces exactly
those rows. With nothing new the task is **skipped**, and nothing downstream wakes.

**To restate a range of dates** (a definition has changed, bronze was mended):
- *Trigger → Backfill* makes one run for each {EVERY_MINUTES} minutes of the range, each of which restates the days it
  lies in; choose *All Runs*, since *Missing Runs* leaves out the intervals that have run on schedule;
- *Trigger → Single Run* with the dates *from* and *to* restates the whole range in one run: better for many days.

Gold, quality and publish follow by themselves. After a definition has changed for all days, `playlake rebuild` makes
silver and gold anew whole.
""",
    schedule=timetable(EVERY_MINUTES),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    params={
        "from": Param(None, type=["null", "string"], format="date", description="First date to restate (UTC)"),
        "to": Param(None, type=["null", "string"], format="date", description="Last date to restate (UTC)"),
    },
    tags=["batch", "spark"],
):
    PlaylakeOperator(
        task_id="silver",
        # One task, one slot: a backfill's runs are counted apart from max_active_runs, and must not come in between.
        commands=[["stage", "silver"], ["quality", "silver"], ["commit", "silver"]],
        arguments=dates,
        pool="silver",
        outlets=[SILVER],
    )
