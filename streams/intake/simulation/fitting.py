"""Fits the model of a line (`network.py`) to recorded bandwidth: `python -m streams.intake.simulation.fitting TRACES`.

The model is a hidden Markov chain of three conditions (CS2P, Sun et al., SIGCOMM 2016: throughput moves between a few
states and is lognormal within each), within each of which bandwidth remembers its last value: Hamilton's
Markov-switching autoregression. A trace is brought to steps of STEP_S and divided by its own median; x is the
logarithm of that, and in condition i

    x(t) = memory_i × x(t−1) + (1 − memory_i) × level_i + spread_i × a standard normal number

Expectation-maximization (Baum-Welch) finds all of it over all traces together. How much traces differ from each other
is the spread of their medians.

Printed are the parameters as `network.py` has them, and how well the chain fits: the same figures of the traces and of
as many simulated ones.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streams.intake.simulation.network import STEP_S
from streams.intake.simulation.traces import Trace, Traces, read_traces

Floats = npt.NDArray[np.float64]
CONDITIONS = 3
ROUNDS = 100
STANDSTILL_KBPS = 10.0
"""Recorded zeros count as this: a logarithm needs something."""
LOW = 0.3
"""Below this share of its median a line is called low."""


@dataclass(frozen=True)
class Chain:
    """A chain of `CONDITIONS`. Logarithms are natural, of bandwidth / median."""

    levels: Floats
    memories: Floats
    spreads: Floats
    moves: Floats
    """Probability of each condition (column) after each (row), a step later."""

    @property
    def share(self) -> Floats:
        """Of the time spent in each condition, in the long run."""
        values, vectors = np.linalg.eig(self.moves.T)
        found: Floats = np.real(vectors[:, np.argmax(np.real(values))])
        shares: Floats = found / found.sum()
        return shares

    def simulate(self, lengths: list[int], rng: np.random.Generator) -> list[Floats]:
        """Traces of these lengths, as logarithms."""
        return [self._one(length, rng) for length in lengths]

    def _one(self, length: int, rng: np.random.Generator) -> Floats:
        states = np.empty(length, dtype=np.int64)
        states[0] = rng.choice(CONDITIONS, p=self.share)
        for at in range(1, length):
            states[at] = rng.choice(CONDITIONS, p=self.moves[states[at - 1]])
        found = np.empty(length)
        last = self.levels[states[0]]
        for at, state in enumerate(states):
            memory = self.memories[state]
            last = memory * last + (1 - memory) * self.levels[state] + self.spreads[state] * rng.standard_normal()
            found[at] = last
        return found


def steps(trace: Trace) -> Floats:
    """Mean bandwidth of each whole step of a trace, kbit/s."""
    starts = np.asarray(trace.starts_s) - trace.starts_s[0]
    volume = np.concatenate([[0.0], np.cumsum(np.diff(starts) * np.asarray(trace.kbps)[:-1])])
    edges = np.arange(0.0, starts[-1] + 1e-9, STEP_S)
    found: Floats = np.diff(np.interp(edges, starts, volume)) / STEP_S
    return found


def logs(traces: Traces) -> tuple[list[Floats], Floats]:
    """Of each trace that is long enough the logarithms of bandwidth / median; and the medians, kbit/s."""
    found = [np.maximum(one, STANDSTILL_KBPS) for one in map(steps, traces.traces) if len(one) >= 10]
    medians = np.array([float(np.median(one)) for one in found])
    return [np.log(one / median) for one, median in zip(found, medians, strict=True)], medians


def fit(observed: list[Floats], rounds: int = ROUNDS) -> Chain:
    """Baum-Welch from quantiles of the data on; the M-step is a weighted regression of each value on the last."""
    everything = np.concatenate(observed)
    levels = np.quantile(everything, [0.05, 0.4, 0.8])
    memories = np.full(CONDITIONS, 0.5)
    spreads = everything.std() * np.array([0.8, 0.2, 0.4])
    moves = np.full((CONDITIONS, CONDITIONS), 0.05) + np.eye(CONDITIONS) * (1 - 0.05 * CONDITIONS)
    for _ in range(rounds):
        chain = Chain(levels, memories, spreads, moves)
        # Of each condition: the sums of 1, last, value, last², last × value, value².
        sums = np.zeros((6, CONDITIONS))
        pairs = np.zeros((CONDITIONS, CONDITIONS))
        for series in observed:
            inside, between = _expect(chain, series)
            last, value = series[:-1], series[1:]
            parts = np.stack([np.ones_like(last), last, value, last**2, last * value, value**2])
            sums += parts @ inside
            pairs += between
        n, x, y, xx, xy, yy = sums
        memories = np.clip((xy - x * y / n) / np.maximum(xx - x**2 / n, 1e-9), 0.0, 0.97)
        offset = (y - memories * x) / n
        levels = offset / (1 - memories)
        rest = yy - 2 * offset * y - 2 * memories * xy + n * offset**2 + 2 * offset * memories * x + memories**2 * xx
        spreads = np.sqrt(np.maximum(rest / n, 1e-4))
        moves = pairs / pairs.sum(1, keepdims=True)
    order = np.argsort(spreads)
    return Chain(levels[order], memories[order], spreads[order], moves[np.ix_(order, order)])


def _expect(chain: Chain, series: Floats) -> tuple[Floats, Floats]:
    """Probability of each condition at each step but the first, and the expected number of each move."""
    expected = chain.memories * series[:-1, None] + (1 - chain.memories) * chain.levels
    density = np.exp(-0.5 * ((series[1:, None] - expected) / chain.spreads) ** 2) / chain.spreads + 1e-12
    forward, backward = np.empty_like(density), np.empty_like(density)
    scale = np.empty(len(density))
    now = chain.share * density[0]
    for at in range(len(density)):
        if at:
            now = (forward[at - 1] @ chain.moves) * density[at]
        scale[at] = now.sum()
        forward[at] = now / scale[at]
    backward[-1] = 1.0
    for at in range(len(density) - 2, -1, -1):
        backward[at] = chain.moves @ (density[at + 1] * backward[at + 1]) / scale[at + 1]
    later = density[1:] * backward[1:] / scale[1:, None]
    return forward * backward, chain.moves * (forward[:-1].T @ later)


def figures(series: list[Floats]) -> dict[str, float]:
    """What is compared: how wide it spreads, how it depends on what was before, how often and how long it is low."""
    everything = np.concatenate(series)
    low = [one < np.log(LOW) for one in series]
    begins = sum(int(one[0]) + int((np.diff(one.astype(np.int8)) == 1).sum()) for one in low)
    return {
        "standard deviation of ln": float(everything.std()),
        **{f"autocorrelation, {lag * STEP_S:g} s": _autocorrelation(series, lag) for lag in (1, 3, 8)},
        f"share of time below {LOW:g} of the median": float(np.concatenate(low).mean()),
        "mean length of such a spell, s": float(sum(one.sum() for one in low) * STEP_S / max(1, begins)),
    }


def _autocorrelation(series: list[Floats], lag: int) -> float:
    pairs = [(one[:-lag], one[lag:]) for one in series if len(one) > lag]
    before, after = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return float(np.corrcoef(before, after)[0, 1])


def distance(one: list[Floats], other: list[Floats]) -> float:
    """Kolmogorov-Smirnov: the largest distance between the two distributions, 0..1."""
    a, b = np.sort(np.concatenate(one)), np.sort(np.concatenate(other))
    points = np.concatenate([a, b])
    return float(
        np.abs(np.searchsorted(a, points, "right") / len(a) - np.searchsorted(b, points, "right") / len(b)).max()
    )


def report(path: Path) -> str:
    """Parameters and goodness of the fit to the traces of a file or a folder."""
    observed, medians = logs(read_traces(path))
    chain = fit(observed)
    simulated = chain.simulate([len(one) for one in observed], np.random.default_rng(1))
    # As real traces are, simulated ones are seen relative to their own median.
    simulated = [one - np.median(one) for one in simulated]
    real, model = figures(observed), figures(simulated)
    hours = sum(map(len, observed)) * STEP_S / 3600
    between = f"median {np.median(medians):,.0f} kbit/s, sigma between traces {np.log(medians).std():.2f}"
    lines = [
        f"{len(observed)} traces, {hours:.1f} h; {between}",
        "levels " + ", ".join(f"{np.exp(level):.3f}" for level in chain.levels),
        "memories " + ", ".join(f"{memory:.2f}" for memory in chain.memories),
        "spreads " + ", ".join(f"{spread:.2f}" for spread in chain.spreads),
        "seconds " + ", ".join(f"{STEP_S / max(1e-6, 1 - stay):.0f}" for stay in np.diag(chain.moves)),
        *("next " + ", ".join(f"{move:.3f}" for move in _elsewhere(row, at)) for at, row in enumerate(chain.moves)),
        f"Kolmogorov-Smirnov distance {distance(observed, simulated):.3f}",
        *(f"{name}: traces {real[name]:.3g}, model {model[name]:.3g}" for name in real),
    ]
    return "\n".join(lines)


def _elsewhere(row: Floats, at: int) -> Floats:
    """Where a condition leads to when it ends."""
    left = row.copy()
    left[at] = 0.0
    shares: Floats = left / max(1e-12, left.sum())
    return shares


if __name__ == "__main__":
    print(report(Path(sys.argv[1])))
