"""A run of the simulated audience: the last minutes as fast as it may go, or the next minutes as they happen."""

from __future__ import annotations

import heapq
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from streams.intake.simulation.audience import Audience
from streams.intake.simulation.faults import Arriving, Faults, Kind, Tally, spoil
from streams.intake.simulation.truth import Truth
from streams.intake.targets import Target

log = logging.getLogger(__name__)

BREATH = 100
"""Records between two looks at the clock."""
NAP_S = 0.05
"""Shortest sleep of a live run: what is due meanwhile leaves together, a little late and never early."""


NO_FAULTS = Faults()


@dataclass
class Summary:
    """What a run sent, by topic. `sent` includes the broken records and the duplicates, and not what was lost."""

    sent: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    faults: Tally = field(default_factory=Tally)
    """What was done to the events before they were sent."""
    seconds: float = 0.0

    def count(self, topic: str, kind: Kind) -> None:
        self.sent[topic] += 1
        if kind != "valid":
            (self.broken if kind == "broken" else self.duplicates)[topic] += 1

    def as_dict(self) -> dict[str, object]:
        """For JSON: {"seconds", "topics": {topic: {"sent", "broken", "duplicates", "acknowledged", "rejected", "lost",
        "delayed", "changed"}}}."""
        names = ("sent", "broken", "duplicates", "acknowledged", "rejected")
        done = ("lost", "delayed", "changed")
        topics = {
            topic: {name: getattr(self, name)[topic] for name in names}
            | {name: getattr(self.faults, name)[topic] for name in done}
            for topic in sorted(self.sent | self.faults.lost)
        }
        return {"seconds": round(self.seconds, 3), "topics": topics}


def arriving(
    audience: Audience,
    *,
    faults: Faults = NO_FAULTS,
    events: int | None = None,
    catalogue: bool = True,
    truths: list[Truth] | None = None,
    tally: Tally | None = None,
) -> Iterable[Arriving]:
    """The records of a run, in order; at most `events` of them. The catalogue is announced before anybody watches.

    `truths` gets what really happens in each session, `tally` what is done to its events.
    """
    sent = audience.events(truths)
    if catalogue:
        sent = heapq.merge(audience.catalogue(), sent, key=lambda one: one.at_ms)
    return islice(spoil(sent, audience.seed, faults, tally), events)


def run(
    records: Iterable[Arriving],
    target: Target,
    *,
    rate: float | None = None,
    live: bool = False,
    tally: Tally | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Summary:
    """Send the records and wait for the acknowledgements.

    `rate` bounds the records a second. With `live`, a record waits until it is time for it. `tally`: of these records.
    """
    summary = Summary(faults=tally or Tally())
    began = clock()
    try:
        for number, record in enumerate(records):
            if live or number % BREATH == 0:
                # The moment before which this record must not leave.
                due = max(record.at_ms / 1000 if live else began, began + number / rate if rate else began)
                if (ahead := due - clock()) > 0:
                    target.pause()
                    sleep(max(ahead, NAP_S) if live else ahead)
            target.send(record.topic, record.key, record.value)
            summary.count(record.topic, record.kind)
    except KeyboardInterrupt:
        log.info("stopped by the user; what was sent is still waited for")
    target.finish()
    summary.seconds = clock() - began
    summary.acknowledged, summary.rejected = target.acknowledged, target.rejected
    return summary
