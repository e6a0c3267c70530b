"""The evaluator: (state, one settled minute) → (state, what changed). Pure: no clock but the minutes', no I/O.

An alert opens when its cohort is out of range in so many minutes in a row, and closes when it is back for so many in a
row: at a limit that is further back than the one it passed, so that nothing flutters around one. What a rule or a
metric says of a cohort that an open alert explains is that alert, not another one. Restarting with the same state and
the same minutes gives the same alerts, ids included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from schemas.alert import AUTOMATIC, Alert, Change
from schemas.metrics.registry import METRICS
from streams.alerts import detector
from streams.alerts.cohorts import Cohort, contains, make, text
from streams.alerts.detector import Finding, Scan
from streams.alerts.history import History, followed, no_history, unlearned
from streams.alerts.method import METHOD, Method
from streams.alerts.minutes import MINUTE_S, MinuteRows
from streams.alerts.rule import HISTOGRAM, Rule
from streams.alerts.thresholds import Thresholds

OPEN_AFTER, CLOSE_AFTER = PATIENCE = 2, 5
"""Minutes in a row, of the automatic rule."""
CLOSE_Z = 3.0
"""Back in range: below the 99.9th percentile of chance."""
MOVE_SCORE = 5.0
"""By how much another cohort must explain an open alert better."""
ADOPT_AFTER = 240
"""Minutes after which what is going on is learned as the new range."""


class Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that is open, or is about to open. `out`, `back`: minutes in a row."""

    alert: Alert
    is_open: bool = False
    out: int = 0
    back: int = 0

    @property
    def cohort(self) -> Cohort:
        return make(self.alert.cohort.items())


@dataclass(frozen=True)
class State:
    """All that the next minute is judged by."""

    history: History = field(default_factory=no_history)
    recent: tuple[MinuteRows, ...] = ()
    tracked: tuple[Tracked, ...] = ()
    judged_s: int = 0
    """Start of the newest minute that was judged, seconds of epoch."""


@dataclass(frozen=True)
class Evaluator:
    """Rules and method; `advance` is the function."""

    thresholds: Thresholds = field(default_factory=lambda: Thresholds(()))
    method: Method = METHOD

    def advance(self, state: State, minute: MinuteRows) -> tuple[State, list[Change]]:
        """Judge the minute after those of `state`."""
        state = self.learn(state, minute)
        kept: list[Tracked] = []
        changes: list[Change] = []
        for tracked, change in (*self._by_rules(state), *self._by_method(state)):
            if tracked is not None:
                kept.append(tracked)
            if change is not None:
                changes.append(change)
        history = state.history
        for one in kept:
            alert = one.alert
            if alert.rule == AUTOMATIC and _age_min(alert) < ADOPT_AFTER:
                minutes = 1 if one.is_open and one.out > OPEN_AFTER else alert.minutes + OPEN_AFTER
                history = unlearned(history, alert.metric, one.cohort, minutes, self.method)
        return State(history, state.recent, tuple(kept), state.judged_s), changes

    def learn(self, state: State, minute: MinuteRows) -> State:
        """Take a minute into the history without judging it."""
        recent = (*state.recent, minute)[-max(1, self.thresholds.minutes) :]
        history = followed(state.history, minute, self.method)
        return State(history, recent, state.tracked, minute.minute_s)

    # --- rules ------------------------------------------------------------------------------------------------------

    def _by_rules(self, state: State) -> Iterable[tuple[Tracked | None, Change | None]]:
        at_ms = (state.judged_s + MINUTE_S) * 1000
        for rule, readings in self.thresholds.read(state.recent):
            known = {one.cohort: one for one in state.tracked if one.alert.rule == rule.name}
            told = {reading.cohort: reading for reading in readings}
            for cohort, reading in told.items():
                is_out = reading.is_out(rule)
                if cohort not in known and not is_out:
                    continue
                alert = _rule_alert(rule, cohort, at_ms) if cohort not in known else known[cohort].alert
                alert = _judged(alert, at_ms, reading.value, reading.sample)
                before = known.get(cohort, Tracked(alert=alert))
                yield _turned(
                    before, alert, is_out, reading.is_back(rule), (rule.open_after_minutes, rule.close_after_minutes)
                )
            for cohort, one in known.items():
                if cohort not in told:  # nobody is there any more
                    alert = _judged(one.alert, at_ms, None, None)
                    yield _turned(one, alert, False, True, (rule.open_after_minutes, rule.close_after_minutes))

    # --- the automatic rule -----------------------------------------------------------------------------------------

    def _by_method(self, state: State) -> Iterable[tuple[Tracked | None, Change | None]]:
        at_ms = (state.judged_s + MINUTE_S) * 1000
        limit = detector.limit(state.history, self.method)
        scans = {scan.watched.metric: scan for scan in detector.scans(state.history, self.method)}
        known = [one for one in state.tracked if one.alert.rule == AUTOMATIC]
        for one in known:
            if one.alert.metric not in scans:
                yield one, None
        for metric, scan in scans.items():
            mine = [one for one in known if one.alert.metric == metric]
            findings = detector.explained(scan, limit, self.method)
            yield from self._of_metric(scan, mine, findings, at_ms)

    def _of_metric(
        self, scan: Scan, known: Sequence[Tracked], findings: Sequence[Finding], at_ms: int
    ) -> Iterable[tuple[Tracked | None, Change | None]]:
        # Who opened first stands for what is nested in it, or what it is nested in.
        left = sorted(known, key=lambda one: (not one.is_open, one.alert.began_at))
        for finding in findings:
            same = [one for one in left if _is_nested(one.cohort, finding.cohort)]
            left = [one for one in left if one not in same]
            if not same:
                alert = _found(finding, at_ms)
                yield _turned(Tracked(alert=alert), alert, True, False, PATIENCE)
                continue
            first, *others = same
            is_better = finding.score > _score_of(scan, first.cohort) + MOVE_SCORE
            moves = first.cohort != finding.cohort and (is_better or not first.is_open)
            alert = _refound(first.alert, finding, at_ms, moves=moves)
            turned, change = _turned(first, alert, True, False, PATIENCE)
            if change is None and moves and first.is_open:
                change = Change(kind="moved", alert=alert)
            yield turned, change
            for other in others:
                yield None, _closed(other, at_ms, "merged") if other.is_open else None
        for one in left:
            value, sample = _value_of(scan, one.cohort)
            alert = _judged(one.alert, at_ms, value, sample)
            is_back = detector.calm(scan, one.cohort, CLOSE_Z)
            yield _turned(one, alert, False, is_back, PATIENCE)


