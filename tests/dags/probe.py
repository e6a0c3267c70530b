"""Run by Airflow's own interpreter, where neither pytest nor playlake is.

`probe.py ask QUESTIONS`: a JSON list of [what, argument ...]; the last line of the output is the list of answers.
`probe.py hold`: execute a task until somebody stops it.
"""

import json
import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

DAGS = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
sys.path.insert(0, DAGS)


def dag_bag():
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=DAGS)


def structure() -> dict:
    """What Airflow makes of the folder."""
    bag = dag_bag()
    return {
        "errors": {Path(file).name: error for file, error in bag.import_errors.items()},
        "dags": {dag.dag_id: shape(dag) for dag in bag.dags.values()},
    }


def shape(dag) -> dict:
    return {
        "file": Path(dag.fileloc).name,
        "schedule": [asset.name for asset in getattr(dag.timetable.asset_condition, "objects", [])],
        "paused": dag.is_paused_upon_creation,
        "catchup": dag.catchup,
        "runs_at_once": dag.max_active_runs,
        "tags": sorted(dag.tags),
        "doc": dag.doc_md or "",
        "tasks": {
            task.task_id: {
                "pool": task.pool,
                "owner": task.owner,
                "retries": task.retries,
                "commands": task.commands,
                "outlets": [asset.name for asset in task.outlets],
            }
            for task in dag.tasks
        },
    }


def timetables(*minutes: int) -> dict:
    """What silver's schedule is for so many minutes."""
    from silver import timetable

    return {n: f"{type(timetable(n)).__name__} {getattr(timetable(n), 'expression', '')}".strip() for n in minutes}


def dates(run_type: str, start: str, end: str, first: str = "", last: str = "") -> list:
    """The arguments that silver's command gets in such a run."""
    from silver import dates

    run = SimpleNamespace(
        run_type=run_type,
        data_interval_start=datetime.fromisoformat(start) if start else None,
        data_interval_end=datetime.fromisoformat(end) if end else None,
    )
    return dates({"dag_run": run, "params": {"from": first or None, "to": last or None}})


def run(dag_id: str, conf: dict, fake: dict) -> dict:
    """A whole run of a DAG, in this process, with a playlake that behaves as `fake` says; and how it was called."""
    folder = Path(os.environ["PLAYLAKE_CLI"]).parent
    for path in (*folder.glob("*.do"), *folder.glob("calls.jsonl")):
        path.unlink()
    for command, what in fake.items():
        (folder / f"{command}.do").write_text(what)
    dag = dag_bag().dags[dag_id]
    for task in dag.tasks:
        task.retry_delay, task.retry_exponential_backoff = timedelta(0), 0
    ended = dag.test(run_conf=conf)
    calls = [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]
    return {
        "state": str(ended.state),
        "tasks": {task.task_id: str(task.state) for task in ended.get_task_instances()},
        "argvs": [call["argv"] for call in calls],
        "environment": sorted({name for call in calls for name in call["environment"]}),
    }


def hold() -> None:
    """Execute a task until somebody stops it. SIGTERM does what Airflow's task runner does on SIGTERM."""
    from playlake_operator import PlaylakeOperator

    operator = PlaylakeOperator(task_id="held", commands=[["held"], ["never"]])
    signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    operator.execute({})


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold()
    else:
        answers = [globals()[what](*arguments) for what, *arguments in json.loads(sys.argv[2])]
        print("\n" + json.dumps(answers))
