"""Recorded bandwidth, to play over or to fit the model of `network.py` to.

A file is CSV (also .gz) in one of two forms: columns `trace`, seconds and Mbit/s under a header line (many traces), or
seconds and Mbit/s, without a header, parted by a comma or spaces (one trace, named after its file).
"""

from __future__ import annotations

import csv
import gzip
import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.errors import SettingsError
from streams.intake.simulation.network import Limit, unlimited

SHORTEST_S = 30
"""A trace must be so long to be played over."""
FLOOR_KBPS = 1.0
"""A recorded standstill still lets this through, so that a line of nothing else ends."""


@dataclass(frozen=True)
class Trace:
    """Bandwidth over time: from `starts_s[i]` on it was `kbps[i]`, until the next."""

    name: str
    starts_s: tuple[float, ...]
    kbps: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """How long it is; the last value is taken to hold as long as the one before."""
        last = self.starts_s[-1] - self.starts_s[-2] if len(self.starts_s) > 1 else 0.0
        return self.starts_s[-1] + last - self.starts_s[0]


class TracedLine:
    """A session's line that goes through a trace from some point on, over and over."""

    def __init__(self, trace: Trace, offset_s: float, rtt_ms: float, limit: Limit = unlimited) -> None:
        self._limit = limit
        self.rtt_ms = rtt_ms
        self._starts = [(start - trace.starts_s[0]) * 1000 for start in trace.starts_s]
        self._kbps = [max(FLOOR_KBPS, kbps) for kbps in trace.kbps]
        self._length = trace.seconds * 1000
        self._offset = offset_s * 1000
        self._zero: int | None = None

    @property
    def usual_kbps(self) -> float:
        return sorted(self._kbps)[len(self._kbps) // 2]

    def download_ms(self, at_ms: int, kilobits: float) -> int:
        if self._zero is None:
            self._zero = at_ms
        begin = at_ms - self._zero + self._offset + self.rtt_ms
        here = begin % self._length
        place = bisect_right(self._starts, here) - 1
        took = 0.0
        while True:
            until = self._starts[place + 1] if place + 1 < len(self._starts) else self._length
            kbps = self._limit(at_ms + self.rtt_ms + took, self._kbps[place])
            fits = (until - here) * kbps / 1000
            if kilobits <= fits:
                return max(1, round(self.rtt_ms + took + kilobits * 1000 / kbps))
            kilobits -= fits
            took += until - here
            place = (place + 1) % len(self._starts)
            here = self._starts[place]


@dataclass(frozen=True)
class Traces:
    """All that were read."""

    traces: tuple[Trace, ...]

    def line(self, rng: random.Random, rtt_ms: float, limit: Limit = unlimited) -> TracedLine:
        """Some trace, from some point of it on."""
        trace = rng.choice(self.traces)
        return TracedLine(trace, rng.uniform(0, trace.seconds), rtt_ms, limit)


def read_traces(path: Path) -> Traces:
    """The traces of a file, or of all files of a folder. Raises SettingsError where there are none."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = [trace for file in files if file.is_file() for trace in _traces_of(file)]
    long = tuple(trace for trace in found if trace.seconds >= SHORTEST_S)
    if not long:
        msg = (
            f"expected traces of at least {SHORTEST_S} s in {path}: CSV with a header (trace, seconds, Mbit/s), or "
            f"without one (seconds, Mbit/s); found {len(found)} shorter ones"
        )
        raise SettingsError(msg)
    return Traces(long)


def _traces_of(file: Path) -> Iterator[Trace]:
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as text:
        for row in csv.reader(line.replace("\t", " ").replace(" ", ",") if "," not in line else line for line in text):
            name, *numbers = row if len(row) == 3 else (file.stem, *filter(None, row))
            try:
                second, mbps = map(float, numbers)
            except ValueError:
                continue  # a header, or a table of another kind: it has no traces
            points[name].append((second, mbps * 1000))
    for name, samples in points.items():
        samples.sort()
        yield Trace(name, tuple(second for second, _ in samples), tuple(kbps for _, kbps in samples))
