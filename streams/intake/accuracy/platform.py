"""What the platform makes of records, in memory: contract, fact, `sessionize`, row. Batch's path without a lake."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from infra.errors import ContractError
from schemas.event import identity
from schemas.fact import fact_of
from schemas.quality import HEARD_WITHIN_MS
from schemas.registry import EVENT_TOPICS, PLAYBACK
from schemas.session_row import session_row
from schemas.session_state import PLAYING, STALLED, Fact
from schemas.sessionize import sessionize
from streams.intake.simulation.faults import Arriving

ADS = "ads.events"
AD_FIELDS = ("ad_request_id", "ad_id", "sequence", "ad_count", "quartile")
TIMEOUT_MS = 1_800_000
LONG_MS = 30 * 86_400_000


@dataclass
class Measured:
    """What the platform knows when everything has come.

    sessions   rows of silver.sessions
    ads        rows of silver.ad_events, the fields that metrics need
    rejected   records that broke their contract, by reason
    """

    sessions: list[dict[str, Any]] = field(default_factory=list)
    ads: list[dict[str, Any]] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    groups: dict[str, list[Fact]] = field(default_factory=lambda: defaultdict(list))

    @cached_property
    def _heard(self) -> dict[str, tuple[int, int]]:
        """When the first and the last event of each group came."""
        stamps = {group: [fact.received_ms for fact in facts] for group, facts in self.groups.items()}
        return {group: (min(found), max(found)) for group, found in stamps.items()}

    def concurrent(self, at_ms: int) -> int:
        """Sessions that play or are stalled at a moment, and were heard from lately, of what has come until then."""
        watching = 0
        for group, facts in self.groups.items():
            first_ms, last_ms = self._heard[group]
            if not first_ms <= at_ms <= last_ms + HEARD_WITHIN_MS:
                continue
            heard = max((fact.received_ms for fact in facts if fact.received_ms <= at_ms), default=0)
            if heard >= at_ms - HEARD_WITHIN_MS:
                come = [fact for fact in facts if fact.received_ms <= at_ms]
                *_, (last, _) = sessionize(come, TIMEOUT_MS)
                watching += last.phase in (PLAYING, STALLED)
        return watching


def measure(records: Iterable[Arriving]) -> Measured:
    """Take in the records of playback and of ads."""
    found = Measured()
    newest = 0
    told: set[str] = set()
    for record in records:
        if record.topic not in (PLAYBACK.name, ADS):
            continue
        newest = max(newest, record.at_ms)
        try:
            event = EVENT_TOPICS[record.topic].decode(record.value)
        except ContractError as error:
            found.rejected[error.reason] += 1
            continue
        value = record.value or b""
        if record.topic == PLAYBACK.name:
            fact = fact_of(value, event, record.at_ms)
            found.groups[fact.group_id].append(fact)
        elif (event_id := identity(value, event)) not in told:
            told.add(event_id)
            fields = {name: getattr(event, name, None) for name in AD_FIELDS}
            found.ads.append({"event_type": event.event_type, **fields})
    found.sessions = [row for facts in found.groups.values() for row in _rows(facts, newest + LONG_MS)]
    return found


def _rows(facts: Sequence[Fact], now_ms: int) -> Iterable[dict[str, Any]]:
    for state, minutes in sessionize(facts, TIMEOUT_MS):
        yield session_row(state, minutes, now_ms, TIMEOUT_MS)
