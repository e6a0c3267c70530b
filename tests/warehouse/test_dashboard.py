"""What the dashboard is told, against plain arithmetic over the parts in the same files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import msgspec
import pytest
from fastapi import FastAPI

from infra.settings import Settings
from tests.browser.state import State
from warehouse.dashboard import protocol
from warehouse.dashboard.board import WINDOW_MINUTES, Board
from warehouse.dashboard.hub import Hub, changed_seconds, changes
from warehouse.dashboard.payload import Live, Publish, Seconds
from warehouse.dashboard.router import Dashboard, links

AT = datetime(2026, 11, 21, 20, 14, 37, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "warehouse", AT)
    made.publish(days=7.2)
    made.write_live()
    return made


@pytest.fixture
def board(state: State) -> Iterator[Board]:
    opened = Board(state.folder, settled_s=420)
    yield opened
    opened.close()


def parts(state: State, rollup: str, start: datetime, stop: datetime) -> list[dict[str, Any]]:
    """Rows of both files in [start, stop), as they are, joined here by hand."""
    rows: list[dict[str, Any]] = []
    for path, table in ((state.folder / "live.duckdb", "quality_minute"), (published(state), "gold.quality_minute")):
        with duckdb.connect(str(path), read_only=True) as con:
            con.execute("SET TimeZone = 'UTC'")
            side = ">=" if table == "quality_minute" else "<"
            cursor = con.execute(
                f"SELECT * FROM {table} WHERE rollup = ? AND minute >= ? AND minute < ? AND minute {side} ?",
                [rollup, start, stop, state.cutover],
            )
            names = [column[0] for column in cursor.description or ()]
            rows += [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return rows


def published(state: State) -> Path:
    return next(state.folder.glob("gold-*.duckdb"))


def total(rows: list[dict[str, Any]], part: str) -> int:
    return sum(row[part] for row in rows)


@pytest.mark.parametrize(("name", "back"), [("value", 0), ("hour_ago", 1), ("day_ago", 24), ("week_ago", 168)])
def test_headlines_are_the_parts_added_up_then_divided(state: State, board: Board, name: str, back: int) -> None:
    tiles: dict[str, Any] = {tile.metric: getattr(tile, name) for tile in board.read().tiles}
    minute = AT.replace(second=0) - timedelta(hours=back)
    running = timedelta(minutes=1 if back == 0 else 0)
    window = parts(state, "total", minute - timedelta(minutes=WINDOW_MINUTES), minute + running)
    last = parts(state, "total", minute - timedelta(minutes=1), minute)

    by_second = state.seconds()["plays"].to_pylist()[-60:]
    assert tiles["attempts_per_second"] == pytest.approx((total(last, "plays") if back else sum(by_second)) / 60)
    assert tiles["stalled_share"] == pytest.approx(total(window, "stall_ms") / total(window, "watched_ms"))
    for kind in ("start", "playback"):
        assert tiles[f"{kind}_failure_rate"] == pytest.approx(
            total(window, f"{kind}_failures") / total(window, "plays")
        )
    counts = [sum(column) for column in zip(*(row["startup_histogram"] for row in window), strict=True)]
    for metric, quantile in (("startup_p50_ms", 0.5), ("startup_p95_ms", 0.95)):
        bucket = next(i for i in range(len(counts)) if sum(counts[: i + 1]) >= quantile * sum(counts))
        assert 2 ** (bucket / 4) <= tiles[metric] <= 2 ** ((bucket + 1) / 4)
    if back:
        assert tiles["concurrent_viewers"] == pytest.approx(total(last, "watched_ms") / 60_000)


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    young = State(tmp_path / "warehouse", AT)
    young.publish(days=1.2)
    young.write_live()
    board = Board(young.folder, settled_s=420)
    assert {tile.week_ago for tile in board.read().tiles} == {None}
    board.close()


def test_history_and_live_meet_without_gap_or_overlap(state: State, board: Board) -> None:
    start = state.cutover - timedelta(hours=2)
    past = board.history(int(start.timestamp()), int(AT.timestamp())).minutes
    live = board.read().minutes
    minutes = past.minute + live.minute
    assert minutes == list(range(int(start.timestamp()), int(AT.timestamp()), 60))
    assert len(past.minute) == 120
    assert sum(past.plays + live.plays) == total(parts(state, "total", start, AT + timedelta(minutes=1)), "plays")


def test_titles_and_cohorts_rank_what_is_watched_and_what_stalls(state: State, board: Board) -> None:
    reading = board.read()
    assert [t.viewers for t in reading.titles] == sorted((t.viewers for t in reading.titles), reverse=True)
    first = reading.titles[0]
    assert first.content_id == "the-long-night-s02e04"
    minute = AT.replace(second=0)

    def average(start: int, stop: int) -> float:
        rows = parts(state, "title", minute - timedelta(minutes=start), minute - timedelta(minutes=stop))
        return total([row for row in rows if row["content_id"] == first.content_id], "watched_ms") / 60_000 / 4

    assert first.change == pytest.approx(average(5, 1) - average(9, 5))
    worst = max(reading.cohorts, key=lambda cohort: cohort.stalled_share or 0)
    assert (worst.country, worst.device_type) == ("BR", "smart_tv")
    assert reading.cohorts[0].country == "BR"


def test_an_empty_warehouse_has_no_numbers(tmp_path: Path) -> None:
    board = Board(tmp_path, settled_s=420)
    reading = board.read()
    assert (reading.publish, reading.tiles, reading.minutes.minute) == (Publish(), [], [])
    assert board.history(0, 3600).minutes.minute == []
    board.close()


def test_a_publish_takes_over_at_its_cutover(state: State, board: Board) -> None:
    before = board.read()
    start = int((state.cutover - timedelta(hours=1)).timestamp())
    assert board.history(start, int(AT.timestamp())) is board.history(start, int(AT.timestamp()))
    state.cutover += timedelta(minutes=20)
    state.publish(days=0.2, publish_id="20261121T2015-9c01")
    after = board.read()
    cutover = (before.publish.cutover_minute or 0) + 1200
    assert after.publish.cutover_minute == cutover
    assert after.minutes.minute[0] == cutover
    assert board.history(start, int(AT.timestamp())).minutes.minute[-1] == cutover - 60


def test_an_update_holds_the_minutes_that_changed(board: Board) -> None:
    shown = board.read().minutes
    grown = msgspec.structs.replace(shown, plays=[*shown.plays[:-1], shown.plays[-1] + 1])
    update = changes(shown, grown)
    assert (update.minute, update.plays) == (shown.minute[-1:], grown.plays[-1:])
    assert changes(shown, shown).minute == []


def test_an_update_holds_the_seconds_from_the_first_that_changed(state: State, board: Board) -> None:
    shown = board.read().seconds
    assert shown is not None
    at = int(AT.timestamp())
    assert (shown.first, len(shown.plays)) == (at - 3_600, 3_600)
    assert changed_seconds(None, shown) is shown
    assert changed_seconds(shown, shown) == Seconds(
        first=at, kept_from=shown.first, concurrent=[], plays=[], failures=[]
    )
    filled = msgspec.structs.replace(shown, plays=[*shown.plays[:-2], 99, shown.plays[-1]])
    update = changed_seconds(shown, filled)
    assert update is not None
    assert (update.first, update.plays, len(update.failures)) == (at - 2, [99, shown.plays[-1]], 2)
    state.advance(3)
    later = board.read().seconds
    update = changed_seconds(shown, later)
    assert update is not None and later is not None
    assert (update.first, update.concurrent) == (at, later.concurrent[-3:])


def test_deliveries_are_the_cohorts_that_most_watch(state: State, board: Board) -> None:
    deliveries = board.read().deliveries
    assert [one.viewers for one in deliveries] == sorted((one.viewers for one in deliveries), reverse=True)
    worst = max(deliveries, key=lambda one: one.stalled_share or 0)
    assert (worst.country, worst.cdn) == ("BR", "north")
    minute = AT.replace(second=0)
    rows = parts(state, "cdn_app_country", minute - timedelta(minutes=WINDOW_MINUTES), minute + timedelta(minutes=1))
    mine = [
        row for row in rows if (row["country"], row["cdn"], row["app_version"]) == ("BR", "north", worst.app_version)
    ]
    failed = total(mine, "start_failures") + total(mine, "playback_failures")
    assert worst.failure_rate == pytest.approx(failed / total(mine, "plays"))
    assert worst.stalled_share == pytest.approx(total(mine, "stall_ms") / total(mine, "watched_ms"))


async def test_every_client_is_told_the_same_and_who_missed_one_starts_anew(state: State, board: Board) -> None:
    hub = Hub(board, links(Settings()), "build", clock_ms=lambda: int(AT.timestamp() * 1000))
    early, late = hub.messages(), hub.messages()
    assert (await anext(early)).startswith(b"retry:")
    assert (await anext(late)).startswith(b"retry:")

    await hub.refresh()
    first = decode(await anext(early))
    assert first.kind == "snapshot"
    assert len(first.minutes.minute) == 41

    state.advance(60)
    await hub.refresh()
    second = decode(await anext(early))
    assert second.kind == "update"
    running = int(AT.replace(second=0).timestamp()) + 60
    assert second.minutes.minute[-1] == running
    assert first.live_at is not None
    assert second.live_at == first.live_at + 60_000

    missed_one = decode(await anext(late))
    assert missed_one.kind == "snapshot"
    assert len(missed_one.minutes.minute) == 42


async def test_events_a_second_are_the_counters_difference(state: State, board: Board) -> None:
    hub = Hub(board, links(Settings()), "build")
    stream = hub.messages()
    await anext(stream)
    await hub.refresh()
    assert decode(await anext(stream)).pipeline.events_per_s is None
    before = state.events
    state.advance(4)
    await hub.refresh()
    expected = (state.events // 4 - before // 4) * 4 / 4
    assert decode(await anext(stream)).pipeline.events_per_s == pytest.approx(expected)


async def test_history_over_http_names_a_wrong_interval(tmp_path: Path) -> None:
    dashboard = Dashboard(Settings(home=tmp_path))
    app = FastAPI()
    app.include_router(dashboard.router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        good = await client.get("/v1/dashboard/history", params={"from": 0, "to": 3600})
        assert good.json()["minutes"]["minute"] == []
        bad = await client.get("/v1/dashboard/history", params={"from": 3600, "to": 0})
        assert bad.status_code == 422
        assert "got from=3600 to=0" in bad.json()["detail"]
        outside = await client.get("/pages/..%2Fpackage.json")
        assert outside.status_code == 404


def test_the_pages_types_are_the_servers() -> None:
    assert protocol.TARGET.read_text() == protocol.typescript(), "run `python -m warehouse.dashboard.protocol`"


def decode(message: bytes) -> Live:
    return msgspec.json.decode(message.removeprefix(b"data: "), type=Live)


async def test_a_client_is_told_that_a_slow_server_is_there(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warehouse.dashboard.hub.PULSE_S", 0.01)
    stream = Hub(board, links(Settings()), "build", clock_ms=lambda: 1234).messages()
    assert (await anext(stream)).startswith(b"retry:")
    assert await anext(stream) == b"event: pulse\ndata: 1234\n\n"
