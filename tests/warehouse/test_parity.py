"""The comparisons of live with batch as the server tells them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from infra.settings import Settings
from schemas.parity import CAUSES, Comparison, history_path
from streams.parity.history import remember, telling
from tests.batch.world import numbered
from tests.streams.parity.test_comparison import END, OVERTAKEN
from tests.streams.parity.test_explain import VIEWING
from tests.streams.parity.world import World
from warehouse.dashboard import parity
from warehouse.dashboard.parity import LastComparison
from warehouse.dashboard.payload import Parity
from warehouse.dashboard.router import PAGES, Dashboard


@pytest.fixture
def overtaken(settings: Settings) -> Comparison:
    return World(numbered([*VIEWING, OVERTAKEN]), settings).comparison(END, cutover=END)


def test_the_newest_comparison_and_the_trend_are_told(settings: Settings, overtaken: Comparison) -> None:
    last = LastComparison(settings.lake_root)
    assert (last.state(), last.parity().trend) == (None, [])
    before = World(numbered(VIEWING), settings, batch_cut={}).comparison(END - timedelta(minutes=5))
    remember(settings, before)
    remember(settings, overtaken)
    shown = last.parity()
    state = last.state()
    assert state is not None
    assert (state.compared_at, state.unexplained) == (round(END.timestamp() * 1000), 0)
    assert (state.whole_rows, state.whole_rows_equal) == (overtaken.whole_rows, overtaken.whole_rows_equal)
    [playing] = (part for part in shown.parts if part.part == "playing_ms")
    assert playing.live + sum(one.amount for one in playing.causes) == playing.batch
    place = next(i for i, one in enumerate(shown.metrics) if one.metric == "playing_time_ms(playing_ms)")
    assert [point.differences[place] for point in shown.trend] == [None, 19_000 - 60_000]
    assert [[one.cause for one in point.causes] for point in shown.trend] == [["still open"], []]
    assert [row.rollup for row in shown.rows[:2]] == ["total", "total"]
    assert [one.name for one in shown.rows[-1].dimensions]


def test_the_table_is_read_again_only_after_a_comparison(
    settings: Settings, overtaken: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(settings, overtaken)
    last = LastComparison(settings.lake_root)
    assert last.parity() is last.parity()
    remember(settings, msgspec.structs.replace(overtaken, made_at=END + timedelta(minutes=1)))
    assert len(last.parity().trend) == 2
    shown = last.parity()
    # A table that cannot be read leaves what was known, and does not take the live numbers with it.
    for file in Path(history_path(settings.lake_root)).glob("*.parquet"):
        file.write_bytes(b"no parquet")
    (Path(history_path(settings.lake_root)) / "_delta_log" / "new").touch()
    assert last.parity() is shown


async def test_over_http(settings: Settings, overtaken: Comparison) -> None:
    remember(settings, overtaken)
    app = FastAPI()
    app.include_router(Dashboard(settings).router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/v1/dashboard/parity")
        shown = msgspec.json.decode(answer.content, type=Parity)
        kept = msgspec.structs.replace(overtaken, differing=telling(overtaken.differing))
        assert shown == parity.shown([kept], kept)
        assert [one.cause for one in shown.causes] == list(CAUSES)
        assert (await client.get("/parity")).status_code in (200, 503)


def test_every_cause_has_a_colour_on_the_page() -> None:
    chart = (PAGES.parent / "src" / "charts" / "parity.ts").read_text()
    known = chart.partition("CAUSE_COLOURS")[2].partition("};")[0]
    assert [cause for cause in CAUSES if f"{cause}:" not in known and f'"{cause}":' not in known] == []
