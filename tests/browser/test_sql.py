"""The page SQL in a real browser over the whole server: what it shows is what SQL says, and nothing runs unasked."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlencode

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, Page, expect

from infra.settings import ROOT
from tests.browser.conftest import SOON_MS, Served, Theme, assert_it_fits
from tests.browser.test_now import number, sql
from tests.browser.views import SICK, Views
from tests.documents import questions

pytestmark = pytest.mark.browser

QUESTIONS = questions(ROOT / "docs" / "sql.md")
LONG = "SELECT sum(hash(a.range)) FROM range(100000000) a, range(1000) b"
MANY = "SELECT range AS number, range % 7 AS rest FROM range(25000)"


@pytest.fixture(scope="module")
def whole(views: Views) -> Iterator[Served]:
    running = Served(views.settings.home)
    running.start_whole_server()
    yield running
    running.close()


def opened(page: Page, served: Served, text: str | None = None) -> None:
    page.goto("about:blank")  # a step within a page loads nothing
    page.goto(f"{served.url}sql" + ("" if text is None else f"#{urlencode({'q': text})}"))
    expect(page.get_by_test_id("editor")).to_be_focused(timeout=SOON_MS)


def write(page: Page, text: str) -> None:
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def run(page: Page) -> None:
    page.keyboard.press("Control+Enter")
    expect(page.get_by_test_id("rows")).to_be_visible(timeout=SOON_MS)


def values(page: Page, name: str) -> list[str]:
    cells = page.locator(f"[role=row] [data-testid='cell.{name}']")
    expect(cells.first).to_be_visible(timeout=SOON_MS)
    return cells.evaluate_all("all => all.map(one => one.dataset.value)")


def test_a_question_of_the_document_is_asked_by_keyboard(whole: Served, page: Page) -> None:
    opened(page, whole)
    assert page.get_by_test_id("examples").locator("button").all_inner_texts() == list(QUESTIONS)
    title = "Where do viewers wait for data, this hour?"
    page.get_by_role("button", name=title).click()
    expect(page.get_by_test_id("idle")).to_be_visible()
    run(page)
    expected = sql(whole, QUESTIONS[title])
    assert number(page, "rows") == len(expected)
    assert [float(value) for value in values(page, "stalled_share")] == pytest.approx([row[2] for row in expected])
    assert values(page, "country") == [row[0] for row in expected]
    share = page.locator("[data-testid='cell.stalled_share']").first
    expect(share).to_have_text(re.compile(r"share$"), timeout=SOON_MS)
    page.get_by_label("Chart").check()
    expect(page.get_by_test_id("chart")).to_have_attribute("data-kind", "bar")

    page.get_by_role("button", name="minute by minute").click()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_test_id("chart")).to_have_attribute("data-kind", "line", timeout=SOON_MS)
    page.get_by_label("Rows").check()
    minute = page.locator("[data-testid='cell.minute']").first
    expect(minute).to_have_text(re.compile(r"^2026-11-20 \d\d:\d\d:00\sUTC$"))
    page.go_back()
    expect(page.get_by_test_id("editor")).to_contain_text("country_device", timeout=SOON_MS)


def test_a_link_runs_nothing_and_a_mistake_is_marked(whole: Served, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    opened(page, whole, "SELECT countri\nFROM metrics.quality_minute")
    expect(page.get_by_test_id("unread")).to_be_visible()
    page.wait_for_timeout(500)
    assert asked == []
    page.keyboard.press("Control+Enter")
    expect(page.get_by_test_id("failure")).to_contain_text("Did you mean country?", timeout=SOON_MS)
    expect(page.locator(".cm-lintRange-error")).to_have_text("countri")
    expect(page.get_by_test_id("unread")).to_have_count(0)

    # Completion of tables, of columns of what is read, of metrics.
    expect(page.get_by_test_id("shelf.metrics.quality_minute")).to_be_visible(timeout=SOON_MS)
    for before, wanted in (
        ("FROM metrics.qual", "quality_minute"),
        ("FROM metrics.quality_minute SELECT rebuff", None),
        ("FROM metrics.quality_minute SELECT watched", "watched_ms"),
        ("FROM metrics.quality_minute SELECT stalled_sh", "stalled_share"),
        ("SELECT s. FROM metrics.session_quality s", None),
    ):
        write(page, before[:-1])
        page.keyboard.type(before[-1])
        if wanted is not None:
            expect(page.locator(".cm-tooltip-autocomplete li", has_text=wanted).first).to_be_visible(timeout=SOON_MS)
            page.keyboard.press("Escape")


def test_escape_kills_the_query(whole: Served, page: Page) -> None:
    opened(page, whole, LONG)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_test_id("stop")).to_be_visible(timeout=SOON_MS)
    page.wait_for_timeout(300)
    with urllib.request.urlopen(f"{whole.url}v1/sql", timeout=10) as answer:
        assert [one["sql"] for one in json.load(answer)["queries"]] == [LONG]
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("failure")).to_have_attribute("data-reason", "cancelled", timeout=SOON_MS)
    with urllib.request.urlopen(f"{whole.url}v1/sql", timeout=10) as answer:
        assert json.load(answer)["queries"] == []


def test_rows_are_bounded_files_are_whole_and_a_query_can_be_kept(whole: Served, page: Page) -> None:
    opened(page, whole, MANY)
    run(page)
    assert number(page, "rows") == 10_000
    expect(page.get_by_test_id("truncated")).to_contain_text("cut at 10,000; there are more (a file has up to 100,000)")
    with page.expect_download(timeout=SOON_MS) as got:
        page.get_by_role("button", name="Parquet").click()
    table = pq.read_table(io.BytesIO(got.value.path().read_bytes()))
    assert (table.num_rows, table.column_names) == (25_000, ["number", "rest"])
    with page.expect_download(timeout=SOON_MS) as got:
        page.get_by_role("button", name="CSV").click()
    assert got.value.path().read_text().count("\n") == 25_001

    page.get_by_test_id("name").fill("many rows")
    page.keyboard.press("Enter")
    opened(page, whole, "SELECT NULL AS nothing, '<b>x</b>' AS text, 1 AS n, 2 AS n, [1, 2] AS list")
    run(page)
    names = ("nothing", "text", "n", "n_2", "list")
    shown = [page.locator(f"[data-testid='cell.{name}']").inner_text() for name in names]
    assert shown == ["null", "<b>x</b>", "1", "2", "[1,2]"]
    page.get_by_role("button", name="many rows", exact=True).click()
    expect(page.get_by_test_id("editor")).to_contain_text("range(25000)")
    page.get_by_test_id("share").click()
    expect(page.get_by_test_id("shared")).to_be_visible()
    assert urlencode({"q": MANY}) in page.url
    page.get_by_test_id("editor").click()
    write(page, f"SELECT '{'x' * 8_000}'")
    page.get_by_test_id("share").click()
    expect(page.get_by_test_id("shared")).to_contain_text("too long for a link")


def test_the_query_behind_quality_s_table(whole: Served, page: Page) -> None:
    page.goto(f"{whole.url}cohorts?metric=stalled_share&by=cdn&by=app_version&span=3600&where=country:{SICK[0]}")
    expect(page.get_by_test_id("evidence")).to_have_attribute("data-current", "true", timeout=SOON_MS)
    told = number(page, "whole")
    page.get_by_test_id("as-sql").click()
    expect(page.get_by_test_id("editor")).to_be_focused(timeout=SOON_MS)
    run(page)
    depth, value = values(page, "depth"), values(page, "value")
    assert float(value[depth.index("0")]) == pytest.approx(told)


@pytest.mark.long
@pytest.mark.parametrize(("theme", "width"), [("dark", 1366), ("light", 1700), ("dark", 3840)])
def test_it_fits(whole: Served, chromium: Browser, theme: Theme, width: int) -> None:
    asked = assert_it_fits(chromium, f"{whole.url}sql", "[data-testid='shelf.silver.sessions']", ("sql", theme, width))
    assert [url for url in asked if not url.startswith((whole.url, "data:", "blob:"))] == []
