"""Which events of a session wait for an earlier one, live, and for how long: by the player's running numbers.

As a TCP receiver does it, what comes in order is never delayed. An event behind a gap in the numbers is held until the
gap is filled, for REORDER_MS of the partition's received clock at most, and with no more than HELD_EVENTS others; then
the gap is given up, and the numbers go on behind it: what is lost costs its session one such wait. An event of a number
that was given up is folded when it comes. So is one that starts anew (numbers begin again at 0), and one without a
number. Which of the events that wait is next depends on the records and their received times alone.

`is_ahead` is the rule. `Waiting` is the buffer in Python, of one session: the parity report replays live with it, and
the stream's compiled one (`streams/live/held.py`) is checked against it.
"""

from __future__ import annotations

from bisect import insort
from operator import attrgetter
from typing import Any, Final, NamedTuple

from infra.shared import shared
from schemas.session_state import ABSENT, Fact

REORDER_MS: Final = 2_000
"""What is sent within a second or two of each other overtakes each other; who was offline comes minutes late."""
HELD_EVENTS: Final = 32
"""Of a session at a time. One that is joined further on than that begins where it is joined."""


@shared
def is_ahead(state: Any, seq: int) -> bool:
    """Whether numbers are missing between those of the session and `seq` (or ABSENT). Players begin at 0 or 1."""
    if seq <= 1 or seq - 1 <= state.seq_max:
        return False
    return bool(state.seq_max != ABSENT or seq <= HELD_EVENTS)


class Held(NamedTuple):
    """An event that waits."""

    seq: int
    offset: int
    """Of its record."""
    until_ms: int
    """Received clock at which it waits no longer."""
    fact: Fact


class Waiting:
    """The events of one session that wait."""

    def __init__(self) -> None:
        self._held: list[Held] = []
        """By number, of one number by offset."""

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, fact: Fact, offset: int, clock_ms: int) -> int:
        """Let an event wait. Returns up to which number nothing is waited for now."""
        assert fact.seq is not None, "an event without a number is ahead of none"
        insort(self._held, Held(fact.seq, offset, clock_ms + REORDER_MS, fact), key=attrgetter("seq", "offset"))
        return self._held[0].seq if len(self._held) > HELD_EVENTS else ABSENT

    @property
    def oldest(self) -> Held | None:
        """Which has waited longest."""
        return min(self._held, key=attrgetter("offset"), default=None)

    def next(self, state: Any, given_up: int = ABSENT) -> Fact | None:
        """The event whose turn it is, taken out. `given_up`: up to this number nothing is waited for."""
        if not self._held or (self._held[0].seq > given_up and is_ahead(state, self._held[0].seq)):
            return None
        return self._held.pop(0).fact
