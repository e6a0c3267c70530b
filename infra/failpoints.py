"""Failpoints: places with a name at which a process ends or stops itself, because the setting `failpoints` says so.

    PLAYLAKE_FAILPOINTS="user_playback_events: before commit=kill@3, dead_letters: after commit=stop"

The third time that the sink is about to commit to that table it kills itself. Nothing but a test sets any: kills from
outside come at random moments, and the moments that matter most last microseconds.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable

from infra.errors import SettingsError

ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
FORM = "name=kill@3, name=stop, ..."

Step = Callable[[str], None]
"""Told the name of each place that is passed."""


def failpoints(setting: str) -> Step:
    """What to call at each place with a name. Raises SettingsError for a setting that is not of that form."""
    armed: dict[str, tuple[signal.Signals, int]] = {}
    for one in filter(None, map(str.strip, setting.split(","))):
        name, equals, then = one.rpartition("=")
        action, _, count = then.partition("@")
        if not equals or action not in ACTIONS or not (count or "1").isdecimal():
            msg = f"failpoints must be `{FORM}` with one of {', '.join(ACTIONS)}, got {one!r}"
            raise SettingsError(msg)
        armed[name.strip()] = ACTIONS[action], int(count or 1)
    if not armed:
        return lambda _name: None
    passed: Counter[str] = Counter()

    def step(name: str) -> None:
        if name in armed:
            passed[name] += 1
            how, at = armed[name]
            if passed[name] == at:
                os.kill(os.getpid(), how)

    return step