def _turned(
    before: Tracked, alert: Alert, is_out: bool, is_back: bool, patience: tuple[int, int]
) -> tuple[Tracked | None, Change | None]:
    """An alert a minute later."""
    open_after, close_after = patience
    out = before.out + 1 if is_out else 0
    if not before.is_open:
        if not is_out:
            return None, None
        if out < open_after:
            return Tracked(alert=alert, out=out), None
        alert = msgspec.structs.replace(alert, opened_at=alert.judged_at)
        return Tracked(alert=alert, is_open=True, out=out), Change(kind="opened", alert=alert)
    back = before.back + 1 if is_back and not is_out else 0
    if back >= close_after:
        return None, _closed(Tracked(alert=alert), alert.judged_at, "recovered")
    return Tracked(alert=alert, is_open=True, out=out, back=back), None


def _closed(one: Tracked, at_ms: int, reason: str) -> Change:
    closed = msgspec.structs.replace(one.alert, closed_at=at_ms, close_reason=reason, judged_at=at_ms)
    return Change(kind="closed", alert=closed)


def _rule_alert(rule: Rule, cohort: Cohort, at_ms: int) -> Alert:
    unit = None if rule.sample is None else "startups" if rule.sample == HISTOGRAM else rule.sample
    return Alert(
        id=_id(rule.name, rule.metric, cohort, at_ms),
        rule=rule.name,
        severity=rule.severity,
        metric=rule.metric,
        argument=rule.argument,
        unit=rule.definition.unit,
        cohort=dict(cohort),
        began_at=at_ms - rule.over_minutes * MINUTE_S * 1000,
        opened_at=at_ms,
        judged_at=at_ms,
        value=None,
        peak=None,
        minutes=rule.over_minutes,
        limit=rule.limit,
        is_high=rule.is_high,
        sample_unit=unit,
    )


def _found(finding: Finding, at_ms: int) -> Alert:
    metric = METRICS[finding.metric]
    alert = Alert(
        id=_id(AUTOMATIC, finding.metric, finding.cohort, at_ms),
        rule=AUTOMATIC,
        severity="warning",
        metric=finding.metric,
        unit=metric.unit,
        cohort=dict(finding.cohort),
        began_at=at_ms - finding.minutes * MINUTE_S * 1000,
        opened_at=at_ms,
        judged_at=at_ms,
        value=None,
        peak=None,
        minutes=finding.minutes,
        limit=finding.high,
        sample_unit="startups" if metric.parts[-1] == HISTOGRAM else metric.parts[-1],
    )
    return _refound(alert, finding, at_ms, moves=True)


def _refound(alert: Alert, finding: Finding, at_ms: int, *, moves: bool) -> Alert:
    """With the newest figures; of another cohort only where the alert moves to it."""
    if not moves and dict(finding.cohort) != alert.cohort:
        return msgspec.structs.replace(alert, judged_at=at_ms)
    begins = min(alert.began_at, at_ms - finding.minutes * MINUTE_S * 1000)
    figures = msgspec.structs.replace(
        alert,
        cohort=dict(finding.cohort),
        began_at=begins,
        minutes=finding.minutes,
        expected=finding.expected,
        limit=finding.high,
        covers=max(alert.covers, finding.covers),
    )
    return _judged(figures, at_ms, finding.value, finding.sample)


def _judged(alert: Alert, at_ms: int, value: float | None, sample: float | None) -> Alert:
    peak = alert.peak
    if value is not None:
        peak = value if peak is None else max(peak, value) if alert.is_high else min(peak, value)
    return msgspec.structs.replace(alert, judged_at=at_ms, value=value, sample=sample, peak=peak)


def _value_of(scan: Scan, cohort: Cohort) -> tuple[float | None, float | None]:
    """Of the last three minutes, or as many as are looked at."""
    place = scan.places.get(cohort)
    if place is None:
        return None, None
    k = max(k for k, minutes in enumerate(scan.windows) if minutes <= 3)
    sample = float(scan.sample[place, k])
    return (float(scan.told[place, k]) / sample if sample else None), sample


def _score_of(scan: Scan, cohort: Cohort) -> float:
    place = scan.places.get(cohort)
    return 0.0 if place is None else float(scan.score()[place].max())


def _is_nested(one: Cohort, other: Cohort) -> bool:
    return contains(one, other) or contains(other, one)


def _age_min(alert: Alert) -> float:
    return (alert.judged_at - alert.began_at) / 60_000


def _id(rule: str, metric: str, cohort: Cohort, at_ms: int) -> str:
    told = f"{rule}/{metric}/{text(cohort)}/{at_ms}"
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
