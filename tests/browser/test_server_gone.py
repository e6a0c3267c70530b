"""Pages in a real browser while the server is away: they say so, keep what they show, and go on by themselves."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SOON_MS, Served

pytestmark = [pytest.mark.browser, pytest.mark.long]

PAGES = {"titles?span=10800": "title", "session": "start", "sql": "run", "pipeline": "pipeline"}
"""Address → what stands there; Now and Quality are looked at in their own tests."""


@pytest.mark.parametrize("address", PAGES)
def test_a_page_says_that_the_server_is_gone_and_goes_on(standing: Served, page: Page, address: str) -> None:
    shown = page.get_by_test_id(PAGES[address])
    page.goto(f"{standing.url}{address}")
    expect(shown).to_be_visible(timeout=SOON_MS)
    standing.stop()
    expect(page.get_by_test_id("down")).to_contain_text("does not answer", timeout=SOON_MS)
    expect(shown).to_be_visible()
    standing.start()
    expect(page.get_by_test_id("down")).to_have_count(0, timeout=SOON_MS)
