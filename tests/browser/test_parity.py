"""The page Parity in a real browser: what was remembered is what is shown, and the next comparison comes by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from infra.settings import Settings
from schemas.parity import Comparison
from streams.parity.history import remember, telling
from tests.batch.world import START, playback
from tests.browser.conftest import SOON_MS, Served, Theme, assert_it_fits, screenshot_folder
from tests.browser.test_now import number
from tests.streams.parity.world import World

pytestmark = [pytest.mark.browser, pytest.mark.long]
BEFORE = 20


@pytest.fixture(scope="module")
def found() -> Comparison:
    """A day with every trouble; half an hour of it is behind the cut-over."""
    settings = Settings()
    sent = playback(3, 15)
    world = World(sent, settings)
    ends = {place: end - 10 for place, end in world.ends.items()}
    cutover = START + timedelta(hours=3)
    return World(sent, settings, batch_cut=ends).comparison(datetime.now(UTC), cutover=cutover)


def remembered(served: Served, found: Comparison) -> None:
    """That comparison, and some before it that grew up to it."""
    settings = Settings(home=served.home)
    for n in range(BEFORE, -1, -10):
        earlier = found.made_at - timedelta(minutes=5 * n)
        equal = found.whole_rows_equal - n % 9
        parts = [msgspec.structs.replace(p, causes={c: a - n for c, a in p.causes.items()}) for p in found.parts]
        one = msgspec.structs.replace(found, made_at=earlier, whole_rows_equal=equal, parts=parts)
        remember(settings, one if n else found)


def wrong(found: Comparison) -> Comparison:
    """A later one, with a number that nothing explains."""
    row = telling(found.differing)[0]
    parts = [msgspec.structs.replace(row.parts[0], batch_unexplained=7), *row.parts[1:]]
    later = found.made_at + timedelta(minutes=1)
    return msgspec.structs.replace(
        found, made_at=later, unexplained=1, differing=[msgspec.structs.replace(row, parts=parts)]
    )


def test_what_was_remembered_is_shown(served: Served, chromium: Browser, page: Page, found: Comparison) -> None:
    served.state.publish(days=0.1)
    served.produce()
    served.start()
    page.goto(served.url)
    expect(page.get_by_test_id("parity_state")).to_have_text("not compared yet", timeout=SOON_MS)
    page.get_by_role("link", name="Parity", exact=True).click()
    expect(page.get_by_test_id("no-parity")).to_contain_text("playlake parity", timeout=SOON_MS)

    page.evaluate("window.wasHere = true")
    remember(Settings(home=served.home), found)
    expect(page.get_by_test_id("whole_rows_equal")).to_be_visible(timeout=SOON_MS)
    assert page.evaluate("window.wasHere") is True, "the comparison came without loading the page again"
    assert (number(page, "whole_rows"), number(page, "whole_rows_equal")) == (found.whole_rows, found.whole_rows_equal)
    assert number(page, "unexplained") == 0
    for part in found.parts:
        if part.live or part.batch:
            amounts = [number(page, f"part.{part.part}.{cause}") for cause in part.causes]
            assert amounts == list(part.causes.values())
            assert number(page, f"part.{part.part}.live") == part.live
            assert part.live + sum(amount or 0 for amount in amounts) == number(page, f"part.{part.part}.batch")
    for metric in found.metrics:
        assert number(page, f"metric.{metric.metric}.live") == pytest.approx(metric.live)
        assert number(page, f"metric.{metric.metric}.batch") == pytest.approx(metric.batch)
    first = telling(found.differing)[0]
    row = page.get_by_test_id("row.0")
    assert row.get_attribute("data-minute") == str(int(first.minute.timestamp()))
    row.locator("summary").click()
    expect(row.get_by_test_id(f"row.0.{first.parts[0].part}.live")).to_be_visible()
    page.screenshot(path=screenshot_folder() / "parity-open.png", full_page=True)

    remember(Settings(home=served.home), wrong(found))
    expect(row).to_contain_text("1 unexplained", timeout=SOON_MS)
    expect(row).to_contain_text("batch +7")
    assert number(page, "unexplained") == 1
    page.get_by_role("link", name="Now").click()
    expect(page.get_by_test_id("parity_state")).to_contain_text("1 unexplained", timeout=SOON_MS)

    remembered(served, msgspec.structs.replace(found, made_at=found.made_at + timedelta(hours=3)))
    looks: tuple[tuple[Theme, int], ...] = (("dark", 3840), ("light", 1366))
    for theme, width in looks:
        assert_it_fits(chromium, f"{served.url}parity", "[data-testid='row.0']", ("parity", theme, width))
