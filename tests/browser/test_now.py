"""The page Now in a real browser: its numbers are those of SQL over the same files, and it never hides their age."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.conftest import SOON_MS, Served, screenshot_folder
from warehouse import attach, publication

pytestmark = pytest.mark.browser


def state_of(page: Page) -> str | None:
    return page.get_by_test_id("badge").get_attribute("data-state")


def number(page: Page, name: str) -> float | None:
    value = page.get_by_test_id(name).get_attribute("data-value")
    return float(value) if value else None


def sql(served: Served, question: str, **values: Any) -> list[tuple[Any, ...]]:
    """What any DuckDB client is told over the same files."""
    connection = attach.connect(256_000_000)
    record = publication.current(served.state.folder)
    attach.attach_published(connection, record.paths(served.state.folder) if record else [])
    attach.attach_live(connection, publication.live_file(served.state.folder))
    attach.define_views(connection)
    with connection:
        return connection.execute(question, values or None).fetchall()


def test_numbers_shown_equal_sql_over_the_same_state(served: Served, page: Page) -> None:
    served.state.publish(days=1.2)
    served.state.write_live()  # and stands still: both sides read the same second
    served.start()
    page.goto(served.url)
    expect(page.get_by_test_id("concurrent_viewers")).to_be_visible(timeout=SOON_MS)
    minute = served.state.at.replace(second=0, microsecond=0)

    [(watching, events, rejected)] = sql(served, "SELECT sum(concurrent), sum(events), sum(rejected) FROM live.now")
    assert number(page, "concurrent_viewers") == watching
    assert page.get_by_test_id("concurrent_viewers").inner_text().replace("\u202f", "") == f"{watching:,}viewers"
    assert (number(page, "events"), number(page, "rejected")) == (events, rejected)

    window = """
        SELECT startup_quantile_ms(startup_histogram, 0.5), startup_quantile_ms(startup_histogram, 0.95),
               stalled_share(stall_ms, watched_ms), start_failure_rate(start_failures, plays),
               playback_failure_rate(playback_failures, plays)
        FROM metrics.quality_minute
        WHERE rollup = 'total' AND minute >= $m - INTERVAL 5 MINUTE - to_hours($back)
          AND minute < $m + to_minutes($running) - to_hours($back)"""
    names = ("startup_p50_ms", "startup_p95_ms", "stalled_share", "start_failure_rate", "playback_failure_rate")
    for suffix, back, running in (("", 0, 1), (".hour_ago", 1, 0), (".day_ago", 24, 0)):
        [row] = sql(served, window, m=minute, back=back, running=running)
        for name, expected in zip(names, row, strict=True):
            assert number(page, name + suffix) == pytest.approx(expected), name + suffix
    shown = page.get_by_test_id("stalled_share").inner_text().replace("\u202f", "")
    [(_, _, share, _, _)] = sql(served, window, m=minute, back=0, running=1)
    assert shown == f"{share * 100:.2f}%"

    titles = sql(
        served,
        "SELECT content_id, sum(plays), stalled_share(stall_ms, watched_ms) FROM live.quality_minute "
        "WHERE rollup = 'title' AND minute >= $m - INTERVAL 5 MINUTE GROUP BY 1 ORDER BY sum(watched_ms) DESC LIMIT 8",
        m=minute,
    )
    for place, (content_id, plays, stalled) in enumerate(titles):
        assert page.get_by_test_id(f"title.{place}").get_attribute("data-title") == content_id
        assert number(page, f"title.{place}.plays") == plays
        assert number(page, f"title.{place}.stalled_share") == pytest.approx(stalled)

    cohorts = sql(
        served,
        "SELECT country, device_type, stalled_share(stall_ms, watched_ms) FROM live.quality_minute "
        "WHERE rollup = 'country_device' AND minute >= $m - INTERVAL 5 MINUTE GROUP BY ALL",
        m=minute,
    )
    for country, device, stalled in cohorts:
        assert number(page, f"cohort.{country}.{device}.stalled_share") == pytest.approx(stalled)

    # Worst first: what is furthest beyond its limit, of failures the lower end of the 95 % interval (Wilson).
    deliveries = sql(
        served,
        """
        SELECT country, cdn, app_version, sum(watched_ms) / 60000 AS viewers,
               startup_quantile_ms(startup_histogram, 0.95) AS p95, stalled_share(stall_ms, watched_ms) AS stalled,
               (sum(start_failures) + sum(playback_failures)) / sum(plays) AS failed, sum(plays) AS n,
               (failed + 1.9208 / n - 1.96 * sqrt(failed * (1 - failed) / n + 0.9604 / n**2)) / (1 + 3.8416 / n) AS low
        FROM live.quality_minute WHERE rollup = 'cdn_app_country' AND minute >= $m - INTERVAL 5 MINUTE GROUP BY ALL
        ORDER BY n < 20, greatest(p95 / 10000, stalled / 0.03, low / 0.03) DESC LIMIT 8""",
        m=minute,
    )
    assert deliveries[0][:2] == ("BR", "north")
    for place, (country, cdn, app_version, _, p95, stalled, failed, *_) in enumerate(deliveries):
        row = page.get_by_test_id(f"delivery.{place}")
        assert row.get_attribute("data-cohort") == f"{country}|{cdn}|{app_version}"
        for name, expected in (("startup_p95_ms", p95), ("stalled_share", stalled), ("failure_rate", failed)):
            assert number(page, f"delivery.{place}.{name}") == pytest.approx(expected)
    page.get_by_test_id("delivery.0").get_by_role("link").click()
    expect(page).to_have_url(re.compile("metric=stalled_share.*where=country%3ABR&where=cdn%3Anorth"))


@pytest.mark.parametrize(("chosen", "step"), [("15m", "second"), ("1h", "second"), ("3h", "minute")])
def test_the_last_hour_is_shown_by_second(served: Served, page: Page, chosen: str, step: str) -> None:
    served.state.publish(days=0.2)
    served.state.write_live()
    served.start()
    page.goto(f"{served.url}?range={chosen}")
    expect(page.get_by_test_id("hour.plays")).to_be_visible(timeout=SOON_MS)
    [(plays, failures, last)] = sql(
        served,
        "SELECT sum(plays), sum(start_failures + playback_failures), arg_max(plays, second) FROM live.quality_second",
    )
    shown = [number(page, name) for name in ("hour.plays", "hour.failures", "second.plays")]
    assert shown == [plays, failures, last]
    [(rate,)] = sql(
        served,
        "SELECT sum(plays) / 60 FROM live.quality_second"
        " WHERE second > (SELECT max(second) FROM live.quality_second) - INTERVAL 60 SECOND",
    )
    assert number(page, "attempts_per_second") == pytest.approx(rate)
    expect(page.get_by_role("img", name=f"viewers and plays by {step}")).to_be_visible()
    page.wait_for_timeout(500)
    page.screenshot(path=screenshot_folder() / f"now-{chosen}.png")


def test_it_follows_the_stream_and_says_when_that_stops(served: Served, page: Page) -> None:
    served.state.publish(days=0.2)
    served.produce()
    served.start()
    page.goto(served.url)
    badge = page.get_by_test_id("badge")
    expect(badge).to_have_attribute("data-state", "live", timeout=SOON_MS)
    before = number(page, "events") or 0
    page.wait_for_function(
        "before => Number(document.querySelector('[data-testid=events]').dataset.value) > before", arg=before
    )

    served.pause()  # the server goes on answering; only its numbers grow old
    expect(badge).to_have_attribute("data-state", "stale", timeout=SOON_MS)
    expect(badge).to_have_text(re.compile(r"stale · \d+ s old"))
    stood = number(page, "concurrent_viewers")

    served.stop()
    expect(badge).to_have_attribute("data-state", "down", timeout=SOON_MS)
    expect(page.get_by_test_id("down")).to_contain_text("does not answer")
    assert number(page, "concurrent_viewers") == stood, "the last numbers stay on screen"
    page.screenshot(path=screenshot_folder() / "now-down.png")

    page.evaluate("window.wasHere = true")
    served.produce()
    served.start()
    expect(badge).to_have_attribute("data-state", "live", timeout=SOON_MS)
    assert page.evaluate("window.wasHere") is True, "it recovered without loading the page again"


def test_a_publish_moves_the_cutover_without_a_reload(served: Served, page: Page) -> None:
    answers: list[str] = []
    page.on("request", lambda request: answers.append(request.url) if "/history" in request.url else None)
    served.state.publish(days=0.2)
    served.produce()
    served.start()
    page.goto(served.url)
    expect(page.get_by_test_id("badge")).to_have_attribute("data-state", "live", timeout=SOON_MS)
    before = number(page, "published_at")
    page.wait_for_timeout(1_500)
    asked = len(answers)
    served.pause()
    served.state.at = datetime.now(UTC)
    served.state.publish(days=0.2, publish_id="later")
    served.produce()
    page.wait_for_function(
        "before => Number(document.querySelector('[data-testid=published_at]').dataset.value) > before", arg=before
    )
    page.wait_for_timeout(1_500)
    assert len(answers) == asked + 2, "today's and yesterday's minutes are asked for once a publish"


def test_before_the_first_event_it_shows_how_to_send_one(served: Served, page: Page) -> None:
    served.start()
    page.goto(served.url)
    expect(page.get_by_test_id("empty")).to_contain_text("/v1/events", timeout=SOON_MS)
    assert state_of(page) == "empty"
    page.screenshot(path=screenshot_folder() / "now-empty.png")
    served.produce()
    expect(page.get_by_test_id("concurrent_viewers")).to_be_visible(timeout=SOON_MS)


def test_tabs_share_one_stream_and_nothing_comes_from_elsewhere(served: Served, chromium: Browser) -> None:
    served.state.publish(days=0.2)
    served.produce()
    served.start()
    context = chromium.new_context()
    asked: list[str] = []
    record: Callable[[Request], None] = lambda request: asked.append(request.url)  # noqa: E731
    context.on("request", record)
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        tab.goto(served.url)
    for tab in tabs:
        expect(tab.get_by_test_id("badge")).to_have_attribute("data-state", "live", timeout=SOON_MS)
    context.close()
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {f"127.0.0.1:{served.port}"}
    assert sum("/v1/live" in url for url in asked) <= 1


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Eight published days, for tests that only look at them."""
    running = Served(tmp_path_factory.mktemp("standing"))
    running.state.publish()
    running.state.write_live()
    running.start()
    yield running
    running.close()


