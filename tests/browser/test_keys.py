"""A dashboard behind API keys: the browser asks for the key itself, and then everything comes, the event stream too."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from infra.settings import Settings
from tests.browser.conftest import Served
from warehouse.access.keys import KeyFile, Scope

pytestmark = pytest.mark.browser


def test_a_key_as_the_password_opens_the_dashboard(served: Served, chromium: Browser) -> None:
    served.state.publish(days=0.1)
    served.state.write_live()
    _, key = KeyFile(Settings(home=served.home).server_keys_file).add("wall-screen", Scope.view)
    served.start_whole_server(server_keys="always")
    stranger = chromium.new_context(http_credentials={"username": "wall-screen", "password": key[:-1] + "x"})
    answer = stranger.new_page().goto(served.url)
    assert answer is not None and answer.status == 401
    stranger.close()
    context = chromium.new_context(http_credentials={"username": "whoever", "password": key})
    page = context.new_page()
    page.goto(served.url)
    page.wait_for_function("() => Number(document.querySelector('[data-testid=events]')?.dataset.value) > 0")
    page.get_by_role("link", name="Reference").click()
    expect(page.get_by_test_id("table.gold.quality_minute")).to_be_visible(timeout=30_000)
    context.close()
