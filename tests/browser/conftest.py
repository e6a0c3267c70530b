"""A real Chromium, and the dashboard served over a warehouse that goes on living."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from infra.settings import ROOT, Settings
from infra.setup.pages import find_browser
from tests.browser.state import State
from tests.browser.truth import PROBE
from tests.browser.views import Views, shared
from tests.conftest import free_ports
from warehouse.dashboard.router import PAGES

SOON_MS = 15_000
Theme = Literal["dark", "light"]
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Ends with its module: while Playwright is open its event loop runs, and no other test may start one."""
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    assert (PAGES / "index.html").exists(), "the pages are not built: run `make setup`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """Pages whose videos tell the truth about themselves (`tests/browser/truth.py`)."""
    context = chromium.new_context()
    context.add_init_script(PROBE)
    yield context
    context.close()


class Served:
    """The dashboard in a process of its own, which a test may stop and start, and the producer of its live file."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = State(home / "warehouse", datetime.now(UTC))
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}/"
        self._server: subprocess.Popen[bytes] | None = None
        self._producing = threading.Event()
        self._closed = threading.Event()
        self._producer = threading.Thread(target=self._produce, daemon=True)

    def start(self) -> None:
        """The dashboard alone: no broker, no sandbox."""
        self._start("tests.browser.serve", str(self.home), str(self.port))

    def start_whole_server(self, server_keys: str = "", kafka: Settings | None = None) -> None:
        """The server as it is in service; without settings of a broker, without one."""
        port = free_ports(1)[0]
        settings = Settings(home=self.home, server_port=self.port, kafka_port=port, server_keys=server_keys)
        if kafka is not None:
            settings = replace(kafka, server_port=self.port, server_keys=server_keys)
        self._start("warehouse.server", env=os.environ | settings.to_env())

    def _start(self, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        with (self.home / "server.log").open("ab") as log:
            argv = [sys.executable, "-m", module, *arguments]
            self._server = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except urllib.error.HTTPError as error:
                assert error.code == 401, "it is up, and asks for a key"
                return
            except OSError:
                assert self._server.poll() is None, (self.home / "server.log").read_text()[-3000:]
                time.sleep(0.1)
        pytest.fail("the server did not come up within 60 s")

    def stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM)
            self._server.wait(20)
            self._server = None

    def produce(self) -> None:
        """Write the live file every half second, as of now."""
        self._producing.set()
        if not self._producer.is_alive():
            self._producer.start()

    def pause(self) -> None:
        self._producing.clear()

    def close(self) -> None:
        self._closed.set()
        if self._producer.is_alive():
            self._producing.set()
            self._producer.join(10)
        self.stop()

    def _produce(self) -> None:
        while not self._closed.is_set():
            if self._producing.wait(0.2) and not self._closed.wait(0.5):
                self.state.advance(0.5, to=datetime.now(UTC))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = Served(tmp_path)
    yield running
    running.close()


@pytest.fixture(scope="module")
def views() -> Views:
    return shared()


@pytest.fixture(scope="module")
def standing(views: Views) -> Iterator[Served]:
    """A world that stands still: both sides read the same second."""
    running = Served(views.settings.home)
    running.start()
    yield running
    running.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1920, "height": 1080}, color_scheme="dark")
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert faults == []


def screenshot_folder() -> Path:
    """Where screenshots are left to be looked at."""
    folder = Path(os.path.realpath("/tmp")) / f"playlake-screenshots-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    return folder


def assert_it_fits(chromium: Browser, url: str, seen: str, picture: tuple[str, Theme, int]) -> list[str]:
    """A page at a width, in a theme: left to be looked at, and nothing sticks out. The addresses that it asked.

    `seen`: selector of what shows that it is whole; `picture`: name, theme, width.
    """
    name, theme, width = picture
    context = chromium.new_context(
        viewport={"width": width, "height": 2160 if width > 3000 else 900}, color_scheme=theme
    )
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    expect(page.locator(seen).first).to_be_visible(timeout=SOON_MS)
    page.screenshot(path=screenshot_folder() / f"{name}-{theme}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
    return asked
