"""Alerts on the page Now: those of the state, and the way from one of them to its cause."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from playwright.sync_api import Page, expect

from schemas.alert import Alert, question
from tests.browser.conftest import Served, screenshot_folder
from tests.browser.test_now import SOON_MS, sql
from tests.browser.test_quality import cells

pytestmark = pytest.mark.browser


def alerts(at_ms: int) -> list[Alert]:
    """One that is open, of a country; one of a title, younger; one of everything that is worse; one that has closed."""
    minute_ms = at_ms // 60_000 * 60_000
    figures = {"value": 0.0312, "minutes": 5, "expected": 0.0041, "limit": 0.0082, "sample": 1.2e7, "peak": 0.05}
    stamps = {"began_at": minute_ms - 600_000, "opened_at": minute_ms - 480_000, "judged_at": minute_ms}
    first = Alert(
        id="b1",
        rule="automatic",
        severity="warning",
        metric="stalled_share",
        unit="share, 0..1",
        cohort={"country": "BR"},
        sample_unit="watched_ms",
        covers=7,
        **figures,
        **stamps,
    )
    replace = msgspec.structs.replace
    small = replace(first, id="d4", cohort={"content_id": "live-01"}, covers=1, opened_at=minute_ms - 120_000)
    loud = replace(
        first, id="a2", rule="starts", severity="critical", cohort={}, covers=0, opened_at=minute_ms - 180_000
    )
    loud = replace(loud, metric="startup_quantile_ms", argument=0.95, unit="ms", value=16_000.0, expected=None)
    closed = replace(first, id="c3", cohort={"cdn": "east", "country": None}, closed_at=minute_ms - 60_000)
    return [first, small, loud, closed]


def test_an_alert_leads_to_its_cause(served: Served, page: Page) -> None:
    told = alerts(round(served.state.at.timestamp() * 1000))
    served.state.alerts = told
    served.state.write_live()
    served.start()
    page.goto(served.url)
    shown = page.locator(".alerts a")
    expect(shown).to_have_count(4, timeout=SOON_MS)
    rows = sql(
        served, "SELECT id, value FROM live.alerts ORDER BY is_open DESC, severity, if(is_open, covers, NULL) DESC"
    )
    assert [row[0] for row in rows] == ["a2", "b1", "d4", "c3"]
    said = shown.evaluate_all("all => all.map(one => [one.dataset.testid, Number(one.dataset.value)])")
    assert said == [[f"alert.{name}", value] for name, value in rows]
    expect(page.get_by_test_id("alerts")).to_have_attribute("data-open", "3")
    assert parse_qs(urlsplit(shown.nth(0).get_attribute("href") or "").query)["metric"] == ["startup_p95_ms"]
    mine = page.get_by_test_id("alert.b1")
    expect(mine).to_contain_text("usually 0.41\u202f%, limit 0.82\u202f%, explains 7 more cohorts")
    page.screenshot(path=screenshot_folder() / "alerts-now.png", full_page=True)

    mine.click()  # the first of five
    expect(page.get_by_test_id("evidence")).to_have_attribute("data-current", "true", timeout=SOON_MS)
    assert urlsplit(page.url).query == question(told[0])
    expect(page.get_by_test_id("path")).to_contain_text("Country BR")
    asked = parse_qs(urlsplit(page.url).query)
    values: dict[str, Any] = {name: int(asked[name][0]) for name in ("from", "to")}
    by_cdn = sql(
        served,
        "SELECT cdn, app_version, stalled_share(stall_ms, watched_ms) FROM metrics.quality_minute "
        "WHERE rollup = 'cdn_app_country' AND country = 'BR' AND epoch(minute) >= $from AND epoch(minute) < $to "
        "GROUP BY GROUPING SETS ((cdn, app_version), (cdn))",
        **values,
    )
    expected = {f"cell.{cdn}" + (f".{app}" if app else ""): value for cdn, app, value in by_cdn}
    assert cells(page) == {name: pytest.approx(value) for name, value in expected.items()}
    assert expected["cell.north"] > 3 * expected["cell.east"]

    page.get_by_test_id("worst").click()  # the second: CDN north it is
    expect(page.get_by_test_id("path")).to_contain_text("north", timeout=SOON_MS)
    assert parse_qs(urlsplit(page.url).query)["where"][:2] == ["country:BR", "cdn:north"]


def test_without_alerts_there_is_no_banner(served: Served, page: Page) -> None:
    served.state.write_live()
    served.start()
    page.goto(served.url)
    expect(page.get_by_test_id("concurrent_viewers")).to_be_visible(timeout=SOON_MS)
    expect(page.get_by_test_id("alerts")).to_have_count(0)
