"""The page Session in a real browser: found from a cohort or by an id, its figures are those of SQL."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import SOON_MS, Served, Theme, assert_it_fits, screenshot_folder
from tests.browser.test_now import number, sql
from tests.browser.views import BUFFER_MS, REPORTING, SICK, Views

pytestmark = pytest.mark.browser


def test_from_the_cohorts_list_to_the_events_behind_a_number(standing: Served, page: Page, views: Views) -> None:
    where = "&".join(f"where={name}:{value}" for name, value in zip(("country", "device_type"), SICK, strict=True))
    page.goto(f"{standing.url}cohorts?metric=stalled_share&by=cdn&span=10800&{where}")
    first = page.locator(".sessions [data-testid='cell.session_id']").first
    expect(first).to_be_visible(timeout=SOON_MS)
    session_id = first.get_attribute("data-value")
    first.click()
    expect(page.get_by_test_id("session_id")).to_have_text(session_id or "", timeout=SOON_MS)

    names = ("watched_ms", "stall_ms", "stall_count", "startup_ms", "experience_score", "bits_played", "event_count")
    [row] = sql(
        standing, f"SELECT {', '.join(names)} FROM metrics.session_quality WHERE session_id = $id", id=session_id
    )
    for name, expected in zip(names, row, strict=True):
        assert number(page, f"figure.{name}") == expected, name
    told: Any = dict(zip(names, row, strict=True))
    assert number(page, "phase.stalled") == told["stall_ms"], "the timeline adds up to the metric"
    assert number(page, "head.stall_ms") == told["stall_ms"]
    assert number(page, "events") == told["event_count"]
    page.set_viewport_size({"width": 1366, "height": 768})
    hidden = page.locator(".events .ag-grid-viewport").evaluate("grid => grid.scrollWidth - grid.clientWidth")
    assert hidden == 0, "a laptop shows all columns"

    stall = page.locator(".events [role=row]", has=page.locator("[data-value='stall_start']")).first
    stall.click()
    expect(page.get_by_test_id("raw")).to_contain_text("user.playback.events")
    event = parse_qs(urlsplit(page.url).query)["event"][0]
    expect(page.get_by_test_id("raw")).to_have_attribute("data-event", event)
    page.reload()
    expect(page.get_by_test_id("raw")).to_have_attribute("data-event", event, timeout=SOON_MS)


@pytest.mark.long
def test_search_by_user_and_by_session(standing: Served, page: Page, views: Views) -> None:
    page.goto(f"{standing.url}session")
    expect(page.get_by_test_id("start")).to_be_visible(timeout=SOON_MS)
    [(user, many)] = sql(
        standing,
        "SELECT user_id, count(*) FROM silver.sessions GROUP BY 1 HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT 1",
    )
    page.get_by_test_id("find").fill(user)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("hits")).to_have_attribute("data-value", str(many), timeout=SOON_MS)
    assert f"find={user}" in page.url
    hit = page.locator("[data-testid='cell.session_id']").first
    expect(hit).to_be_visible(timeout=SOON_MS)
    session_id = hit.get_attribute("data-value") or ""
    hit.click()
    expect(page.get_by_test_id("session_id")).to_have_text(session_id, timeout=SOON_MS)
    page.go_back()
    expect(page.get_by_test_id("hits")).to_be_visible(timeout=SOON_MS)
    page.get_by_test_id("find").fill(session_id)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("session_id")).to_have_text(session_id, timeout=SOON_MS)


def test_what_is_not_there_says_so(standing: Served, page: Page) -> None:
    page.goto(f"{standing.url}session?find=nobody")
    expect(page.get_by_test_id("no-hits")).to_contain_text("Nothing found", timeout=SOON_MS)
    page.goto(f"{standing.url}session?id=nobody")
    expect(page.get_by_test_id("missing")).to_contain_text("No published session has this id", timeout=SOON_MS)


def test_a_player_that_reports_by_cmcd_shows_its_buffer(standing: Served, page: Page, views: Views) -> None:
    page.goto(f"{standing.url}session?id={views.cohort(country=SICK[0])[0]['session_id']}")
    timeline = page.locator(".timeline")
    expect(timeline).to_contain_text("this player reports no buffer", timeout=SOON_MS)
    page.goto(f"{standing.url}session?id={REPORTING}")
    expect(timeline).to_contain_text("events, read from the lake", timeout=SOON_MS)
    expect(timeline).not_to_contain_text("reports no buffer")
    page.screenshot(path=screenshot_folder() / "session-buffer.png")
    assert number(page, "phase.stalled") == number(page, "figure.stall_ms") == 3_000
    lowest = re.compile(rf"buffer lowest {min(BUFFER_MS.values())}\sms")
    expect(timeline.get_by_role("img", name=lowest)).to_be_visible()


@pytest.mark.parametrize(
    ("problem", "shown", "text"),
    [
        ("", "no-events", "no events of this session any more"),
        ("The lake was searched for 10 s.", "events-problem", "searched for 10 s"),
    ],
)
def test_without_events_the_figures_stay(standing: Served, page: Page, problem: str, shown: str, text: str) -> None:
    """The server's answer, with what a lake that forgets or does not answer makes of it."""
    [(watched_ms,)] = sql(standing, "SELECT watched_ms FROM silver.sessions WHERE session_id = $id", id=REPORTING)

    def change(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"events": [], "events_problem": problem})

    page.route("**/v1/dashboard/sessions/*", change)
    page.goto(f"{standing.url}session?id={REPORTING}")
    expect(page.get_by_test_id(shown)).to_contain_text(text, timeout=SOON_MS)
    assert number(page, "figure.watched_ms") == watched_ms


@pytest.mark.long
@pytest.mark.parametrize(("theme", "width"), [("dark", 1366), ("light", 1700), ("dark", 3840)])
def test_it_fits(standing: Served, chromium: Browser, views: Views, theme: Theme, width: int) -> None:
    url = f"{standing.url}session?id={views.cohort(country=SICK[0])[0]['session_id']}"
    assert_it_fits(chromium, url, ".events [data-testid='cell.event_type']", ("session", theme, width))
