"""Simulated incidents, small: the same worlds, method and verdicts as those of docs/alerts.md."""

from __future__ import annotations

import numpy as np

from streams.alerts.evaluation import report
from streams.alerts.evaluation.score import LEARNING, Hour, judged
from streams.alerts.evaluation.worlds import MINUTES, START_MS, Pool, added, fold
from streams.alerts.evaluator import Evaluator
from streams.intake.simulation.incidents import KINDS, Incident

MINUTE_MS = 60_000
INCIDENT = Incident(
    "cdn-outage", {"country": "US", "cdn": "north"}, START_MS + 22 * MINUTE_MS, START_MS + 32 * MINUTE_MS
)


def test_an_outage_is_found_and_named_in_a_sum_of_viewers() -> None:
    pool = Pool(seed=4, blocks=1, viewers=450, minutes=36)
    block = pool.block(0)
    change = pool.change({0: block}, INCIDENT)
    rows = added([block.rows, change])

    whole = fold(pool.audience(pool.accounts(0), (INCIDENT,)))
    for minute_s, cells in whole.items():
        mine = {labels: values for labels, values in rows[minute_s].items() if np.any(values)}
        assert mine.keys() == {labels for labels, values in cells.items() if np.any(values)}
        assert all(np.array_equal(values, cells[labels]) for labels, values in mine.items()), "rollups are sums"

    quiet = judged(block.rows, Evaluator(), Hour())
    assert quiet.others == []
    found = judged(rows, Evaluator(), Hour(INCIDENT, "strong"))
    assert found.others == []
    assert found.minutes_to_detect is not None
    assert found.minutes_to_detect < 6

    table = report.text([report.Service(130, (found,), (quiet,))], seed=4)
    assert "| all | 1 of 1 | 100% |" in table
    assert "In the quiet hours 0 alerts opened" in table


def test_the_page_holds_a_table() -> None:
    text = report.PAGE.read_text(encoding="utf-8")
    table = text.partition(report.BEGIN)[2].partition(report.END)[0]
    assert "| incidents | found | recall |" in table
    assert all(f"| {kind} |" in table for kind in KINDS)
    size = report.Size()
    incidents = size.groups * size.hours
    assert incidents * (MINUTES - LEARNING) / 60 >= 50, "hours judged in which nothing goes wrong"
    assert table.count(f"{incidents} incidents") == 2
