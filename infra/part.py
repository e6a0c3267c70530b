"""One part of the platform alone: what a container runs, where on one machine the supervisor runs them all.

    python -m infra.part run collector      becomes that process
    python -m infra.part check collector    ends with 0 when it answers, else says what was seen

What a part is stands in `infra/processes.py` only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from infra import process_tree
from infra.errors import PlaylakeError, ProcessError, SettingsError
from infra.health import NoWitnessError
from infra.processes import Part, parts
from infra.settings import Settings

HEARTBEAT_S = 60.0
"""A component that reports by heartbeat must have done so within this time."""


def named(settings: Settings, name: str) -> Part:
    """The part of that name. Raises SettingsError when the settings call for none."""
    every = parts(settings)
    found = next((part for part in every if part.name == name), None)
    if found is None:
        msg = f"no part {name!r} with these settings; there are {', '.join(part.name for part in every)}"
        raise SettingsError(msg)
    return found


def run(settings: Settings, part: Part) -> None:
    """Become the part's process; a part that runs once is run to its end. Raises ProcessError when that fails."""
    if part.once and part.is_done():
        return
    part.prepare()
    argv, env = part.argv(), process_tree.environment(settings) | dict(part.env())
    os.chdir(part.cwd)
    if not part.once:
        os.execvpe(argv[0], argv, env)
    code = subprocess.run(argv, env=env, check=False).returncode
    if code:
        msg = f"{part.name} failed with exit code {code}"
        raise ProcessError(msg)
    part.finish()


def check(part: Part) -> None:
    """Raises ProcessError with what was seen instead of an answer."""
    try:
        seen = part.health(time.time() - HEARTBEAT_S) if part.health else None
    except NoWitnessError as error:
        seen = str(error)
    if seen is not None:
        msg = f"{part.name} is not up: {seen}"
        raise ProcessError(msg)


def main(arguments: list[str]) -> int:
    """Exit code."""
    try:
        match arguments:
            case ["run", name]:
                settings = Settings.from_env()
                run(settings, named(settings, name))
            case ["check", name]:
                check(named(Settings.from_env(), name))
            case _:
                msg = f"expected `run NAME` or `check NAME`, got {' '.join(arguments) or 'nothing'}"
                raise SettingsError(msg)
    except PlaylakeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
