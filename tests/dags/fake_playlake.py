#!/usr/bin/env python3
"""Stands in for the playlake executable: writes down how it was called, then does what `<folder>/<command>.do` says."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

folder = Path(__file__).resolve().parent
command = sys.argv[1]
told = folder / f"{command}.do"
do = told.read_text().split() if told.exists() else []
held = subprocess.Popen(["sleep", "120"]) if do[:1] == ["hold"] else None
call = {
    "argv": sys.argv[1:],
    "pids": [os.getpid()] + ([held.pid] if held else []),
    "environment": sorted(name for name in os.environ if name.startswith(("AIRFLOW", "PYTHON", "PLAYLAKE"))),
}
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(call) + "\n")
print(f"fake {command} at {time.time()}", flush=True)
if held:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a clean stop is no success of the task
    held.wait()
if do[:1] == ["once"]:
    told.unlink()
sys.exit(int(do[1]) if do[:1] in (["exit"], ["once"]) else 0)
