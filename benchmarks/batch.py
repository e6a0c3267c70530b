"""From bronze to silver and gold: the platform's own jobs on Spark, beside DuckDB alone on the same files.

Then what comes late: the same jobs again, for the sessions that it touches. The audit between staging and commit is not
timed: DuckDB has none.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb
from pyspark.errors import PySparkException

from batch import run as jobs
from benchmarks import recording
from benchmarks.bronze import LATE_SESSIONS, SCATTERED, Bronze
from benchmarks.result import Run, Section, interleave, middle, table
from benchmarks.spark import Server, server
from infra.delta_scan import load_delta, scan
from infra.isolated import isolated_settings
from infra.settings import ROOT, Settings
from schemas.stage import Audit, StagedLayer, write_audit

EVENTS = 10_000_000
DAYS = 6
SPARK, DUCKDB = "playlake: Spark, staged and committed", "DuckDB, to Parquet"
LIMIT_S = 900
TABLES = ("sessions", "quality_minute", "quality_hourly", "title_daily", "audience_daily", "views_daily")
"""Made by both. What a column of these says that both have, is compared row by row."""


@dataclass(frozen=True)
class Pass(Run):
    """One run of the jobs, or of DuckDB; `steps`: seconds by job."""

    steps: dict[str, float]


def measure(runs: int, scale: float) -> Section:
    """Both from nothing, interleaved; then late events, time after time."""
    section = Section("batch")
    made = recording.record(int(EVENTS * scale), within_ms=DAYS * 86_400_000)
    with tempfile.TemporaryDirectory(prefix="playlake-bench-") as home:
        settings = isolated_settings(Path(home))
        bronze = Bronze(settings, made, runs)
        print(f"  bronze: {bronze.records:,} records of {bronze.events:,} events, {bronze.size_mb:,.0f} MB", flush=True)
        out = Path(home) / "duckdb"
        lakes = Lakes(settings)
        with server(settings) as spark:
            contestants: dict[str, Callable[[], Pass]] = {
                SPARK: lambda: run_spark(lakes.fresh(), spark, bronze.events),
                DUCKDB: partial(run_duckdb, bronze, out),
            }
            results = interleave(section, contestants, runs, show)
            if SPARK in results and DUCKDB in results:
                compare(lakes.newest, out)
            _report(section, bronze, results, spark)
            if SPARK in results:
                late = [run_late(lakes.newest, spark, bronze, part) for part in (*range(runs), SCATTERED)]
                check_totals(lakes.newest, made)
                _report_late(section, late, middle([run.seconds for run in results[SPARK]]))
    section.add(
        f"{bronze.events:,} events of {DAYS} days ({bronze.records:,} records, {bronze.size_mb:,.0f} MB of Parquet); "
        f"medians of {runs} runs, of late events of all days one run."
    )
    return section


def show(run: Pass) -> str:
    """A line about a run."""
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in run.steps.items())
    return f"{run.seconds:.1f} s ({steps}), {run.cpu_us:.1f} µs of CPU an event"


class Lakes:
    """Lakes of one bronze, each without silver and gold at first. Spark remembers what it has seen at a path."""

    def __init__(self, settings: Settings) -> None:
        """`settings`: of the lake that has bronze."""
        self._settings = self.newest = settings
        self._number = 0

    def fresh(self) -> Settings:
        """Settings of the next lake; the one before it goes."""
        if self._number:
            shutil.rmtree(self.newest.lake_root)
        self._number += 1
        lake = self._settings.home / f"lake-{self._number}"
        lake.mkdir()
        (lake / "bronze").symlink_to(Path(self._settings.lake_root) / "bronze")
        self.newest = replace(self._settings, lake=str(lake))
        return self.newest


def run_spark(settings: Settings, spark: Server, events: int) -> Pass:
    """The jobs of both layers, as `playlake batch` runs them but for the audit. Raises RuntimeError."""
    used = spark.cpu_seconds()
    layers: tuple[StagedLayer, ...] = ("silver", "gold")
    try:
        steps = dict(step for layer in layers for step in _run_layer(settings, layer))
    except PySparkException as error:
        raise RuntimeError(str(error)[:2000]) from None
    return Pass(events, sum(steps.values()), spark.cpu_seconds() - used, spark.jvm_mb + spark.python_mb, steps)


def _run_layer(settings: Settings, layer: StagedLayer) -> Iterator[tuple[str, float]]:
    """Stage and commit; yields the seconds of each."""
    began = time.perf_counter()
    manifest = jobs.stage(settings, layer)
    yield f"{layer} staged", time.perf_counter() - began
    assert manifest is not None, f"{layer}: expected something new, found nothing"
    audit = Audit(
        stage_id=manifest.stage_id,
        layer=layer,
        versions=manifest.versions(),
        passed=True,
        audited_at=datetime.now(UTC),
        failures=[],
    )
    write_audit(settings.lake_root, audit)
    began = time.perf_counter()
    jobs.commit(settings, layer)
    yield f"{layer} committed", time.perf_counter() - began


def run_late(settings: Settings, spark: Server, bronze: Bronze, part: int) -> Pass:
    """Late events come to bronze, and the jobs run."""
    done = run_spark(settings, spark, bronze.add_late(part))
    print(f"  late events: {show(done)}", flush=True)
    return done


def run_duckdb(bronze: Bronze, out: Path) -> Pass:
    """`benchmarks/in_duckdb.sql` in a process of its own. Raises RuntimeError."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.in_duckdb", "--bronze", bronze.path, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return Pass(events=bronze.events, **json.loads(done.stdout.splitlines()[-1]))


