"""A backfill as Airflow's UI asks for it, on a platform whose timetable runs by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from infra.demo import AirflowApi
from tests.e2e.conftest import CHAIN, Platform, running

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def hourly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose silver runs every hour: a backfill makes one run for each hour that has ended."""
    with running(tmp_path_factory.mktemp("hourly"), silver_every_minutes=60) as platform:
        yield platform


def wait_idle(platform: Platform, timeout_s: float = 240) -> None:
    """Wait until Airflow has done what it does by itself when it comes up, and nothing of the chain runs."""
    api = AirflowApi(platform.settings)
    end, since = time.monotonic() + timeout_s, time.monotonic()
    while time.monotonic() - since < 4:
        assert time.monotonic() < end, "the batch chain does not come to rest"
        runs = {dag: api.call("GET", f"dags/{dag}/dagRuns?limit=20")["dag_runs"] for dag in CHAIN}
        if not runs["silver"] or any(run["state"] in ("queued", "running") for some in runs.values() for run in some):
            since = time.monotonic()
        time.sleep(1)


def test_backfill_of_a_day_from_the_ui(hourly: Platform) -> None:
    """What the UI's backfill button sends: the day's runs succeed, and gold follows."""
    wait_idle(hourly)
    hourly.playlake("simulate", "--viewers", "50", "--events", "2000")
    hourly.playlake("reconcile", "--wait", "90", expect=(1,))  # all is in bronze, silver has not run
    hourly.run_chain()
    api = AirflowApi(hourly.settings)
    began = time.time()
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    body = {"dag_id": "silver", "from_date": f"{day}T00:00:00Z", "to_date": f"{day}T00:59:00Z", "max_active_runs": 1}
    backfill = api.call("POST", "backfills", body | {"reprocess_behavior": "completed"})
    while api.call("GET", f"backfills/{backfill['id']}")["completed_at"] is None:
        assert time.time() - began < 240
        time.sleep(2)
    runs = api.call("GET", "dags/silver/dagRuns?order_by=-run_after&limit=50")["dag_runs"]
    states = {run["state"] for run in runs if run["run_type"] == "backfill"}
    assert states == {"success"}, runs
    while (state := api.last_state("publish", began)) != "success":
        assert state != "failed" and time.time() - began < 400, {dag: api.last_state(dag, began) for dag in CHAIN}
        time.sleep(2)
    hourly.playlake("reconcile", "--wait", "60")
