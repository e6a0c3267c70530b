"""Silver and gold by DuckDB alone: `python -m benchmarks.in_duckdb --bronze DELTA_TABLE --out FOLDER`.

Runs `in_duckdb.sql`, and prints how long it took, its processor time and its peak of memory, as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import time
from pathlib import Path
from string import Template

import duckdb

from benchmarks.peers.memory import peak_mb
from infra.delta_scan import load_delta, scan
from infra.settings import Settings
from schemas.derive import SPARK
from schemas.metrics.macros import session_columns, view_part
from schemas.metrics.parts import VIEW_PARTS
from schemas.quality import MINUTE_MS, PARTS, STARTUP_BUCKETS
from schemas.table import Column
from schemas.tables.sessions import SESSIONS

SQL = Path(__file__).with_suffix(".sql")
_BUCKETS = f"range({STARTUP_BUCKETS})"
HISTOGRAM = (
    f"CASE count(startup_bucket) WHEN 0 THEN NULL"
    f" WHEN 1 THEN list_transform({_BUCKETS}, lambda b: (b = max(startup_bucket))::BIGINT)"
    f" ELSE list_transform({_BUCKETS}, lambda b: coalesce(histogram(startup_bucket)[b], 0)::BIGINT) END"
    " AS startup_histogram"
)
SUMMED = (
    "events", "plays", "starts", "first_frames", "stalls", "stall_ms", "playing_ms", "watched_ms", "media_ms",
    "bits_played", "bitrate_media_ms", "startup_ms", "bitrate_switches",
)  # fmt: skip
"""Parts that the recording has anything of. The others are zeros; `active_sessions` is made of them."""
ZERO = (
    "seeking_ms", "seek_count", "background_ms", "live_latency_sum_ms", "live_latency_samples", "ad_count",
    "ad_error_count", "ad_ms", "ad_stall_ms", "absurd_value_count",
)  # fmt: skip
FALSE = ("is_derived_id", "is_start_failure", "is_playback_failure", "is_business_failure")
UNKNOWN = ("dropped_frames", "error_code")
"""Columns of sessions that the recording says nothing of, by what they have then."""


def statements(bronze: str, out: Path, timeout_ms: int) -> list[str]:
    """The SQL, statement by statement. `bronze`: path of the Delta table."""
    constants = (
        f"{_nothing(column)} AS {column.name}"
        for column in SESSIONS.columns
        if column.name in (*ZERO, *FALSE, *UNKNOWN)
    )
    of_minutes = {part: f"sum({part})" if part in SUMMED else "0" for part in PARTS}
    of_minutes["active_sessions"] = "(sum(watched_ms) > 0)"
    text = Template(SQL.read_text()).substitute(
        bronze=scan(bronze),
        out=out,
        timeout_ms=timeout_ms,
        minute_ms=MINUTE_MS,
        startup_buckets=STARTUP_BUCKETS,
        startup_histogram=HISTOGRAM,
        session_metrics=session_columns(),
        constants=", ".join(constants),
        minute_sums=", ".join(f"{sql}::BIGINT AS {part}" for part, sql in of_minutes.items()),
        sums=", ".join(f"sum({part})::BIGINT AS {part}" for part in PARTS),
        view_parts=", ".join(f"sum({view_part(part)})::BIGINT AS {part}" for part in VIEW_PARTS),
    )
    without_comments = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [statement for statement in without_comments.split(";\n") if statement.strip()]


def _nothing(column: Column) -> str:
    """What a column has where nothing was told."""
    value = "0" if column.name in ZERO else "false" if column.name in FALSE else "NULL"
    return f"{value}::{SPARK[column.type]}"


def main() -> None:
    """Measure one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bronze", required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    timeout_ms = Settings().session_timeout_s * 1000
    with duckdb.connect(config={"threads": 2, "temp_directory": str(asked.out / "tmp")}) as connection:
        load_delta(connection)
        connection.execute("SET TimeZone = 'UTC'")
        began, used = time.perf_counter(), _cpu_s()
        steps: dict[str, float] = {}
        for statement in statements(asked.bronze, asked.out, timeout_ms):
            since = time.perf_counter()
            connection.execute(statement)
            if made := re.search(r"TEMP TABLE (\w+)|TO '.*/(\w+)", statement):
                name = made[1] or made[2]
                steps[name] = steps.get(name, 0) + time.perf_counter() - since
        seconds, used = time.perf_counter() - began, _cpu_s() - used
    print(json.dumps({"seconds": seconds, "cpu_seconds": used, "rss_mb": peak_mb(os.getpid()), "steps": steps}))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
