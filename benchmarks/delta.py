"""Kafka → Delta, rows a second: our sink as it is shipped, beside what one would write with the same library.

The alternative consumes, decodes with the types checked, appends with `write_deltalake` and commits the offsets after:
at least once (a crash in between doubles rows), no dead letters, no fsync. Both see the same records and commits of the
same size.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial

import httpx
import psutil
from deltalake import DeltaTable

from benchmarks import recording
from benchmarks.fold import PEERS, show
from benchmarks.peers.memory import peak_mb
from benchmarks.result import Run, Section, interleave, middle, table
from benchmarks.stage import Stage, stage
from infra.waiting import until
from schemas.registry import PLAYBACK, TOPICS

EVENTS = 2_000_000
LIMIT_S = 120.0
OURS, PLAIN = "playlake sink", "`write_deltalake`, then commit"
GUARANTEES = {OURS: "exactly once, fsynced, dead letters", PLAIN: "at least once"}


def measure(runs: int, scale: float) -> Section:
    """Both, interleaved."""
    section = Section("delta")
    events = int(EVENTS * scale)
    made = recording.record(events)
    with stage() as on:
        on.make(*TOPICS)
        recording.write(on.settings, made, {PLAYBACK.name: events})
        contestants = {OURS: partial(run_sink, on, events), PLAIN: partial(run_plain, on, events)}
        results = interleave(section, contestants, runs, show)
    rates = {name: middle([run.rate for run in found]) for name, found in results.items()}
    rows = [
        [name, f"{rates[name]:,.0f}", f"{rates[OURS] / rates[name]:.2f} ×" if OURS in rates else "",
         f"{middle([run.cpu_us for run in found]):.2f}", f"{middle([run.rss_mb for run in found]):.0f}",
         GUARANTEES[name]]
        for name, found in results.items()
    ]  # fmt: skip
    section.add(table(["one process", "rows/s", "the sink is", "CPU µs/row", "peak MB", "after a crash"], rows))
    section.add(
        f"{events:,} rows, medians of {runs} runs; from the first record asked for to the last row committed, counted "
        "in the Delta tables. kafka-delta-ingest (Rust) has no build to install and was not run; Spark's Kafka source "
        "does not resolve for this Spark; Flink has no Delta sink on PyPI."
    )
    return section


def run_sink(on: Stage, events: int) -> Run:
    """`streams.bronze` with a lake of its own: from its claim to the last row. Raises TimeoutError."""
    name = on.fresh("lake")
    lake = on.settings.home / name
    sink = on.start("sink", [sys.executable, "-m", "streams.bronze"], {"PLAYLAKE_LAKE": str(lake)})
    page = f"http://{on.settings.host}:{on.settings.sink_metrics_port}/metrics"
    process = psutil.Process(sink.pid)
    try:
        with httpx.Client(timeout=10) as client:
            until(
                "the sink's claim", lambda: _sum(client, page, "playlake_sink_claims_total") > 0, LIMIT_S, every_s=0.02
            )
            began, used = time.perf_counter(), sum(process.cpu_times()[:2])
            until(
                f"{events} rows",
                lambda: _sum(client, page, "playlake_sink_rows_total") >= events,
                LIMIT_S,
                every_s=0.02,
            )
            sink.check()
        seconds, used = time.perf_counter() - began, sum(process.cpu_times()[:2]) - used
        peak = peak_mb(sink.pid)
    finally:
        sink.stop()
    rows = DeltaTable(str(lake / "bronze" / PLAYBACK.bronze_table)).to_pyarrow_dataset().count_rows()
    assert rows == events, f"expected {events} rows in bronze, found {rows}"
    return Run(events, seconds, used, peak)


def run_plain(on: Stage, events: int) -> Run:
    """The alternative. Raises RuntimeError, AssertionError."""
    name = on.fresh("plain")
    lake = on.settings.home / name
    process = on.start(
        name,
        [sys.executable, PEERS / "plain_delta.py", "--bootstrap", on.settings.bootstrap, "--topic", PLAYBACK.name,
         "--events", str(events), "--out", name, "--home", lake],
    )  # fmt: skip
    until("its end", lambda: process.process.poll() is not None, LIMIT_S)
    lines = [line for line in process.log.read_text().splitlines() if line.startswith('{"events"')]
    if not lines:
        raise RuntimeError(process.tail())
    rows = DeltaTable(str(lake)).to_pyarrow_dataset().count_rows()
    assert rows == events, f"expected {events} rows, found {rows}"
    return Run(**json.loads(lines[-1]))


def _sum(client: httpx.Client, page: str, metric: str) -> float:
    try:
        text = client.get(page).text
    except httpx.HTTPError:
        return 0.0
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(metric))
