"""Pages in a real browser while the first answer is on its way: they say what they wait for, then show it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import SOON_MS, Served
from tests.browser.views import REPORTING, Views

pytestmark = pytest.mark.browser

WAITS = {
    "": ("**/v1/live", "Connecting to the live numbers.", "now"),
    "cohorts?by=country&span=3600": ("**/v1/dashboard/cohorts/catalog", "Asking what there is to ask.", "evidence"),
    "titles?span=10800": ("**/v1/dashboard/titles?*", "Reading the titles.", "total"),
    "parity": ("**/v1/dashboard/parity", "Reading the last comparison.", "no-parity"),
    "pipeline": ("**/v1/dashboard/pipeline", "Looking at the broker, the lake and the processes.", "pipeline"),
    f"session?id={REPORTING}": ("**/v1/dashboard/sessions/*", "Reading the session and its events.", "session_id"),
}
"""Address → what is held back, what the page says meanwhile, and what stands there afterwards."""
LONG = [one for one in WAITS if one.startswith(("cohorts", "parity", "session"))]


@pytest.mark.parametrize(
    "address", [pytest.param(one, marks=[pytest.mark.long] if one in LONG else []) for one in WAITS]
)
def test_a_page_says_what_it_waits_for(standing: Served, page: Page, views: Views, address: str) -> None:
    held_back, said, shown = WAITS[address]
    held: list[Route] = []
    is_open = False
    page.add_init_script("delete window.SharedWorker")  # its requests are not the page's to hold back
    page.route(held_back, lambda route: route.continue_() if is_open else held.append(route))
    page.goto(f"{standing.url}{address}")
    expect(page.get_by_role("main")).to_contain_text(said, timeout=SOON_MS)
    expect(page.get_by_test_id(shown)).to_have_count(0)
    is_open = True
    for route in held:
        route.continue_()
    expect(page.get_by_test_id(shown)).to_be_visible(timeout=SOON_MS)
    expect(page.get_by_role("main")).not_to_contain_text(said)
