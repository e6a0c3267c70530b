"""`playlake demo`: the main job on embedded defaults, by the commands and addresses that a user has.

Start everything, send an hour of viewing, keep viewers watching, let Airflow run the batch chain, answer in SQL.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from infra import process_tree, report
from infra.airflow import environment as airflow
from infra.errors import ProcessError
from infra.processes import PLAYLAKE
from infra.settings import Settings

PLAYBACK_TOPIC = "user.playback.events"
CHAIN = ("silver", "gold", "quality", "publish")
"""The DAGs between an event and a published number; each wakes the next."""
APPLIED_SQL = "SELECT coalesce(sum(applied), 0)::BIGINT AS applied FROM live.now"
NOW_SQL = "FROM metrics.pulse"
LIVE_SQL = """
SELECT minute, active_sessions, plays, first_frames, stalls, round(watched_ms / 60000) AS watched_minutes
FROM live.quality_minute WHERE rollup = 'total' ORDER BY minute DESC LIMIT 5
"""
ANSWER_SQL = """
SELECT country, sum(plays) AS plays, round(sum(watched_ms) / 3.6e6, 1) AS hours_watched,
       round(startup_quantile_ms(startup_histogram, 0.5)) AS startup_p50_ms,
       round(startup_quantile_ms(startup_histogram, 0.95)) AS startup_p95_ms,
       round(100 * stalled_share(stall_ms, watched_ms), 2) AS stalled_percent
FROM metrics.quality_minute WHERE rollup = 'country_device'
GROUP BY country ORDER BY plays DESC LIMIT 8
"""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Size:
    """How much is simulated."""

    viewers: int = 500
    minutes: int = 60
    rate: int = 6000
    watching: int = 3000
    """Accounts that visit within the hour while the platform runs; about one in fourteen watches at a time."""


def settings_of(settings: Settings, size: Size) -> Settings:
    """The settings that a demonstration changes."""
    return replace(
        settings, simulated_viewers=size.watching, silver_every_minutes=min(5, settings.silver_every_minutes)
    )


def run(settings: Settings, size: Size, say: Say) -> None:
    """Show the platform at work and leave it running. Raises ProcessError when a step does not come to its end."""
    began = time.monotonic()
    demo = settings_of(settings, size)
    say("1  Starting every part")
    _playlake(demo, "up", "--detach")
    say(f"\n2  Sending {size.minutes} minutes of simulated viewing ({size.viewers} viewers)")
    _wait_applied(demo, _send_history(demo, size))
    say("\n3  Live, with simulated viewers who go on watching")
    _playlake(demo, "sql", NOW_SQL)
    _playlake(demo, "sql", LIVE_SQL)
    say("\n4  Airflow: bronze → silver → gold → quality → published")
    _run_chain(demo, say)
    say("\n5  SQL over live and history: which countries watch, and how well it plays")
    _playlake(demo, "sql", ANSWER_SQL)
    say("")
    report.print_addresses(report.console(), demo)
    say(f"\nAll this in {time.monotonic() - began:.0f} s. It goes on running: `make status`, `make down`.")


def _playlake(settings: Settings, *arguments: str, capture: bool = False) -> str:
    """Run a command as a user would, its output shown, or returned with `capture`."""
    out = subprocess.PIPE if capture else None
    done = subprocess.run(
        [PLAYLAKE, *arguments], env=process_tree.environment(settings), stdout=out, text=True, check=False
    )
    if done.returncode:
        msg = f"playlake {arguments[0]} ended with exit code {done.returncode}; what it said stands above"
        raise ProcessError(msg)
    return done.stdout or ""


def _send_history(settings: Settings, size: Size) -> int:
    """Simulate the last minutes as fast as `rate` allows; the number of playback records that Kafka has taken."""
    summary = settings.home / "demo.json"
    how_much = {"--viewers": size.viewers, "--minutes": size.minutes, "--rate": size.rate}
    options = [text for option, value in how_much.items() for text in (option, str(value))]
    _playlake(settings, "simulate", *options, "--summary", str(summary))
    return int(json.loads(summary.read_text())["topics"][PLAYBACK_TOPIC]["acknowledged"])


def _wait_applied(settings: Settings, records: int, timeout_s: float = 120) -> None:
    """Wait until SQL says that the stream worker has applied so many records."""
    end = time.monotonic() + timeout_s
    while (applied := _applied(settings)) < records:
        if time.monotonic() > end:
            msg = f"the stream worker has applied {applied} of {records} records after {timeout_s:.0f} s"
            raise ProcessError(msg)
        time.sleep(1)


def _applied(settings: Settings) -> int:
    answer = json.loads(_playlake(settings, "sql", "--format", "json", APPLIED_SQL, capture=True))
    return int(answer["rows"][0][0])


def _run_chain(settings: Settings, say: Say, timeout_s: float = 900) -> None:
    """Trigger the first DAG and wait until the last one has succeeded on what it brought."""
    api = AirflowApi(settings)
    run_id = f"demo-{time.time_ns() // 1_000_000_000}"
    api.call("POST", "dags/silver/dagRuns", {"dag_run_id": run_id, "logical_date": None})
    began, shown = time.time(), ""
    while time.time() - began < timeout_s:
        states = {dag: api.last_state(dag, since=began) for dag in CHAIN}
        line = "   " + "  ".join(f"{dag}: {state}" for dag, state in states.items())
        if line != shown:
            say(line)
            shown = line
        if "failed" in states.values():
            break
        if states["publish"] == "success":
            return
        time.sleep(2)
    msg = f"the batch chain did not come to its end:{shown}; its logs are at {airflow.url(settings)}"
    raise ProcessError(msg)


class AirflowApi:
    """What the demonstration needs of Airflow's REST interface."""

    def __init__(self, settings: Settings) -> None:
        self._url = airflow.url(settings)
        user, password = airflow.login(settings)
        self._token = self._send("POST", "/auth/token", {"username": user, "password": password})["access_token"]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Answer of `/api/v2/<path>`. Raises ProcessError with what Airflow says."""
        return self._send(method, f"/api/v2/{path}", body)

    def last_state(self, dag: str, since: float) -> str:
        """State of the newest run queued after `since` (Unix s): queued, running, success, failed; or waiting."""
        runs = self.call("GET", f"dags/{dag}/dagRuns?order_by=-run_after&limit=5")["dag_runs"]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since - 1))
        states = [run["state"] for run in runs if (run["queued_at"] or run["run_after"]) >= stamp]
        return str(states[0]) if states else "waiting"

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if hasattr(self, "_token"):
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            msg = f"Airflow answered {error.code} to {method} {path}: {error.read().decode(errors='replace')[:300]}"
            raise ProcessError(msg) from None
