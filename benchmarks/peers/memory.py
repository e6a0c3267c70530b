"""The memory of a contestant, read in one way for all of them: by the harness, and in the peers' environment."""

from __future__ import annotations

from pathlib import Path


def peak_mb(pid: int) -> float:
    """The highest resident memory that a running process had, MB.

    Its `getrusage` would say the peak of the harness that started it: that survives the start of a program.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
