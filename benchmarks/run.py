"""All measurements, or one: `python -m benchmarks.run [--only fold] [--runs 5] [--scale 1]`, which `make bench` calls.

Writes the tables into `docs/benchmarks.md`, each part into its place, so that one part can be measured again alone.
With a scale below 1 (a trial) nothing is written.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import time
from collections.abc import Callable

from benchmarks import report
from benchmarks.machine import machine
from benchmarks.result import FAILURES, Section

PARTS: dict[str, str] = {
    "fold": "stream: decode, session fold, minute rollup, beside the peers",
    "delta": "Kafka to Delta, rows a second",
    "latency": "from an event to the live topic and to SQL",
    "batch": "bronze to silver and gold, beside DuckDB; late events",
    "serving": "answers over 100 M sessions: dashboard, pages, rollups, many at once",
    "recovery": "from the kill of a worker until it goes on; memory of open sessions",
}
"""Part → what it measures. Each is a module with `measure(runs, scale) -> Section`."""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"parts, comma-separated, of {', '.join(PARTS)}")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contestant; the median counts")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the input, e.g. 0.02 for a trial")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else list(PARTS)
    if unknown := set(names) - PARTS.keys():
        sys.exit(f"unknown part {', '.join(sorted(unknown))}; expected one of {', '.join(PARTS)}")
    # As Ctrl-C: what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(machine(), flush=True)
    failed: list[str] = []
    for name in names:
        print(f"\n== {name}: {PARTS[name]}", flush=True)
        began = time.monotonic()
        run: Callable[[int, float], Section] = importlib.import_module(f"benchmarks.{name}").measure
        try:
            section = run(asked.runs, asked.scale)
        except FAILURES as error:
            failed.append(name)
            print(f"\n{name} could not be measured: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            continue
        print(f"\n({name} took {time.monotonic() - began:.0f} s)", flush=True)
        if asked.scale == 1:
            report.write(section)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
