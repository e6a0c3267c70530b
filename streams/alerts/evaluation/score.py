"""Simulated incidents and quiet hours, and what the evaluator makes of them: found when, named what, what else."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.alert import Alert
from schemas.quality import PART
from streams.alerts.cohorts import Cohort, contains, make, text
from streams.alerts.evaluation.worlds import MINUTE_MS, START_MS, Rows, minutes_of
from streams.alerts.evaluator import Evaluator, State
from streams.intake.simulation.incidents import KINDS, Incident
from streams.intake.simulation.viewers import APP_VERSIONS, COUNTRIES

STRENGTHS = {"strong": 1.0, "medium": 0.6, "weak": 0.3}
GRACE_MS = 5 * MINUTE_MS
"""What opens so long after an incident's end is still its."""
LEARNING = 20
"""Minutes of a quiet hour that are not counted: the audience gathers."""


@dataclass(frozen=True)
class Hour:
    """What goes wrong in it, if anything, and how strongly."""

    incident: Incident | None = None
    size: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of an hour. `opened`: alerts as they opened; `ended`: the same as they stood last."""

    hour: Hour
    opened: tuple[Alert, ...]
    ended: dict[str, Alert] = field(default_factory=dict)

    @property
    def cause(self) -> Cohort:
        """Who was hit."""
        assert self.hour.incident is not None
        return make(self.hour.incident.where.items())

    @property
    def found(self) -> list[Alert]:
        """Alerts of the incident: open while it lasted, of a cohort that holds those hit, or is held by them."""
        incident = self.hour.incident
        if incident is None:
            return []
        return [alert for alert in self.opened if self._is_its(alert, incident)]

    def _is_its(self, alert: Alert, incident: Incident) -> bool:
        cohort = make(alert.cohort.items())
        is_nested = contains(cohort, self.cause) or contains(self.cause, cohort)
        return is_nested and incident.start_ms < alert.opened_at <= incident.end_ms + GRACE_MS

    @property
    def others(self) -> list[Alert]:
        """False ones."""
        return [alert for alert in self.opened if alert not in self.found]

    @property
    def minutes_to_detect(self) -> float | None:
        """From the incident's beginning to the first alert, with the half minute until a minute is judged."""
        incident = self.hour.incident
        if incident is None or not self.found:
            return None
        return (self.found[0].opened_at + 30_000 - incident.start_ms) / MINUTE_MS

    @property
    def is_named(self) -> bool:
        """Whether the first alert named just those who were hit, when it opened."""
        return bool(self.found) and make(self.found[0].cohort.items()) == self.cause

    @property
    def is_named_in_the_end(self) -> bool:
        """Whether some alert of the incident did when it was last told."""
        return any(make(self.ended[alert.id].cohort.items()) == self.cause for alert in self.found)


def drawn(number: int, seed: int, titles: Sequence[str]) -> Hour:
    """The hour of an incident: kinds and strengths in turn, its cohort drawn as viewers are spread."""
    rng = random.Random(f"incidents/{seed}/{number}")
    kind = list(KINDS)[number % len(KINDS)]
    label = list(STRENGTHS)[number // len(KINDS) % len(STRENGTHS)]
    start_ms = START_MS + rng.randint(28 * MINUTE_MS, 42 * MINUTE_MS)
    end_ms = start_ms + rng.randint(10, 20) * MINUTE_MS
    return Hour(Incident(kind, _where(kind, rng, titles), start_ms, end_ms, STRENGTHS[label]), label)


def _where(kind: str, rng: random.Random, titles: Sequence[str]) -> dict[str, str]:
    country = rng.choices(list(COUNTRIES), [market.weight for market in COUNTRIES.values()])[0]
    cdns = COUNTRIES[country].cdns
    match kind:
        case "cdn-outage":
            return {"country": country, "cdn": rng.choices(list(cdns), list(cdns.values()))[0]}
        case "bad-app-version":
            return {"app_version": rng.choices(list(APP_VERSIONS), list(APP_VERSIONS.values()))[0]}
        case "encoding-error":
            return {"content_id": rng.choice(titles)}
        case _:
            return {"country": country}


def most_watched(rows: Rows, count: int = 8) -> list[str]:
    """The titles that most is watched of."""
    watched: dict[str, int] = {}
    for cells in rows.values():
        for (rollup, title, *_), values in cells.items():
            if rollup == "title" and title:
                watched[title] = watched.get(title, 0) + int(values[PART["watched_ms"]])
    return sorted(watched, key=lambda title: -watched[title])[:count]


def judged(rows: Rows, evaluator: Evaluator, hour: Hour) -> Outcome:
    """Let the evaluator see the minutes of an hour, one after the other."""
    state, opened, ended = State(), [], {}
    for minute in minutes_of(rows):
        state, changes = evaluator.advance(state, minute)
        for change in changes:
            ended[change.alert.id] = change.alert
            if change.kind == "opened" and (hour.incident or minute.minute_s * 1000 >= START_MS + LEARNING * MINUTE_MS):
                opened.append(change.alert)
    for tracked in state.tracked:
        if tracked.is_open:
            ended[tracked.alert.id] = tracked.alert
    return Outcome(hour, tuple(opened), ended)


def told(result: Outcome) -> str:
    """One line."""
    incident = result.hour.incident
    others = ", ".join(f"{alert.metric} {text(make(alert.cohort.items()))}" for alert in result.others)
    if incident is None:
        return f"quiet: {others or 'nothing'}"
    first = result.found[0] if result.found else None
    said = (
        f"{result.minutes_to_detect:.1f} min, {first.metric} {text(make(first.cohort.items()))}" if first else "missed"
    )
    return f"{incident.kind} {text(result.cause)} {result.hour.size}: {said}" + (f"; false: {others}" if others else "")