@pytest.mark.parametrize(
    ("width", "height", "theme"),
    [
        (1366, 768, "light"),
        (3840, 2160, "dark"),
        pytest.param(1366, 768, "dark", marks=pytest.mark.long),
        pytest.param(1920, 1080, "light", marks=pytest.mark.long),
        pytest.param(1920, 1080, "dark", marks=pytest.mark.long),
        pytest.param(3840, 2160, "light", marks=pytest.mark.long),
    ],
)
def test_it_fits_from_laptop_to_wall(standing: Served, chromium: Browser, theme: Any, width: int, height: int) -> None:
    standing.state.advance(0, to=datetime.now(UTC))
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    page = context.new_page()
    page.goto(standing.url)
    expect(page.get_by_test_id("concurrent_viewers")).to_be_visible(timeout=SOON_MS)
    page.wait_for_timeout(2_000)
    page.screenshot(path=screenshot_folder() / f"now-{theme}-{width}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width >= 1920:
        assert page.evaluate("document.documentElement.scrollHeight") <= height, "a wall screen cannot be scrolled"
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    page.get_by_test_id("theme").press("Enter")  # by keyboard
    assert page.evaluate("document.documentElement.dataset.theme") != theme
    context.close()


def test_the_range_is_part_of_the_address(served: Served, page: Page) -> None:
    served.state.publish(days=0.2)
    served.produce()
    served.start()
    page.goto(served.url + "?range=6h")
    expect(page.get_by_label("6h")).to_be_checked(timeout=SOON_MS)
    page.get_by_label("6h").press("ArrowLeft")
    expect(page.get_by_label("3h")).to_be_checked()
    assert page.url.endswith("?range=3h")
