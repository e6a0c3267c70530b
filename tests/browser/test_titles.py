"""The page Titles in a real browser: its numbers are those of SQL."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import SOON_MS, Served, Theme, assert_it_fits
from tests.browser.test_now import number, sql

pytestmark = pytest.mark.browser


def test_the_list_and_one_title_equal_sql(standing: Served, page: Page) -> None:
    page.goto(f"{standing.url}titles?span=86400")
    first = page.locator("[role=row][row-index='0'] [data-testid='cell.watched_ms']")
    expect(first).to_be_visible(timeout=SOON_MS)
    ranked = sql(
        standing,
        "SELECT content_id, sum(watched_ms)::BIGINT FROM metrics.quality_minute WHERE rollup = 'title' "
        "GROUP BY content_id ORDER BY 2 DESC",
    )
    assert first.get_attribute("data-value") == str(ranked[0][1])
    assert number(page, "total") == len(ranked)

    [(content_id, half)] = sql(
        standing,
        "SELECT content_id, title_retention_at(position_percent, furthest_plays, 50) FROM gold.title_retention "
        "GROUP BY 1 ORDER BY sum(furthest_plays) DESC, 1 LIMIT 1",
    )
    page.locator(f"[data-testid='cell.content_id'][data-value='{content_id}']").click()
    expect(page.get_by_test_id("title")).to_have_text(content_id.replace("-", " ").title(), timeout=SOON_MS)
    assert f"id={content_id}" in page.url
    assert number(page, "retention.50") == pytest.approx(half)
    [(viewers, complete)] = sql(
        standing,
        "SELECT unique_viewers_exact(user_id, session_id), complete_play_rate(complete_plays, completable_plays) "
        "FROM metrics.session_quality WHERE content_id = $id AND started_at < (SELECT minute FROM metrics.cutover)",
        id=content_id,
    )
    assert number(page, "fact.viewers") == viewers
    assert number(page, "fact.complete_play_rate") == pytest.approx(complete)
    page.get_by_label("15m").press("ArrowRight")
    expect(page.get_by_label("1h")).to_be_checked()
    assert f"id={content_id}" in page.url
    assert "span=3600" in page.url


def test_what_gains_viewers_is_one_click_away(standing: Served, page: Page) -> None:
    page.goto(f"{standing.url}titles?span=10800")
    gaining = page.get_by_role("navigation", name="Gaining viewers").get_by_role("button").first
    expect(gaining).to_be_visible(timeout=SOON_MS)
    [(content_id, change)] = sql(
        standing, "SELECT content_id, change FROM metrics.trending_titles WHERE surge > 0 ORDER BY surge DESC LIMIT 1"
    )
    expect(gaining).to_contain_text(f"+{change:.1f}")
    gaining.click()
    expect(page.get_by_test_id("title")).to_have_text(content_id.replace("-", " ").title(), timeout=SOON_MS)
    assert f"id={content_id}" in page.url


def test_a_stretch_in_which_nothing_was_watched_says_so(served: Served, page: Page) -> None:
    served.state.live_minutes = 2
    served.state.publish(days=0.1)
    served.start()  # nothing is live yet, and the published file knows no title
    page.goto(f"{served.url}titles?span=3600")
    expect(page.get_by_test_id("no-titles")).to_contain_text("Nothing was watched", timeout=SOON_MS)
    page.get_by_label("15m").press("ArrowRight")
    expect(page).to_have_url(re.compile("span=3600"))


@pytest.mark.long
def test_what_is_not_there_says_so(standing: Served, page: Page) -> None:
    page.goto(f"{standing.url}titles?id=nothing&span=3600")
    expect(page.get_by_test_id("no-retention")).to_contain_text("live stream has no length", timeout=SOON_MS)
    page.goto(f"{standing.url}titles?span=5")
    expect(page.get_by_test_id("problem")).to_contain_text("expected a stretch of 60", timeout=SOON_MS)


@pytest.mark.long
@pytest.mark.parametrize(("theme", "width"), [("dark", 1366), ("light", 1700), ("dark", 3840)])
def test_it_fits(standing: Served, chromium: Browser, theme: Theme, width: int) -> None:
    url = f"{standing.url}titles?span=10800"
    assert_it_fits(chromium, url, "[data-testid='cell.watched_ms']", ("titles", theme, width))
