"""Finds the cohort whose startup, stalls or failures left their own recent range, and that explains the others.

Every metric here is a ratio of two sums: y (stalled ms, startup ms, failures) over n (watched ms, startups, attempts).
Each minute, for every cohort c and for windows of the last w minutes:

    expected      μ = r n_w      r: the cohort's rate in its baseline, drawn to that of its kind where it has little:
                                 r = (y_B + κ r₀) / (n_B + κ)                       credibility: Bühlmann, Straub 1970
    dispersion    Var(y) = φ μ   φ: how much minutes differ beyond chance, from the baseline's own residuals, drawn to
                                 the dispersion of its kind, and never below that    quasi-likelihood: Wedderburn 1974
                                                                                     moderated variances: Smyth 2004
    score         F = (y ln(y/μ) − (y − μ)) / (φ' (1 + n_w / (n_B + κ)))       expectation-based scan: Neill 2009
                  z = √(2F), normal when nothing is wrong                         signed root of a likelihood ratio

The baseline are the last two hours but for the newest ten minutes, and without the minutes of an alert (Noufaily et
al. 2013 say why): what is to be found must not teach that it is normal. φ' has the factor by which sums over w minutes
vary more than w minutes apart, since a viewer's bad luck lasts. A cohort is out of range when z passes the limit that
all cohorts, windows and metrics together pass by chance `false_alarms_per_day` times (Bonferroni), when y is well
above what is expected (`least_ratio`), and made of enough (`least_sample`, `least_events`).

Of all that are out of range the one with the largest F explains most: F grows with the size of a cohort as long as
the whole of it is hit, and falls as soon as it takes in viewers who are not (the scan statistic's likeliest cluster,
Kulldorff 1997). Each dimension more must be worth `occam`. What that one adds to the others is taken away from them;
who is still out of range then is another finding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from streams.alerts.cohorts import Cohort, dimensions, overlap
from streams.alerts.history import Array, History, Mask
from streams.alerts.method import METHOD, Method, Watched


@dataclass(frozen=True)
class Finding:
    """A cohort out of its range. Values are the metric's, over the last `minutes`; `score` is F, z its root."""

    metric: str
    cohort: Cohort
    minutes: int
    value: float
    expected: float
    high: float
    """Upper end of the range."""
    sample: float
    score: float
    z: float
    covers: int = 0
    """Other cohorts that were out of range because of this one."""


@dataclass(frozen=True)
class Scan:
    """One metric's scores. Axes: cohort, window."""

    watched: Watched
    places: dict[Cohort, int]
    told: Array
    told_expected: Array
    """What is reported, and what was expected of it."""
    sample: Array
    """What the reported value is made of."""
    part: Array
    whole: Array
    expected: Array
    spread: Array
    """φ'(1 + n_w / (n_B + κ)): the variance of `part` is that times `expected`."""
    windows: tuple[int, ...]

    def score(self, excess: Array | float = 0.0) -> Array:
        """F, when so much of `part` is explained by something else."""
        part = self.part - excess
        with np.errstate(divide="ignore", invalid="ignore"):
            score = (part * np.log(part / self.expected) - (part - self.expected)) / self.spread
        return np.where((part > self.expected) & (self.expected > 0), score, 0.0)

    def is_enough(self, excess: Array | float = 0.0) -> Mask:
        """Whether the difference would matter, and is made of enough."""
        least = self.watched
        told = self.told - (0.0 if least.is_logarithmic else excess)
        least_excess = np.maximum(least.least_excess, least.least_excess_per_minute * np.array(self.windows))
        return np.asarray(
            (told >= least.least_ratio * self.told_expected)
            & (told - self.told_expected >= least_excess)
            & (self.whole >= least.least_sample)
        )


def scans(history: History, method: Method = METHOD) -> list[Scan]:
    """The scores of all metrics; none before there is a baseline."""
    if history.parts.shape[2] - _gap(history, method) < method.least_baseline:
        return []
    kinds: dict[tuple[str, ...], list[int]] = {}
    for cohort, place in history.places.items():
        kinds.setdefault(dimensions(cohort), []).append(place)
    each = [np.array(places) for places in kinds.values()]
    return [_scan(history, m, each, method) for m in range(len(method.watched))]


