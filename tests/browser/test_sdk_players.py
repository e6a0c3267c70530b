"""The SDK on elements that dash.js and hls.js feed: what the element plays, the bitrate, and errors it never shows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from infra.settings import ROOT, Settings
from infra.setup.pages import SDK
from schemas.session_state import ABSENT
from tests.browser import truth
from tests.browser.media import MediaServer, make_dash, make_hls
from tests.browser.test_sdk import PLAYING_MS, STALL_MS, STARTUP_MS, Stage, happened, kinds, play, table
from tests.streams.intake.collector_world import RunningCollector

pytestmark = [pytest.mark.browser, pytest.mark.kafka, pytest.mark.long]

SECONDS = 10
LIBRARIES = {
    "dash": ROOT / "tests" / "browser" / "players" / "node_modules" / "dashjs/dist/modern/umd/dash.all.min.js",
    "hls": SDK / "node_modules" / "hls.js" / "dist" / "hls.min.js",
}
START = {
    "dash": "window.player = dashjs.MediaPlayer().create(); player.initialize(v, '{url}', false);",
    "hls": "window.player = new Hls({{ fragLoadPolicy: {{ default: GIVES_UP_SOON }} }});"
    " player.loadSource('{url}'); player.attachMedia(v);",
}
CODES = {"dash": "27", "hls": "fragLoadError"}
PAGE = """<!doctype html><title>{name}</title>
<video id="v" muted playsinline></video>
<script src="/library.js"></script>
<script src="{collector}/sdk.js"></script>
<script>
  const GIVES_UP_SOON = {{
    maxTimeToFirstByteMs: 20000, maxLoadTimeMs: 20000, timeoutRetry: null,
    errorRetry: {{ maxNumRetry: 1, retryDelayMs: 100, maxRetryDelayMs: 100 }},
  }};
  const v = document.getElementById("v");
  {start}
  window.watching = playlake.watch(v, {{ userId: "viewer", contentId: "{name}", player }});
</script>
"""


@pytest.fixture(scope="module")
def presentations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("presentations")
    return {"dash": make_dash(folder / "dash", SECONDS), "hls": make_hls(folder / "hls", SECONDS)}


@pytest.fixture
def stage(context: BrowserContext, collector: RunningCollector, kafka: Settings, tmp_path: Path) -> Stage:
    (tmp_path / "none").touch()
    return Stage(context, tmp_path / "none", collector, kafka)


@pytest.mark.parametrize("kind", ["dash", "hls"])
def test_a_player_library(stage: Stage, presentations: dict[str, Path], kind: str) -> None:
    if not LIBRARIES[kind].is_file():
        pytest.skip(f"this player is not installed: {LIBRARIES[kind].relative_to(ROOT)}")
    segments = {"dash": "/chunk-stream*-0000{}.m4s", "hls": "/segment-0000{}.ts"}[kind]
    # Numbered from 1 in DASH, from 0 in HLS: each film stalls after four seconds.
    third = {"dash": 3, "hls": 2}[kind]
    with MediaServer(presentations[kind].parent) as plays, MediaServer(presentations[kind].parent) as breaks:
        late = plays.hold(segments.format(third))
        page = opened(stage, plays, kind, "plays", presentations[kind].name)
        broken = opened(stage, breaks, kind, "breaks", presentations[kind].name)
        for number in range(third, 10):
            breaks.fail(segments.format(number), 404)
        play(page)
        play(broken)
        page.wait_for_function("v.currentTime > 3.5", timeout=20_000)
        assert late.reached.wait(10)
        page.wait_for_function("v.readyState < 3", timeout=20_000)
        time.sleep(0.7)
        late.release()
        happened(page, "ended")
        said = truth.read(page)
        broken.wait_for_function("v.currentTime > 3.5 && v.readyState < 3", timeout=20_000)
        broken.goto("about:blank")
        stage.wait(lambda told: kinds(told["plays"])[-1:] == ["stop"] and kinds(told["breaks"])[-1:] == ["error"])
    told, sessions = stage.told(), stage.sessions()
    [state], [failed] = sessions["plays"], sessions["breaks"]
    print(table({"plays": said}, {"plays": state}))
    assert said.startup_ms is not None
    assert state.startup_ms != ABSENT
    assert abs(state.startup_ms - said.startup_ms) <= STARTUP_MS + said.late_ms
    assert state.stall_count == len(said.stalls) == 1
    assert abs(state.stall_ms - said.stall_ms) <= STALL_MS + said.late_ms
    assert abs(state.playing_ms - said.playing_ms) <= PLAYING_MS + said.late_ms
    assert state.seek_count == 0, "what a player does to begin is no seek of the viewer's"
    kbps = {event.bitrate_kbps for event in told["plays"] if event.bitrate_kbps}
    assert kbps
    assert all(150 < one < 1500 for one in kbps)
    assert state.bits_played > 0
    # The element never said so: it played what it had and waits for ever.
    assert (failed.end_reason, failed.error_code) == ("error", CODES[kind])
    assert "stall_start" in kinds(told["breaks"])
    assert told["breaks"][-1].fatal


def opened(stage: Stage, media: MediaServer, kind: str, name: str, manifest: str) -> Page:
    media.page("/library.js", LIBRARIES[kind].read_text(), "text/javascript")
    start = START[kind].format(url=f"{media.url}/{manifest}")
    page = stage.context.new_page()
    page.goto(media.page("/page.html", PAGE.format(name=name, collector=stage.collector.url, start=start)))
    page.wait_for_function("window.watching")
    return page
