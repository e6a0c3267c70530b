"""What the detector remembers: the last minutes of every cohort, as arrays. All functions return a new history."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from schemas.quality import PART, PARTS, STARTUP_BUCKETS
from streams.alerts.cohorts import Cohort, cohorts, overlap
from streams.alerts.method import METHOD, Method
from streams.alerts.minutes import MinuteRows

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class History:
    """The last minutes of every cohort. Axes of the arrays: metric, cohort, minute (oldest first)."""

    places: dict[Cohort, int]
    told: Array
    """What is reported: the metric's first part."""
    parts: Array
    """What is judged: the same, or the sum of the startups' logarithms (in buckets of the histogram)."""
    wholes: Array
    """What it grows with: the metric's second part, or its exposure."""
    samples: Array
    """The metric's second part."""
    is_learned: Mask
    """Whether a minute may be part of the baseline."""


def no_history(method: Method = METHOD) -> History:
    """Nothing known."""
    empty = np.zeros((len(method.watched), 0, 0))
    return History({}, empty, empty, empty, empty, empty.astype(bool))


def followed(history: History, minute: MinuteRows, method: Method = METHOD) -> History:
    """The history with a minute more, which counts as learned until `unlearned` says otherwise."""
    found = cohorts(minute)
    if not found:
        return history  # a pause of everything teaches nothing
    places = dict(history.places)
    for cohort, cells in found.items():
        if cohort not in places and cells[PART["active_sessions"]] + cells[PART["plays"]] >= method.least_sessions:
            places[cohort] = len(places)
    kept = min(history.parts.shape[2], method.history - 1)
    shape = (len(method.watched), len(places), kept + 1)
    known = history.parts.shape[1]
    grown = []
    for old in (history.told, history.parts, history.wholes, history.samples):
        new = np.zeros(shape)
        new[:, :known, :kept] = old[:, :, old.shape[2] - kept :]
        grown.append(new)
    is_learned = np.ones(shape, bool)
    is_learned[:, :known, :kept] = history.is_learned[:, :, history.is_learned.shape[2] - kept :]
    rows = [(place, found[cohort]) for cohort, place in places.items() if cohort in found]
    if rows:
        at = np.array([place for place, _ in rows])
        values = np.array([cells for _, cells in rows], float)
        for m, watched in enumerate(method.watched):
            told, sample = (_amounts(values, part) for part in watched.parts)
            whole = _amounts(values, watched.exposure) if watched.exposure else sample
            judged = values[:, len(PARTS) :] @ _LOGARITHMS if watched.is_logarithmic else told
            for into, amounts in zip(grown, (told, judged, whole, sample), strict=True):
                into[m, at, -1] = amounts
    return _without_strangers(History(places, grown[0], grown[1], grown[2], grown[3], is_learned))


_LOGARITHMS = np.arange(STARTUP_BUCKETS) + 0.5


def _amounts(cells: Array, part: str) -> Array:
    if part == "startup_histogram":
        return np.asarray(cells[:, len(PARTS) :].sum(axis=1))
    return np.asarray(cells[:, PART[part]])


def _without_strangers(history: History) -> History:
    """Cohorts of whom nothing is left go, once they are many."""
    is_there = np.asarray(history.wholes.any(axis=(0, 2)))
    if int(is_there.sum()) * 1.2 + 50 > len(is_there):
        return history
    kept = [cohort for cohort, place in history.places.items() if is_there[place]]
    at = np.array([history.places[cohort] for cohort in kept], int)
    return History(
        {cohort: place for place, cohort in enumerate(kept)},
        history.told[:, at],
        history.parts[:, at],
        history.wholes[:, at],
        history.samples[:, at],
        history.is_learned[:, at],
    )


def unlearned(history: History, metric: str, cohort: Cohort, minutes: int = 1, method: Method = METHOD) -> History:
    """The newest minutes of all who share viewers with a cohort are no baseline, for one metric."""
    m = [watched.metric for watched in method.watched].index(metric)
    is_learned = history.is_learned.copy()
    at = [place for other, place in history.places.items() if overlap(cohort, other) is not None]
    is_learned[m, at, -minutes:] = False
    return replace(history, is_learned=is_learned)