def _gap(history: History, method: Method) -> int:
    return min(method.gap, int(history.parts.shape[2]) // 3)


def _scan(history: History, m: int, kinds: Sequence[npt.NDArray[np.intp]], method: Method) -> Scan:
    gap = _gap(history, method)
    windows = tuple(window for window in method.windows if window <= gap)
    y, n, told = history.parts[m], history.wholes[m], history.told[m]
    is_base = history.is_learned[m].copy()
    is_base[:, -gap:] = False
    is_base &= is_base[:, ::-1].cumsum(axis=1)[:, ::-1] <= method.baseline
    y_base, n_base, told_base = (np.where(is_base, one, 0) for one in (y, n, told))
    rate, weight, dispersion, told_rate = (np.zeros(len(y)) for _ in range(4))
    for at in kinds:
        rate[at], weight[at], dispersion[at] = _learn(y_base[at], n_base[at], method.watched[m].quantum, method)
        told_rate[at] = _drawn(told_base[at].sum(axis=1), n_base[at].sum(axis=1), weight[at])
    part, whole, told_sum, sample = (
        np.stack([one[:, -w:].sum(axis=1) for w in windows], axis=1) for one in (y, n, told, history.samples[m])
    )
    lasting = np.array([_lasting(y_base, n_base, is_base, rate, w) for w in windows])
    known = 1 + method.inexperience / np.maximum(is_base.sum(axis=1), 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = dispersion[:, None] * known * lasting * (1 + whole / weight[:, None])
    return Scan(
        watched=method.watched[m],
        places=history.places,
        told=told_sum,
        told_expected=told_rate[:, None] * whole,
        sample=sample,
        part=part,
        whole=whole,
        expected=rate[:, None] * whole,
        spread=np.where(weight[:, None] > 0, spread, np.inf),
        windows=windows,
    )


def _drawn(y_sum: Array, n_sum: Array, weight: Array) -> Array:
    """Rates, drawn to the common one by what their weight is more than their own sample."""
    common = y_sum.sum() / max(n_sum.sum(), 1e-300)
    return np.asarray((y_sum + (weight - n_sum) * common) / np.maximum(weight, 1e-300))


def _learn(y: Array, n: Array, quantum: float, method: Method) -> tuple[Array, Array, Array]:
    """Rate, what it weighs (in units of n) and dispersion of each cohort of one kind. Axes: cohort, minute."""
    y_sum, n_sum = y.sum(axis=1), n.sum(axis=1)
    total = n_sum.sum()
    if total <= 0:
        return np.zeros(len(y)), np.zeros(len(y)), np.ones(len(y))
    common = float(max(y_sum.sum(), quantum / 2) / total)
    own = np.divide(y_sum, n_sum, out=np.full(len(y), common), where=n_sum > 0)
    squares = (y - own[:, None] * n) ** 2
    minutes = (n > 0).sum(axis=1)
    freedom = np.maximum(minutes - 1, 0)
    # Sums over sums: where next to nothing is expected, a mean of ratios would be all noise.
    of_kind = max(float(quantum), squares.sum() / (common * total) * minutes.sum() / max(1, freedom.sum()))
    own_dispersion = np.divide(squares.sum(axis=1), own * n_sum, out=np.full(len(y), of_kind), where=own * n_sum > 0)
    dispersion = (method.prior_minutes * of_kind + freedom * own_dispersion) / (method.prior_minutes + freedom)
    dispersion = np.maximum(dispersion, of_kind)  # few values of a long tail look calmer than they are
    # How much the cohorts differ in truth: what is beyond chance of how much they differ.
    credible = 0.0
    if len(y) > 1:
        seen = (n_sum * (own - common) ** 2).sum() - (len(y) - 1) * of_kind * common
        between = seen / max(1e-300, total - (n_sum**2).sum() / total)
        credible = min(total, of_kind * common / between) if between > 0 else total
    weight = n_sum + credible
    return np.maximum(_drawn(y_sum, n_sum, weight), quantum / 2 / np.maximum(weight, 1e-300)), weight, dispersion


def _lasting(y: Array, n: Array, is_base: Mask, rate: Array, window: int) -> float:
    """How much more sums over a window vary than minutes apart: the mean of all cohorts, 1 or more."""
    residual = np.where(is_base, y - rate[:, None] * n, 0)
    blocks = residual.shape[1] // window
    if window == 1 or blocks < 3:
        return 1.0 + 0.1 * (window - 1)
    cut = residual[:, -blocks * window :]
    together = (cut.reshape(len(cut), blocks, window).sum(axis=2) ** 2).sum(axis=1)
    apart = (cut**2).sum(axis=1)
    known = apart > 0
    return max(1.0, float((together[known] / apart[known]).mean())) if known.any() else 1.0


def limit(history: History, method: Method = METHOD) -> float:
    """The z that a cohort must pass."""
    asked = max(1, len(history.places)) * len(method.watched)
    return -NormalDist().inv_cdf(method.false_alarms_per_day / 1440 / asked)


def calm(scan: Scan, cohort: Cohort, z: float) -> bool:
    """Whether a cohort is back in its range: no window of up to three minutes has a score above `z`."""
    place = scan.places.get(cohort)
    if place is None:
        return True
    short = [k for k, minutes in enumerate(scan.windows) if minutes <= 3]
    return bool((scan.score()[place, short] < z * z / 2).all())


def explained(scan: Scan, z: float, method: Method = METHOD, most: int = 5) -> list[Finding]:
    """One metric's findings: the likeliest cohort, then who is out of range beyond what that one adds, and so on."""
    found: list[Finding] = []
    excess = np.zeros_like(scan.part)
    names = list(scan.places)
    many = np.array([len(cohort) for cohort in names])
    before = 0
    while len(found) < most:
        score = scan.score(excess)
        is_out = (score >= z * z / 2) & scan.is_enough(excess)
        out = int(is_out.any(axis=1).sum())
        if found:
            found[-1] = replace(found[-1], covers=max(0, before - out - 1))
        if not out:
            break
        before = out
        worth = np.where(is_out, score - method.occam * many[:, None], -np.inf)
        place, w = np.unravel_index(int(worth.argmax()), worth.shape)
        cohort = names[place]
        found.append(_finding(scan, cohort, (int(place), int(w)), float(score[place, w]), z))
        excess = excess + _added(scan, cohort, int(place), excess)
    return found


UNEVEN = 3.0
"""An overlap that is no cohort of its own may hold so many times its share of what is to be explained."""


def _added(scan: Scan, cohort: Cohort, place: int, known: Array) -> Array:
    """What a cohort's excess adds to every other: exactly where their overlap is a cohort, else at most by shares."""
    excess = np.maximum(scan.part - known - scan.expected, 0)
    added = np.zeros_like(scan.part)
    for other, at in scan.places.items():
        both = overlap(cohort, other)
        if both is None:
            continue
        if both in scan.places:
            added[at] = excess[scan.places[both]]
        else:
            shared = scan.places.get(tuple(pair for pair in cohort if pair in other), place)
            share = scan.whole[at] / np.maximum(scan.whole[shared], 1e-300)
            added[at] = excess[place] * np.minimum(1, UNEVEN * share)
    return added


def _finding(scan: Scan, cohort: Cohort, at: tuple[int, int], score: float, z: float) -> Finding:
    whole, expected, spread = (float(array[at]) for array in (scan.whole, scan.expected, scan.spread))
    sample, usual = max(1.0, float(scan.sample[at])), float(scan.told_expected[at])
    deviation = math.sqrt(spread * expected)
    reach = usual * 2 ** (z * deviation / whole / 4) if scan.watched.is_logarithmic else usual + z * deviation
    return Finding(
        metric=scan.watched.metric,
        cohort=cohort,
        minutes=scan.windows[at[1]],
        value=float(scan.told[at]) / sample,
        expected=usual / sample,
        high=max(usual * scan.watched.least_ratio, reach) / sample,
        sample=sample,
        score=score,
        z=math.sqrt(2 * score),
    )
