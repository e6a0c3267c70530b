"""What is timed: dashboard questions, pages, rollups over all sessions, each alone; then many at once."""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import duckdb
import httpx

from benchmarks.result import Section, middle, table
from benchmarks.serving import files
from benchmarks.serving.live import MINUTES, LiveMinutes
from benchmarks.serving.viewers import DAY_S, QUESTIONS, crowd, rss_mb
from benchmarks.stage import Process, Stage, stage
from infra.errors import SetupError
from infra.settings import ROOT
from infra.setup.pages import find_browser
from infra.waiting import until
from schemas.registry import LIVE_ALERTS, LIVE_QUALITY
from warehouse import publication

SESSIONS = 100_000_000
RECENT_DAYS = 400
FREE_BYTES = 30_000_000_000
CUTOVER = datetime(2026, 11, 22, 14, tzinfo=UTC)
FOLDER = ROOT / "build" / "bench" / "serving"
"""Kept for the next run; delete it, or `make clean`."""
CROWD_S = 120.0
VIEWERS, USERS = 50, 20
ASKED = 40
"""Times that each question is asked."""
PAGES = {"Now": "/", "Quality": "/cohorts", "Titles": "/titles", "Session": "/session", "Parity": "/parity"}
ROLLUPS = (
    ("country", "device_type"), ("cdn", "app_version"), ("region", "connection_type"), ("end_reason", "player_version"),
    ("content_id", "country"),
)  # fmt: skip
ROLLUP = """
SELECT {0}, {1}, count(*) AS sessions, sum(stall_ms) / sum(watched_ms) AS stalled_share, avg(startup_ms) AS startup_ms
FROM silver.sessions GROUP BY ALL
"""


def measure(runs: int, scale: float) -> Section:
    """`runs`: of each rollup; `scale`: share of the sessions."""
    section = Section("serving")
    FOLDER.mkdir(parents=True, exist_ok=True)
    if scale == 1 and not list(FOLDER.glob("current-*")) and shutil.disk_usage(FOLDER).free < FREE_BYTES:
        msg = f"expected {FREE_BYTES / 1e9:.0f} GB of free disk for the warehouse"
        raise SetupError(msg)
    with stage(recent_days=RECENT_DAYS) as on:
        on.settings.warehouse.parent.mkdir(parents=True, exist_ok=True)
        on.settings.warehouse.symlink_to(FOLDER)
        made = files.make(on.settings, int(SESSIONS * scale), CUTOVER)
        section.add(_told(made))
        on.make(LIVE_QUALITY, LIVE_ALERTS)
        live = LiveMinutes(on.settings, CUTOVER)
        live.start()
        server = on.python("server", "warehouse.server")
        url = f"http://127.0.0.1:{on.settings.server_port}"
        until("live numbers are there", lambda: _is_live(url, server), 90, seen=server.tail)
        try:
            section.quiet()
            section.add(_questions(url, server))
            section.add(_rollups(on, max(3, runs)))
            section.add(_pages(section, url))
            section.add(_crowd(section, url, server))
        finally:
            live.stop()
    return section


def _told(made: files.Made) -> str:
    rows = ", ".join(f"{name} {count / 1e6:,.1f} M" for name, count in made.rows.items())
    parts = len(made.publication.files)
    return f"The warehouse: {made.bytes / 1e9:.1f} GB in {parts} files of {files.DAYS} days; rows: {rows}."


def _is_live(url: str, server: Process) -> bool:
    server.check()
    try:
        told = httpx.post(f"{url}/v1/sql", json={"sql": "SELECT count(*) FROM live.quality_minute"}, timeout=30)
    except httpx.HTTPError:
        return False
    return told.status_code == 200 and told.json()["rows"][0][0] > 0


