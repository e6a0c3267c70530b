"""The page Quality in a real browser: what is shown is what SQL says, and every step is an address."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import SOON_MS, Served, Theme, assert_it_fits
from tests.browser.test_now import number, sql
from tests.browser.views import SICK, Views

pytestmark = pytest.mark.browser


def cells(page: Page) -> dict[str, float | None]:
    found = page.locator(".heat td button").evaluate_all(
        "all => all.map(one => [one.dataset.testid, one.dataset.value])"
    )
    return {name: float(value) if value else None for name, value in found}


def column(page: Page, panel: str, name: str) -> list[str]:
    """Values of a grid's column as the rows stand one below the other."""
    return page.locator(f".{panel} [role=row] [data-testid='cell.{name}']").evaluate_all(
        "all => all.map(one => [one.closest('[role=row]').getAttribute('row-index'), one.dataset.value])"
        ".sort((a, b) => a[0] - b[0]).map(([, value]) => value)"
    )


def test_from_the_whole_to_the_worst_cohort_and_its_sessions(standing: Served, page: Page, views: Views) -> None:
    page.goto(standing.url)
    page.get_by_test_id("closer").click()
    expect(page.get_by_test_id("evidence")).to_have_attribute("data-current", "true", timeout=SOON_MS)
    hour = "minute >= $stop - INTERVAL 1 HOUR AND minute < $stop"
    stop = views.at.replace(second=0, microsecond=0)
    rows = sql(
        standing,
        "SELECT country, device_type, grouping(device_type) = 1, stalled_share(stall_ms, watched_ms) "
        "FROM metrics.quality_minute "
        f"WHERE rollup = 'country_device' AND {hour.replace('$stop', '($stop + INTERVAL 1 MINUTE)')} "
        "GROUP BY GROUPING SETS ((country, device_type), (country))",
        stop=stop,
    )
    expected = {f"cell.{country}" + ("" if is_all else f".{device}"): value for country, device, is_all, value in rows}
    shown = cells(page)
    assert len(shown) > 8
    assert {name: pytest.approx(expected[name.replace("null", "None")]) for name in shown} == shown
    expect(page.get_by_test_id("basis")).to_have_attribute("data-source", "minutes")
    expect(page.get_by_test_id("basis")).to_contain_text("audited history before")

    # Down to the worst cohort: no rollup has what tells its viewers apart, sessions do.
    page.get_by_test_id("worst").click()
    expect(page.get_by_test_id("basis")).to_have_attribute("data-source", "sessions", timeout=SOON_MS)
    expect(page.get_by_test_id("path")).to_contain_text("Country BR")
    told = parse_qs(urlsplit(page.url).query)
    assert (told["where"], told["by"]) == ([f"country:{SICK[0]}", f"device_type:{SICK[1]}"], ["cdn", "app_version"])
    cohort = (
        "FROM silver.sessions WHERE country = 'BR' AND device_type = 'smart_tv' "
        "AND started_at >= $stop + INTERVAL 1 MINUTE - INTERVAL 1 HOUR AND started_at < $cutover"
    )
    [(whole,)] = sql(standing, f"SELECT stalled_share(stall_ms, watched_ms) {cohort}", stop=stop, cutover=views.cutover)
    expect(page.get_by_test_id("evidence")).to_have_attribute("data-current", "true", timeout=SOON_MS)
    assert number(page, "whole") == pytest.approx(whole)

    # The sessions behind it, those that stalled longest first, as SQL lists them.
    there = cohort.replace("started_at >= $stop", "ended_at >= $stop")
    listed = sql(
        standing,
        f"SELECT session_id, stall_ms {there} ORDER BY stall_ms DESC",
        stop=stop,
        cutover=views.cutover,
    )
    expect(page.locator(".sessions [data-testid='cell.session_id']").first).to_be_visible(timeout=SOON_MS)
    assert column(page, "sessions", "session_id")[:3] == [name for name, _ in listed[:3]]
    assert column(page, "sessions", "stall_ms")[:3] == [str(stalled) for _, stalled in listed[:3]]
    assert number(page, "sessions.total") == len(listed)

    # Back is the step before.
    page.go_back()
    expect(page.get_by_test_id("basis")).to_have_attribute("data-source", "minutes", timeout=SOON_MS)
    assert "where" not in parse_qs(urlsplit(page.url).query)


@pytest.mark.long
def test_by_keyboard_and_by_address(standing: Served, page: Page) -> None:
    page.goto(f"{standing.url}cohorts?metric=start_failure_rate&by=device_type&span=10800&least=3")
    expect(page.get_by_label("3h")).to_be_checked(timeout=SOON_MS)
    expect(page.get_by_test_id("least")).to_have_value("3")
    expect(page.get_by_test_id("metric")).to_have_value("start_failure_rate")
    page.get_by_test_id("columns").select_option("country")
    first = page.locator(".heat tbody tr").first.locator("td button")
    expect(first.first).to_be_visible(timeout=SOON_MS)
    second = page.locator(".heat tbody tr").nth(1).locator("th + td button")
    before = page.locator(".heat tbody tr").first.locator("th + td button")
    before.or_(first.first).first.focus()
    page.keyboard.press("ArrowDown")
    if second.count():
        expect(second).to_be_focused()
    page.locator(":focus").press("Enter")
    expect(page.get_by_test_id("path")).to_contain_text("Device", timeout=SOON_MS)
    assert "where=device_type" in page.url


def test_what_cannot_be_shown_says_so(standing: Served, page: Page) -> None:
    page.goto(f"{standing.url}cohorts?metric=ad_fill_rate&by=country")
    expect(page.get_by_test_id("why-not")).to_contain_text("gold.ads_daily", timeout=SOON_MS)
    page.goto(f"{standing.url}cohorts?metric=stalled_share&by=country&where=country:XX")
    expect(page.get_by_test_id("no-cohorts")).to_contain_text("belongs to this cohort", timeout=SOON_MS)
    expect(page.get_by_test_id("no-sessions")).to_be_visible()
    page.goto(f"{standing.url}cohorts?metric=stalled_share&by=password")
    expect(page.get_by_test_id("problem")).to_contain_text("got password", timeout=SOON_MS)


@pytest.mark.long
@pytest.mark.parametrize(("theme", "width"), [("dark", 1366), ("light", 1700), ("dark", 3840)])
def test_it_fits(standing: Served, chromium: Browser, theme: Theme, width: int) -> None:
    seen = ".sessions [data-testid='cell.session_id']"
    asked = assert_it_fits(chromium, f"{standing.url}cohorts", seen, ("quality", theme, width))
    assert [url for url in asked if not url.startswith((standing.url, "data:", "blob:"))] == []


@pytest.mark.long
def test_when_the_server_is_gone_its_last_answer_stays(standing: Served, page: Page) -> None:
    page.goto(f"{standing.url}cohorts?span=10800")
    expect(page.get_by_test_id("whole")).to_be_visible(timeout=SOON_MS)
    shown: Any = number(page, "whole")
    standing.stop()
    expect(page.get_by_test_id("down")).to_contain_text("does not answer", timeout=SOON_MS)
    assert number(page, "whole") == shown
    standing.start()
    expect(page.get_by_test_id("down")).to_have_count(0, timeout=SOON_MS)
    assert number(page, "whole") == shown
