"""The simulated line and what a player makes of it: bandwidth as it was fitted, renditions as DYNAMIC chooses them."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest

from streams.intake.simulation.abr import TO_BOLA_MS, Dynamic
from streams.intake.simulation.fitting import Chain, Floats, figures, fit
from streams.intake.simulation.ladder import LADDER
from streams.intake.simulation.network import CONNECTIONS, STEP_S, Condition, Network

BUFFER_MS = 30_000
STEP_MS = STEP_S * 1000


def logs_of(kind: str, seed: int, steps: int = 75) -> Floats:
    """ln of a session's bandwidth / its median, step by step, as one sees it by downloading a little in each."""
    network = Network(random.Random(f"{kind}/{seed}"), CONNECTIONS[kind], factor=0.1)
    network.rtt_ms = 0.0
    kilobits = 0.001
    kbps = [kilobits * 1000 / max(1e-9, _took_ms(network, place * STEP_MS, kilobits)) for place in range(steps)]
    found: Floats = np.log(np.array(kbps) / np.median(kbps))
    return found


def _took_ms(network: Network, at_ms: float, kilobits: float) -> float:
    network.download_ms(round(at_ms), kilobits)
    return kilobits * 1000 / network._kbps  # a download takes whole ms, which would hide what is to be seen


@pytest.mark.parametrize(
    ("kind", "spread", "after_a_step"),
    [("ethernet", 0.55, 0.81), ("wifi", 0.49, 0.19), ("4g", 0.53, 0.20), ("3g", 0.45, 0.81)],
)
def test_a_line_varies_as_the_one_it_was_fitted_to(kind: str, spread: float, after_a_step: float) -> None:
    """The figures of docs/simulator.md: standard deviation of the logarithm, and how it depends on the step before."""
    found = figures([logs_of(kind, seed) for seed in range(300)])
    assert found["standard deviation of ln"] == pytest.approx(spread, rel=0.2)
    assert found["autocorrelation, 4 s"] == pytest.approx(after_a_step, abs=0.1)


def test_the_fit_finds_a_chain_again() -> None:
    known = Chain(
        levels=np.log([1.0, 1.0, 0.4]),
        memories=np.array([0.8, 0.5, 0.3]),
        spreads=np.array([0.05, 0.3, 0.9]),
        moves=np.array([[0.96, 0.02, 0.02], [0.03, 0.94, 0.03], [0.05, 0.05, 0.9]]),
    )
    found = fit(known.simulate([150] * 20, np.random.default_rng(4)), rounds=25)
    assert found.spreads == pytest.approx(known.spreads, rel=0.25)
    assert found.moves.diagonal() == pytest.approx(known.moves.diagonal(), abs=0.06)
    assert found.memories == pytest.approx(known.memories, abs=0.2)
    assert math.exp(found.levels[2]) == pytest.approx(0.4, rel=0.35)


def test_a_condition_pulls_to_its_level() -> None:
    still = Condition(level=0.5, memory=0.5, spread=0.0, seconds=1e9, first_follows=0.0)
    after = 0.0
    for _ in range(50):
        after = still.memory * after + still.pull
    assert math.exp(after) == pytest.approx(0.5)


def player(kbps: float, safety: float = 0.9) -> Dynamic:
    """One that has measured this bandwidth for long."""
    abr = Dynamic(LADDER, safety, kbps)
    for _ in range(20):
        abr.measured(kbps, 1000)
    return abr


def test_with_a_low_buffer_the_rate_decides() -> None:
    assert player(5_000).choose(4_000, BUFFER_MS).kbps == 4_500
    assert player(5_000, safety=0.65).choose(4_000, BUFFER_MS).kbps == 3_000
    assert player(50).choose(4_000, BUFFER_MS) == LADDER[0]


def test_a_drop_is_believed_sooner_than_a_rise() -> None:
    """The lower of the quick and the slow average counts."""
    dropped, risen = player(8_000), player(2_000)
    dropped.measured(1_000 * 4, 4_000)
    risen.measured(16_000 * 4, 4_000)
    assert dropped.choose(4_000, BUFFER_MS).kbps <= 3_000
    assert risen.choose(4_000, BUFFER_MS).kbps <= 6_500


def test_with_a_full_buffer_bola_decides_but_never_steps_up_beyond_the_line() -> None:
    rich = player(40_000)
    assert rich.choose(BUFFER_MS, BUFFER_MS) == LADDER[-1]
    slow = player(5_000)
    assert slow.choose(BUFFER_MS, BUFFER_MS).kbps == 4_500, "BOLA alone would take the highest"
    # Down it goes as the buffer empties, whatever the line gives.
    chosen = [rich.choose(buffered, BUFFER_MS).kbps for buffered in range(BUFFER_MS, TO_BOLA_MS - 1, -2_000)]
    assert all(before >= after for before, after in pairwise(chosen)) and chosen[0] > chosen[-1]


def test_a_buffer_that_never_holds_ten_seconds_leaves_it_to_the_rate() -> None:
    live = player(5_000)
    assert [live.choose(buffered, 8_000).kbps for buffered in (0, 4_000, 8_000)] == [4_500] * 3
