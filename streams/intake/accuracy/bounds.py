"""What is done to events in each scenario of the report, and how far each metric may be off then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.intake.simulation.faults import Faults


@dataclass(frozen=True)
class Scenario:
    """A fault at a rate.

    percent      how far a metric may be off, per cent of the truth
    points       how far a share may be off, points
    wider        metrics with a bound of their own, and that bound; by the beginning of their name
    """

    name: str
    what: str
    faults: Faults
    percent: float = 0.0
    points: float = 0.0
    wider: Mapping[str, float] = field(default_factory=dict)

    def bound(self, question: str, is_share: bool) -> float:
        """The largest error that is stated for a question."""
        named = [bound for name, bound in self.wider.items() if question.startswith(name)]
        return max(named) if named else self.points if is_share else self.percent

    def stated(self) -> str:
        """For the page."""
        if not self.percent and not self.points and not self.wider:
            return "0 for everything"
        general = f"{self.percent:g} %, shares {self.points:g} pt"
        wider = ", ".join(f"{name} {bound:g}" for name, bound in self.wider.items())
        return f"{general}; {wider}" if wider else general


_NOW = {"concurrent_viewers": 3.0}
"""Counted at a moment, of what has come until then: what is not there yet is not seen."""
_GONE = {"dropped_view_rate": 2.0, "startup_": 6.0, "stall": 8.0, "ad_": 2.0}
"""Where each event counts by itself: a lost `stop` makes a dropped view, a lost `ad_start` a long startup, and of few
stalls or ads one more or less is much."""

SCENARIOS = (
    Scenario("no fault", "nothing", Faults()),
    Scenario("loss", "1 % of the events never come", Faults(loss=0.01), 3.0, 0.5, _GONE),
    Scenario("duplicates", "1 % come again within a minute", Faults(duplicates=0.01)),
    Scenario("disorder", "5 % come up to 5 s later", Faults(disorder=0.05), wider=_NOW),
    Scenario("lateness", "2 % come minutes to days later", Faults(lateness=0.02), wider=_NOW),
    Scenario(
        "clock skew",
        "of 5 % of the viewers the clock is off, by seconds to hours",
        Faults(skew=0.05),
        2.0,
        0.3,
        {"startup_": 4.0, "stall_ms minute by minute": 10.0},
    ),
    Scenario(
        "schema drift",
        "the apps of 5 % of the viewers left the contract",
        Faults(drift=0.05),
        5.0,
        1.0,
        {"bitrate_switch": 8.0},
    ),
    Scenario("broken", "1 % break their contract", Faults(broken=0.01), 3.0, 0.5, _GONE),
)
