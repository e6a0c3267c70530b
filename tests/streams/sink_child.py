"""A sink process for tests: `python -m tests.streams.sink_child [--newer] GROUP [STEP COUNT [SIGNAL]]`.

It sends itself the signal (SIGKILL) when the step with that name comes for the COUNT-th time; with SLOW for a signal it
rests for COUNT seconds each time. `--newer`: its contract
is that of `newer_contract.py`.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from infra import log
from infra.settings import Settings


def main(group: str, fatal_step: str = "", count: str = "0", how: str = "SIGKILL") -> None:
    left = int(count)

    def step(name: str) -> None:
        nonlocal left
        if name == fatal_step and how == "SLOW":
            time.sleep(int(count))
        elif name == fatal_step:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.Signals[how])

    from streams.bronze import run

    log.setup("sink")
    run(Settings.from_env(), group, step)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[0] == "--newer":
        from tests.streams.newer_contract import install

        install()
        arguments.pop(0)
    main(*arguments)
