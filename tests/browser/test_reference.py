"""The page Reference on the whole server: what it names can be asked."""

from __future__ import annotations

import json
import subprocess
import urllib.request

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Served, screenshot_folder

pytestmark = pytest.mark.browser


def test_it_lists_tables_and_metrics_and_its_examples_run(served: Served, page: Page) -> None:
    served.state.publish(days=0.1)
    served.state.write_live()
    served.start_whole_server()
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    page.goto(served.url)
    page.get_by_role("link", name="Reference").click()
    expect(page.get_by_test_id("table.gold.quality_minute")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("startup_quantile_ms(startup_histogram, q)")).to_be_visible()
    joined = page.get_by_test_id("table.metrics.quality_minute")
    joined.locator("summary").click()
    expect(joined.get_by_text("watched_ms")).to_be_visible()
    page.screenshot(path=screenshot_folder() / "reference.png")

    curl = page.locator(".command pre").nth(1).inner_text()
    answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=60, check=True).stdout
    assert answer.startswith("publish_id,")
    assert "20261121T1200-7f3a" in answer

    sql = page.locator(".command pre").nth(0).inner_text().removeprefix('playlake sql "').removesuffix('"')
    body = json.dumps({"sql": sql}).encode()
    request = urllib.request.Request(f"{served.url}v1/sql", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert json.load(response)["row_count"] == 8  # countries
    assert all(url.startswith((served.url, "data:")) for url in asked), asked
