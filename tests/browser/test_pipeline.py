"""The page Pipeline in a real browser, over a real broker and a real sink: its numbers are theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from infra.delta_scan import query, scan
from infra.kafka_positions import SINK_GROUP
from infra.settings import Settings
from infra.topics import offsets
from schemas.registry import EVENT_TOPICS, PLAYBACK
from schemas.tables import BRONZE, DEAD_LETTERS
from schemas.topic import Topic
from tests.browser.conftest import SOON_MS, Served, Theme, assert_it_fits
from tests.browser.machinery import Machinery
from tests.browser.test_now import number
from tests.streams.bronze_world import produce, sink, stop, wait_caught_up, wait_ready

pytestmark = [pytest.mark.browser, pytest.mark.kafka]


def ends_of(settings: Settings) -> dict[tuple[str, int], int]:
    return {place: end for place, (_, end) in offsets(settings, EVENT_TOPICS).items()}


def letters_by_reason(settings: Settings) -> dict[tuple[str, str], int]:
    path = DEAD_LETTERS.path(settings.lake_root)
    rows: list[dict[str, Any]] = query(f"SELECT topic, reason, count(*) AS n FROM {scan(path)} GROUP BY ALL")
    return {(row["topic"], row["reason"]): row["n"] for row in rows}


def test_its_numbers_are_the_broker_s_and_the_lake_s(
    kafka: Settings, topics: dict[str, Topic], served: Served, chromium: Browser, page: Page
) -> None:
    settings = replace(kafka, home=served.home)
    machinery = Machinery(settings)
    earlier, current = machinery.publish(40, restated=0), machinery.publish(9, restated=7)
    produce(settings, 4_000, broken=0.02)
    with sink(settings, SINK_GROUP) as process:
        wait_ready(process, timeout_s=90)
        wait_caught_up(settings)
        stop(process)
    produce(settings, 900, seed=2, broken=0, first=4_000)  # nobody reads these
    ends = ends_of(settings)
    machinery.workers_stand_at({0: 40, 1: 2}, ends)
    machinery.processes()
    served.start_whole_server(kafka=settings)

    page.goto(f"{served.url}pipeline")
    expect(page.get_by_test_id("worker_lag")).to_have_attribute("data-value", "42", timeout=SOON_MS)
    kept = {
        name: query(f"SELECT count(*) AS n FROM {scan(BRONZE[name].path(settings.lake_root))}")[0]["n"]
        for name in (PLAYBACK.name, "user.ui.events")
    }
    letters = letters_by_reason(settings)
    assert number(page, "sink_lag") == sum(ends.values()) - sum(kept.values()) - sum(letters.values()) == 900
    assert number(page, f"end.{PLAYBACK.name}") == sum(end for (name, _), end in ends.items() if name == PLAYBACK.name)
    for name, rows in kept.items():
        assert number(page, f"rows.{BRONZE[name].full_name}") == rows
    for (topic, reason), count in letters.items():
        assert number(page, f"letters.{topic}.{reason}") == count
    assert number(page, "dead") == sum(letters.values())
    page.get_by_role("button", name=PLAYBACK.name).press("Enter")
    assert number(page, f"worker_lag.{PLAYBACK.name}.0") == 40

    expect(page.get_by_test_id(f"publish.{current}")).to_contain_text("in force")
    expect(page.get_by_test_id(f"publish.{current}")).to_contain_text("67")
    expect(page.get_by_test_id(f"publish.{earlier}")).not_to_contain_text("in force")
    assert number(page, "restated") == 7
    expect(page.locator("[data-testid='cell.change']").nth(1)).to_be_visible(timeout=SOON_MS)
    assert number(page, "processes") == 8
    expect(page.get_by_test_id("process.airflow-triggerer")).to_contain_text("4 restarts: ended with exit code 1")
    expect(page.get_by_test_id("to-airflow")).to_have_attribute("href", f"http://127.0.0.1:{settings.airflow_port}")
    expect(page.get_by_test_id("to-report")).to_have_attribute("href", "/quality/")

    # What goes on meanwhile comes by itself.
    produce(settings, 500, seed=3, broken=0, first=4_900)
    expect(page.get_by_test_id("sink_lag")).to_have_attribute("data-value", "1400", timeout=SOON_MS)
    expect(page.get_by_test_id("in")).not_to_have_attribute("data-value", "")
    machinery.fail_an_audit()
    expect(page.locator("[data-state='failed']")).to_have_count(1, timeout=SOON_MS)
    expect(page.get_by_text("unique(session_id)")).to_be_visible()
    looks: tuple[tuple[Theme, int], ...] = (("dark", 1440), ("light", 3840))
    for theme, width in looks:
        assert_it_fits(chromium, f"{served.url}pipeline", "[data-testid='cell.change']", ("pipeline", theme, width))


@pytest.mark.long
def test_what_is_not_there_says_so(served: Served, page: Page) -> None:
    served.start_whole_server()
    page.goto(f"{served.url}pipeline")
    expect(page.get_by_test_id("flow-problem")).to_contain_text("no Kafka broker answered", timeout=SOON_MS)
    for name in ("no-publish", "no-audit", "no-letters", "no-restatement", "unsupervised"):
        expect(page.get_by_test_id(name)).to_be_visible()
