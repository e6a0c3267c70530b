"""A sink process for tests: `python -m tests.streams.sink_child GROUP [STEP COUNT [SIGNAL]]`.

It sends itself the signal (SIGKILL) when the step with that name comes for the COUNT-th time.
"""

from __future__ import annotations

import os
import signal
import sys

from infra import log
from infra.settings import Settings
from streams.bronze import run


def main(group: str, fatal_step: str = "", count: str = "0", how: str = "SIGKILL") -> None:
    left = int(count)

    def step(name: str) -> None:
        nonlocal left
        if name == fatal_step:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.Signals[how])

    log.setup("sink")
    run(Settings.from_env(), group, step)


if __name__ == "__main__":
    main(*sys.argv[1:])
