"""The notebook: its cells run against a real server, and what they show is what the sessions say."""

from __future__ import annotations

import importlib.util
import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from infra.settings import ROOT
from tests.browser.views import Views, shared
from tests.warehouse.serving import Running


@pytest.fixture(scope="module")
def views() -> Views:
    return shared()


@pytest.fixture(scope="module")
def server(views: Views) -> Iterator[Running]:
    running = Running(views.settings)
    yield running
    running.stop()


def run(server: Running, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the cells have defined, after all have run."""
    monkeypatch.setattr("sys.argv", ["questions.py", "--server", server.url])
    found = importlib.util.spec_from_file_location("questions", ROOT / "docs" / "notebooks" / "questions.py")
    assert found
    assert found.loader
    notebook = importlib.util.module_from_spec(found)
    found.loader.exec_module(notebook)
    _outputs, defined = notebook.app.run()
    return dict(defined)


def test_three_questions_are_answered(server: Running, views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run(server, monkeypatch)

    excess = shown["excess"].to_pylist()
    whole = server.sql(
        "SELECT sum(stall_ms)::BIGINT, sum(watched_ms)::BIGINT FROM metrics.quality_minute WHERE rollup = 'total'"
    ).json()["rows"][0]
    assert "BR" in excess[0]["cohort"], "those whose players stall"
    assert sum(row["watched_hours"] for row in excess) == pytest.approx(whole[1] / 3.6e6, abs=0.05 * len(excess) + 0.05)
    assert [row["excess_minutes"] for row in excess] == sorted((row["excess_minutes"] for row in excess), reverse=True)

    plays: dict[tuple[str, int], int] = defaultdict(int)
    for row in views.cohort():
        if row["startup_ms"] is not None and row["end_reason"] != "open" and not row["is_live"]:
            plays[row["device_type"], min(row["startup_ms"] // 1000, 5)] += 1
    waiting = {(row["device_type"], row["startup_s"]): row["plays"] for row in shown["waiting"].to_pylist()}
    assert waiting == {cell: count for cell, count in plays.items() if count >= 5}
    assert waiting

    curve = shown["retention"].to_pylist()
    assert [row["position_percent"] for row in curve] == list(range(100))
    assert curve[0]["this_title"] == curve[0]["all_titles"] == 1
    assert all(one["all_titles"] >= after["all_titles"] for one, after in itertools.pairwise(curve))
