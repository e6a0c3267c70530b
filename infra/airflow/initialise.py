"""Create or migrate Airflow's database and set its pools. Run by Airflow's own interpreter: `initialise.py POOLS`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main(pools: str) -> int:
    """Exit code of the first command that fails, else 0."""
    airflow = str(Path(sys.executable).with_name("airflow"))
    for arguments in (["db", "migrate"], ["pools", "import", pools]):
        done = subprocess.run([airflow, *arguments], check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