def _questions(url: str, server: Process) -> str:
    """Each question as a page asks it, again every second: what is kept comes back, what has moved on is made anew."""
    rows: list[list[str]] = []
    now_s = int(CUTOVER.timestamp()) + 60 * MINUTES
    everything: list[float] = []
    with httpx.Client(base_url=url, timeout=30) as client:
        for name, address in QUESTIONS.items():
            ask = address.format(now=now_s, day_ago=now_s - DAY_S)
            first, *others = [_timed(lambda a=ask: client.get(a), 0.25) for _ in range(ASKED)]  # type: ignore[misc]
            everything += others
            rows.append([name, _ms(first), _ms(middle(others)), _ms(_p99(others))])
    rows.append(["all, after the first", "", _ms(middle(everything)), _ms(_p99(everything))])
    head = ["question of the dashboard", "first, ms", "p50, ms", "p99, ms"]
    return table(head, rows) + f"\n\nThe server then has {rss_mb(server.pid):.0f} MB resident."


def _timed(call: Callable[[], httpx.Response], pause_s: float = 0.0) -> float:
    time.sleep(pause_s)
    began = time.monotonic()
    call().raise_for_status()
    return time.monotonic() - began


def _rollups(on: Stage, runs: int) -> str:
    """Over every session, by DuckDB on the files, and as a user's query in the sandbox."""
    rows = []
    script = (on.settings.warehouse / publication.SCRIPT).read_text()
    with (
        duckdb.connect(config={"threads": 2, "memory_limit": "2GB"}) as connection,
        httpx.Client(base_url=f"http://127.0.0.1:{on.settings.server_port}", timeout=60) as client,
    ):
        connection.execute(script)
        for pair in ROLLUPS:
            sql = ROLLUP.format(*pair)
            alone = [_seconds(lambda s=sql: connection.execute(s).fetchall()) for _ in range(runs)]  # type: ignore[misc]
            asked = [_timed(lambda s=sql: client.post("/v1/sql", json={"sql": s})) for _ in range(3)]  # type: ignore[misc]
            rows.append([" × ".join(pair), f"{alone[0]:.2f}", f"{middle(alone[1:]):.2f}", f"{middle(asked):.2f}"])
    return table(["rollup over all sessions", "first, s", "then, s", "by /v1/sql, s"], rows)


def _seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def _pages(section: Section, url: str) -> str:
    """First contentful paint in Chromium, and when the page has its numbers."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        section.warn("pages were not measured: playwright comes with the test tools (`make test` installs them)")
        return ""
    path, rows = find_browser(), []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for name, address in PAGES.items():
            paints = []
            for _ in range(5):
                page = browser.new_page()
                page.goto(f"{url}{address}", wait_until="commit")
                paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
                page.wait_for_function(paint, timeout=20_000)
                paints.append(float(page.evaluate(paint)))
                page.close()
            rows.append([name, f"{middle(paints):.0f}", f"{max(paints):.0f}"])
        browser.close()
    return table(["page, first contentful paint", "median, ms", "slowest of 5, ms"], rows)


def _crowd(section: Section, url: str, server: Process) -> str:
    now_s = int(CUTOVER.timestamp()) + 60 * MINUTES
    found = asyncio.run(crowd(url, server.pid, now_s, CROWD_S, viewers=VIEWERS, users=USERS))
    for wrong, times in found.wrong.items():
        section.warn(f"{times} × {wrong}")
    rows = [
        [kind, str(len(took)), _ms(middle(took)), _ms(_p99(took)), _ms(max(took))]
        for kind, took in sorted(found.seconds.items())
    ]
    said = (
        f"{VIEWERS} dashboards and {USERS} users of SQL for {CROWD_S:.0f} s: {sum(found.wrong.values())} errors, "
        f"{found.events / VIEWERS / CROWD_S:.2f} live messages a second a dashboard; the server had at most "
        f"{found.peak_rss_mb:.0f} MB resident, beside up to {found.peak_children} children."
    )
    return said + "\n\n" + table(["at once", "answers", "p50, ms", "p99, ms", "slowest, ms"], rows)


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}" if seconds >= 0.01 else f"{seconds * 1000:.1f}"
