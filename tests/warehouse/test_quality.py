"""The audit: real Great Expectations over a real staged Delta table, and a report that needs no network."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest

from infra.errors import CheckBroken, CheckFailed, LakeDamaged, StageRefused
from infra.settings import ROOT, Settings
from schemas.quality import PARTS
from schemas.stage import Manifest, StagedTable, read_audit, require_audit, write_manifest
from schemas.table import Table, fail, warn
from warehouse.quality import ledger
from warehouse.quality.audit import audit_stage, definition
from warehouse.quality.expectations import all_checks

SCHEMA = pa.schema(
    [("play_date", pa.date32()), ("content_id", pa.string())]
    + [(name, pa.int64()) for name in ("sessions", "completed_sessions", *PARTS)]
)
TITLES = definition("gold", "title_daily")


def title(content_id: str | None, **values: Any) -> dict[str, Any]:
    zeros = dict.fromkeys(SCHEMA.names, 0)
    return zeros | {"play_date": date(2026, 1, 15), "content_id": content_id, "sessions": 1} | values


def stage(settings: Settings, rows: list[dict[str, Any]], table: Table = TITLES, stage_id: str = "s1") -> Manifest:
    """What `playlake stage gold` leaves: a staged version, and the manifest that names it."""
    path = table.staging_path(settings.lake_root)
    deltalake.write_deltalake(path, pa.Table.from_pylist(rows, schema=SCHEMA), mode="overwrite")
    version = deltalake.DeltaTable(path).version()
    staged = StagedTable(version=version, rows=len(rows), base=-1, sources={}, complete={})
    manifest = Manifest(stage_id=stage_id, layer="gold", tables={table.name: staged})
    write_manifest(settings.lake_root, manifest)
    return manifest


def playlake(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "playlake", *arguments],
        cwd=ROOT,
        env=settings.to_env(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def pages(settings: Settings) -> dict[str, str]:
    docs = ledger.home(settings) / "docs"
    return {str(path.relative_to(docs)): path.read_text() for path in docs.rglob("*.html")}


def test_a_failed_check_stops_the_stage_and_shows_the_rows(settings: Settings) -> None:
    bad = [
        title("t1"),
        title("t2", watched_ms=7),
        *(title(f"<b>{n}</b>", sessions=2, completed_sessions=3) for n in range(12)),
    ]
    manifest = stage(settings, bad)
    done = playlake(settings, "quality", "gold")
    assert done.returncode == 1, done.stderr
    for expected in ("gold.title_daily", "never(completed_sessions > sessions)", "got 12 of 14", "content_id=<b>0</b>"):
        assert expected in done.stderr
    with pytest.raises(CheckFailed, match="title_daily: never"):
        require_audit(settings.lake_root, manifest)
    found = ledger.newest(ledger.home(settings), 1)[0]
    checks = {check.check: check for check in found.tables[0].checks}
    check = checks["never(completed_sessions > sessions)"]
    assert (check.observed, len(check.rows), check.severity) == (12, 10, "fail")
    assert check.rows[0]["completed_sessions"] == 3
    assert [c.check for c in found.tables[0].of("failed")] == [
        "never(completed_sessions > sessions)",
        "never(watched_ms <> playing_ms + stall_ms)",
    ]
    made = pages(settings)
    assert set(made) == {"index.html", found.tables[0].page}
    for text in made.values():
        assert "The first 10 of 12" in text
        assert "&lt;b&gt;0&lt;/b&gt;" in text, "what clients send must not become markup"
        assert "<b>0" not in text


def test_a_good_stage_passes_is_not_audited_twice_and_the_next_one_is_again(settings: Settings) -> None:
    manifest = stage(settings, [title("t1"), title("t2"), title(None)])
    done = playlake(settings, "quality", "gold")
    assert (done.returncode, done.stderr) == (0, "")
    assert require_audit(settings.lake_root, manifest).passed
    assert {check.state for check in ledger.newest(ledger.home(settings), 1)[0].tables[0].checks} == {"passed"}
    assert "already passed" in playlake(settings, "quality", "gold", "--if-needed").stdout
    newer = stage(settings, [title("t1"), title("t1")], stage_id="s2")
    with pytest.raises(StageRefused):
        require_audit(settings.lake_root, newer)
    assert playlake(settings, "quality", "--if-needed").returncode == 1


def test_nothing_staged_is_not_a_pass(settings: Settings) -> None:
    assert playlake(settings, "quality").returncode == 99


def test_the_staged_version_is_audited_not_what_came_later(settings: Settings) -> None:
    manifest = stage(settings, [title("t1")])
    stage(settings, [title("t1", sessions=-1)])
    found, _ = audit_stage(settings, manifest)
    assert found.state == "passed"


@pytest.mark.parametrize(
    ("check", "rows", "observed"),
    [
        ("unique(play_date, content_id)", [title("a"), title("a"), title(None), title(None), title("b")], 2),
        ("not_null(content_id, sessions)", [title("a"), title(None), title("b", sessions=None)], 2),
        ("in_set(content_id, a, b c, o'x)", [title("a"), title("b c"), title("o'x"), title(None), title("d")], 1),
        ("never(content_id = '{x}' OR sessions < 0)", [title("{x}"), title("b", sessions=-1), title("c")], 2),
        ("rows(min=2)", [title("a")], 1),
    ],
)
def test_every_kind_of_check_counts_what_breaks_it(
    settings: Settings, check: str, rows: list[dict[str, Any]], observed: int
) -> None:
    table = replace(
        TITLES, grain=("play_date", "content_id"), checks=(fail(check), fail("unique(play_date, content_id)"))
    )
    with pytest.raises(CheckFailed):
        audit_stage(settings, stage(settings, rows, table), lambda _layer, _name: table)
    found = {one.check: one for one in ledger.newest(ledger.home(settings), 1)[0].tables[0].checks}[check]
    assert (found.success, found.observed) == (False, observed)


def test_a_warning_is_reported_and_publishes(settings: Settings) -> None:
    table = replace(TITLES, checks=(warn("rows(min=5)"), warn("never(sessions = 1)")))
    manifest = stage(settings, [title("t1")], table)
    found, index = audit_stage(settings, manifest, lambda _layer, _name: table)
    assert found.state == "warning"
    assert require_audit(settings.lake_root, manifest).passed
    assert "never(sessions = 1)" in index.read_text()


def test_a_check_that_cannot_be_computed_is_no_verdict_on_the_data(settings: Settings) -> None:
    table = replace(TITLES, checks=(fail("never(no_such_column > 1)"),))
    manifest = stage(settings, [title("t1")], table)
    with pytest.raises(CheckBroken, match="no_such_column"):
        audit_stage(settings, manifest, lambda _layer, _name: table)
    assert read_audit(settings.lake_root, "gold") is None
    assert "could not be computed" not in pages(settings)["index.html"]
    assert "no_such_column" in pages(settings)["index.html"]


def test_a_lost_staged_file_is_damage_not_bad_data(settings: Settings) -> None:
    manifest = stage(settings, [title("t1")])
    for file in Path(TITLES.staging_path(settings.lake_root)).glob("*.parquet"):
        file.unlink()
    with pytest.raises((LakeDamaged, CheckBroken)):
        audit_stage(settings, manifest)
    assert read_audit(settings.lake_root, "gold") is None


def test_grain_and_required_columns_are_checked_without_being_declared() -> None:
    bare = replace(definition("silver", "sessions"), checks=())
    checks = {str(check) for check in all_checks(bare)}
    assert "unique(session_id)" in checks
    assert any(check.startswith("not_null(session_id, group_id, ") for check in checks)


@pytest.mark.browser
def test_the_report_opens_from_a_folder_without_asking_the_network(settings: Settings) -> None:
    from playwright.sync_api import sync_playwright

    with pytest.raises(CheckFailed):
        audit_stage(settings, stage(settings, [title("t1"), title("t1"), title("t2", sessions=-1)]))
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((ledger.home(settings) / "docs" / "index.html").as_uri())
        assert page.locator("h2 .badge").first.inner_text() == "failed"
        page.click("a:text-is('gold.title_daily') >> nth=0")
        assert page.locator("section.check.failed").count() == 3
        shown = page.locator("section.check.failed table.rows").first
        assert shown.is_visible()
        assert "t1" in shown.inner_text()
        page.click("text=Data quality")
        assert page.title().startswith("Audits")
        browser.close()
    assert len(asked) == 3
    assert all(url.startswith("file://") for url in asked)
