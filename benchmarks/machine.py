"""The machine that measures: what it is, and whether it is quiet enough to measure on."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path

import psutil

BUSY_SHARE = 0.10
"""More of the machine than this used by others is not quiet."""
WATCH_S = 2.0
PATIENCE_S = 60.0


def machine() -> str:
    """Processor, cores, memory, system."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(": ")[2] if models else platform.machine()
    memory = psutil.virtual_memory().total / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, {platform.system()}"


def versions(environment: Path, *packages: str) -> str:
    """`name version` of packages in an environment."""
    sites = [str(site) for site in environment.glob("lib/python*/site-packages")]
    found = {one.metadata["Name"].lower(): one.version for one in metadata.distributions(path=sites)}
    return ", ".join(f"{name} {found.get(name, 'is not installed')}" for name in packages)


def wait_quiet(patience_s: float = PATIENCE_S) -> str:
    """Wait until the machine does nothing else. Returns a warning if it never was quiet, else an empty text."""
    end = time.monotonic() + patience_s
    while True:
        share = psutil.cpu_percent(WATCH_S) / 100
        if share <= BUSY_SHARE:
            return ""
        if time.monotonic() > end:
            return f"{share:.0%} of the machine was busy before the run (load {os.getloadavg()[0]:.1f})"
