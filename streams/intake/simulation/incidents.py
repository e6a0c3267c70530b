"""What goes wrong in the simulated world, for whom, from when to when: a CDN is out, an app version is bad, a title was
encoded badly, a network limits its subscribers.

An incident acts on causes, never on numbers: lines get slower or narrower, playback fails. Startup, stalls and who
leaves follow from that as they do in life. Viewers whom it does not touch see and do exactly what they do without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from infra.errors import SettingsError
from streams.intake.simulation.catalogue import Title
from streams.intake.simulation.viewers import Viewer

MINUTE_MS = 60_000
DIMENSIONS = ("country", "cdn", "app_version", "content_id", "device_type", "connection_type", "region")
FORM = (
    "KIND:NAME=VALUE,... with KIND one of {kinds}; NAME one of {names} (whom it hits), start (minutes from the run's "
    "beginning, of --live from now; 0), minutes (how long; 15), strength (0 to 1; 1); for example "
    "cdn-outage:country=BR,cdn=north,start=2,minutes=15,strength=0.8"
)


@dataclass(frozen=True)
class Effect:
    """What an incident of full strength does.

    throughput     share of its bandwidth that a line keeps
    most_kbps      bandwidth that no line exceeds
    start_failure  share of attempts that fail before the first frame
    fatal_minutes  mean minutes of playing until it breaks
    codes          the errors' codes
    """

    throughput: float = 1.0
    most_kbps: float = math.inf
    start_failure: float = 0.0
    fatal_minutes: float = math.inf
    codes: tuple[str, ...] = ("MANIFEST_TIMEOUT",)


KINDS = {
    "cdn-outage": Effect(throughput=0.03, start_failure=0.3, codes=("MANIFEST_TIMEOUT", "SEGMENT_TIMEOUT")),
    "bad-app-version": Effect(start_failure=0.35, fatal_minutes=6, codes=("DECODER_INIT_FAILED",)),
    "encoding-error": Effect(start_failure=0.15, fatal_minutes=3, codes=("MEDIA_DECODE",)),
    "rate-limit": Effect(most_kbps=900),
}
"""Kind → what it does at strength 1."""
_WHOLE_KBPS = 30_000.0
"""What a limit of strength 0 would leave: more than any ladder needs."""


@dataclass(frozen=True)
class Incident:
    """Hits who has all values of `where`, in [start_ms, end_ms), Unix ms."""

    kind: str
    where: Mapping[str, str]
    start_ms: int
    end_ms: int
    strength: float = 1.0

    def hits(self, who: Viewer) -> bool:
        """Whether a viewer can be hit, whatever there is to watch."""
        return not who.is_back_end and all(
            value == _of_viewer(who, name) for name, value in self.where.items() if name != "content_id"
        )

    @property
    def effect(self) -> Effect:
        """At the incident's strength, from nothing at 0 to all at 1."""
        full, strength = KINDS[self.kind], self.strength
        return replace(
            full,
            throughput=full.throughput**strength,
            most_kbps=_WHOLE_KBPS * (full.most_kbps / _WHOLE_KBPS) ** strength
            if full.most_kbps < math.inf
            else math.inf,
            start_failure=full.start_failure * strength,
            fatal_minutes=full.fatal_minutes / max(strength, 1e-9),
        )


def parse(text: str, zero_ms: int) -> Incident:
    """`KIND:NAME=VALUE,...`; starts count from `zero_ms`. Raises SettingsError, which shows the form."""
    kind, _, rest = text.partition(":")
    where: dict[str, str] = {}
    numbers = {"start": 0.0, "minutes": 15.0, "strength": 1.0}
    wrong = [] if kind in KINDS else [f"kind {kind!r}"]
    for pair in filter(None, rest.split(",")):
        name, _, value = pair.partition("=")
        if name in numbers and _is_number(value):
            numbers[name] = float(value)
        elif name in DIMENSIONS and value:
            where[name] = value
        else:
            wrong.append(repr(pair))
    if not where or numbers["minutes"] <= 0 or not 0 < numbers["strength"] <= 1:
        wrong.append(repr(text))
    if wrong:
        form = FORM.format(kinds=", ".join(KINDS), names=", ".join(DIMENSIONS))
        msg = f"expected an incident as {form}; got {', '.join(wrong)}"
        raise SettingsError(msg)
    start_ms = zero_ms + round(numbers["start"] * MINUTE_MS)
    return Incident(kind, where, start_ms, start_ms + round(numbers["minutes"] * MINUTE_MS), numbers["strength"])


class Trouble:
    """What incidents do to one viewer's playback of one title."""

    def __init__(self, incidents: Iterable[Incident], who: Viewer, title: Title | None = None) -> None:
        self._effects = [
            (one.start_ms, one.end_ms, one.effect)
            for one in incidents
            if one.hits(who) and one.where.get("content_id") in (None, title.content_id if title else None)
        ]

    def limit(self, at_ms: float, kbps: float) -> float:
        """What is left of a line's bandwidth."""
        for effect in self._now(at_ms):
            kbps = min(kbps * effect.throughput, effect.most_kbps)
        return kbps

    def start_failure(self, at_ms: float) -> Effect | None:
        """What makes attempts fail now."""
        return next((effect for effect in self._now(at_ms) if effect.start_failure), None)

    def break_down(self, at_ms: float, played_ms: float) -> tuple[float, Effect] | None:
        """Chance that playback breaks within `played_ms`, and what breaks it."""
        for effect in self._now(at_ms):
            if effect.fatal_minutes < math.inf:
                return 1 - math.exp(-played_ms / (effect.fatal_minutes * MINUTE_MS)), effect
        return None

    def _now(self, at_ms: float) -> list[Effect]:
        return [effect for start_ms, end_ms, effect in self._effects if start_ms <= at_ms < end_ms]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _of_viewer(who: Viewer, name: str) -> str:
    names = {"device_type": "device", "connection_type": "connection"}
    return str(getattr(who, names.get(name, name)))
