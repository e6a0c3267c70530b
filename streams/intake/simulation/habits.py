"""What a viewer decides: how much to watch, how long to wait, when to pause, jump, leave."""

from __future__ import annotations

import math
import random
from typing import Literal

from streams.intake.simulation.catalogue import MINUTE_MS, Title
from streams.intake.simulation.viewers import Viewer

ACTION_MINUTES = {"smart_tv": 22, "mobile": 12, "web": 14}
"""Mean minutes of playing between pauses and jumps."""
PATIENCE_MS, LEAVING_A_SECOND = 2_000, 0.058
"""Of those who wait for a first frame, 5.8 % more leave with each second beyond the second one (Krishnan 2012)."""
LOST_PER_STALL = 5.0
"""Who waits for 1 % of a title in stalls watches 5 % less of it (Krishnan 2012): 5 ms of media for each ms."""
RATES = (0.5, 1.0, 1.25, 1.5, 2.0)

Act = Literal["rate", "seek", "pause"]


class Habits:
    """The mind of one viewer before one title. `scale`: of all that takes minutes; 1 is life."""

    def __init__(self, rng: random.Random, viewer: Viewer, title: Title, scale: float) -> None:
        self._rng, self._viewer, self._title, self._scale = rng, viewer, title, scale
        self._end = math.inf if title.duration_ms is None else float(title.duration_ms)

    def starting_position(self) -> float:
        """Some go on where they left off."""
        if self._title.is_live or self._rng.random() > 0.25:
            return 0.0
        return float(round(self._end * self._rng.uniform(0.05, 0.8)))

    def wants(self, position: float) -> float:
        """How much of it the viewer will watch from there, ms of media: many try, many stay to the end."""
        rng, scale = self._rng, self._scale
        if self._title.is_live:
            return float(round(max(20_000, scale * rng.expovariate(1 / (25 * MINUTE_MS)))))
        left = self._end - position
        mood = rng.random()
        if mood < 0.25:
            return float(round(min(left, max(5_000, scale * rng.expovariate(1 / (2 * MINUTE_MS))))))
        return left if mood > 0.6 else float(round(left * rng.uniform(0.05, 0.95)))

    def startup_patience_ms(self) -> int:
        """How long nothing may be seen."""
        return PATIENCE_MS + round(self._rng.expovariate(LEAVING_A_SECOND / 1000))

    def stall_patience_ms(self) -> int:
        """How long the picture may stand still."""
        return 2_000 + round(self._rng.lognormvariate(math.log(25_000), 0.8))

    def leaves_ad_after_ms(self) -> int | None:
        """Whether, and how far into a break, an ad is the end of it."""
        return self._rng.randint(1_000, 15_000) if self._rng.random() < 0.03 else None

    def minutes(self, mean: float) -> int:
        """A random time with this mean, ms."""
        return 1 + round(self._rng.expovariate(1 / (mean * self._scale * MINUTE_MS)))

    def next_act_ms(self) -> int:
        return self.minutes(ACTION_MINUTES[self._viewer.device])

    def act(self) -> Act:
        choice = self._rng.random()
        if choice < 0.06 and self._viewer.device != "smart_tv" and not self._title.is_live:
            return "rate"
        return "seek" if choice < 0.5 and not self._title.is_live else "pause"

    def rate(self) -> float:
        return self._rng.choice(RATES)

    def target(self, position: float) -> float:
        """Where to jump: ten seconds on or back, or anywhere."""
        rng = self._rng
        anywhere = rng.random() < 0.4
        target = rng.uniform(0, self._end * 0.9) if anywhere else position + rng.choice((-10, 10)) * 1000
        return float(round(min(max(0.0, target), self._end - 1000)))

    def pause_ms(self) -> int:
        return min(20 * MINUTE_MS, round(self._scale * self._rng.lognormvariate(math.log(45_000), 1.2)) + 1)

    def after_pause(self) -> Literal["resume", "stop"]:
        return "stop" if self._rng.random() < 0.08 else "resume"

    def is_put_away(self) -> bool:
        """A phone's app in the background may be ended by the system, without a word."""
        return self._rng.random() < 0.04

    def fed_up_after_ms(self) -> int:
        """Few do something about a wait: pause and let it load, or jump."""
        return self._rng.randint(300, 4_000) if self._rng.random() < 0.08 else 1 << 62

    def lost_by_stall(self, stall_ms: int) -> float:
        """Media that the viewer won't watch any more."""
        return LOST_PER_STALL * stall_ms