def compare(settings: Settings, out: Path) -> None:
    """Raise AssertionError where a table of ours has not the rows that DuckDB's has."""
    with duckdb.connect() as connection:
        load_delta(connection)
        connection.execute("SET TimeZone = 'UTC'")
        for name in TABLES:
            ours = scan(f"{settings.lake_root}/{'silver' if name == 'sessions' else 'gold'}/{name}")
            theirs = f"read_parquet('{out}/{name}{'/**/*' if name == 'sessions' else ''}.parquet')"
            columns, others = (
                [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {one}").fetchall()]
                for one in (ours, theirs)
            )
            both = ", ".join(f'"{column}"' for column in others if column in columns)
            for one, other, whose in ((ours, theirs, "ours"), (theirs, ours, "DuckDB's")):
                query = f"SELECT {both} FROM {one} EXCEPT ALL SELECT {both} FROM {other}"
                if rows := connection.execute(query).fetchmany(3):
                    msg = f"{name}: expected the same rows of both; only {whose} has {rows}"
                    raise AssertionError(msg)


def check_totals(settings: Settings, made: recording.Recording) -> None:
    """Raise AssertionError when the sessions do not add up to the recording, once all has come."""
    sums = "sum(event_count), sum(stall_count), sum(stall_ms), sum(playing_ms), sum(bits_played)"
    with duckdb.connect() as connection:
        load_delta(connection)
        found = connection.execute(f"SELECT {sums} FROM {scan(f'{settings.lake_root}/silver/sessions')}").fetchall()
    expected = tuple(made.totals(len(made.at_ms)).values())
    assert found == [expected], f"expected {expected} of events, stalls, stall_ms, playing_ms and bits, got {found}"


def _report(section: Section, bronze: Bronze, results: dict[str, list[Pass]], spark: Server) -> None:
    times = {name: middle([run.seconds for run in found]) for name, found in results.items()}
    rows = [
        [name, f"{times[name]:.1f}", f"{bronze.events / times[name]:,.0f}",
         f"{times[name] / times[DUCKDB]:.1f} ×" if DUCKDB in times else "",
         f"{middle([run.cpu_us for run in found]):.1f}", f"{max(run.rss_mb for run in found):,.0f}"]
        for name, found in results.items()
    ]  # fmt: skip
    section.add(table(["bronze to gold", "s", "events/s", "of DuckDB", "CPU µs/event", "peak MB"], rows))
    if SPARK in results:
        found = results[SPARK]
        steps = ", ".join(f"{step} {middle([run.steps[step] for run in found]):.1f} s" for step in found[0].steps)
        memory = f"peak of the JVM {spark.jvm_mb:,.0f} MB, of its Python workers together {spark.python_mb:,.0f} MB"
        section.add(f"Of Spark: {steps}; {memory}.")


def _report_late(section: Section, late: list[Pass], full_s: float) -> None:
    *newest, scattered = late
    rows = []
    for name, found in (("of the newest sessions", newest), (f"of sessions of all {DAYS} days", [scattered])):
        seconds = middle([run.seconds for run in found])
        steps = [f"{middle([run.steps[step] for run in found]):.1f}" for step in scattered.steps]
        rows.append([name, f"{found[-1].events:,}", f"{seconds:.1f}", f"{seconds / full_s:.0%}", *steps])
    head = [f"late events, one session in {LATE_SESSIONS}", "events", "s", "of all", *scattered.steps]
    section.add(table(head, rows))
