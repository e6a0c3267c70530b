"""dash.js in a real Chromium, reporting by itself: metric by metric against what its video element says.

Every report goes the whole way: player → collector → Kafka → translation → session. The tables that are printed
(`pytest -s`) hold the differences in ms.
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from infra.settings import Settings
from infra.setup.players import DASHJS
from schemas.cmcd.order import translate
from schemas.cmcd.report import Report, report_of
from schemas.registry import CMCD, DEAD_LETTER_TOPIC
from schemas.session_state import ABSENT, SessionState
from schemas.sessionize import end_reason, sessionize
from tests.browser import truth
from tests.browser.media import MediaServer, make_dash
from tests.browser.truth import Truth
from tests.streams.intake.collector_world import RunningCollector, read_all

pytestmark = [pytest.mark.browser, pytest.mark.kafka]

SECONDS = 14
INTERVAL_S = 2
STARTUP_MS, STALL_MS, PLAYING_MS = 70, 5, 5
TIMEOUT_MS = 1_800_000
KEYS = "ab bg bl br bs bsd cid d dl e ec lab mtp nor ot pb pr rc rtp sf sid sn st sta su tab tb tpb ts ttfb ttlb url v"
PAGE = """<!doctype html><title>{sid}</title>
<video id="v" muted playsinline width="320"></video>
<script src="/dash.js"></script>
<script>
  const keys = "{keys}".split(" ");
  const events = ["ps", "e", "t", "bc", "pr", "c", "b", "m", "um", "pe", "pc", "sk", "ce"];
  const target = (name, more) => ({{
    enabled: true, url: "{collector}/v1/cmcd?t=" + name, enabledKeys: keys,
    interval: {interval}, events, batchSize: 1, ...more,
  }});
  window.start = () => {{
    window.loadedAt = Date.now();
    const player = (window.player = dashjs.MediaPlayer().create());
    player.updateSettings({{
      debug: {{ logLevel: 0 }},
      streaming: {{
        cmcd: {{
          enabled: true, version: 2, sid: "{sid}", cid: "film", mode: "query",
          eventTargets: [target("a"), target("b", {{ events: [...events, "rr"], batchSize: 5 }})],
        }},
      }},
    }});
    player.initialize(document.getElementById("v"), "/dash/manifest.mpd", true);
  }};
</script>
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `dash/manifest.mpd`."""
    if not DASHJS.is_file():
        pytest.skip("dash.js is not installed: python3 -m infra.bootstrap --dev")
    folder = tmp_path_factory.mktemp("film")
    make_dash(folder / "dash", SECONDS)
    return folder


class Viewing:
    """One page with one player, and what its element says. Its media server is its own."""

    def __init__(self, sid: str, context: BrowserContext, film: Path, collector: RunningCollector) -> None:
        self.sid = sid
        self.media = MediaServer(film)
        self.media.__enter__()
        html = PAGE.format(sid=sid, keys=KEYS, collector=collector.url, interval=INTERVAL_S)
        self.media.page("/dash.js", DASHJS.read_text(), "text/javascript")
        self.page: Page = context.new_page()
        self.page.goto(self.media.page("/player.html", html))
        self.truth = Truth()
        self.loaded_at = 0

    def start(self) -> None:
        self.page.evaluate("start()")

    def wait(self, condition: str, timeout_s: float = 20) -> None:
        """Until a condition on the video `v` holds."""
        self.page.wait_for_function(f"() => {{ const v = document.getElementById('v'); return {condition}; }}",
                                    timeout=1000 * timeout_s, polling=20)  # fmt: skip

    def do(self, what: str) -> None:
        self.page.evaluate(f"() => {{ const v = document.getElementById('v'); {what}; }}")

    def close(self) -> None:
        """Leave, as a viewer does who closes the page."""
        self.truth = truth.read(self.page)
        self.loaded_at = self.page.evaluate("window.loadedAt")
        self.page.close()
        self.media.__exit__(None, None, None)

    @property
    def startup_ms(self) -> float | None:
        """From the call to load until it plays."""
        playing = next((at for name, at in self.truth.events if name == "playing"), None)
        return None if playing is None else playing - self.loaded_at


def sessions(settings: Settings, wanted: set[str]) -> dict[str, SessionState]:
    """Session id → the session that its reports in Kafka come to; waits for the last ones on their way."""
    time.sleep(0.5)
    told: dict[str, list[Report]] = defaultdict(list)
    for _, _, _, raw in read_all(settings, CMCD.name):
        report = report_of(raw or b"", CMCD.decode(raw), time.time_ns() // 1_000_000)
        told[report.session_id].append(report)
    assert told.keys() == wanted
    assert read_all(settings, DEAD_LETTER_TOPIC.name) == []
    found = {}
    for sid, reports in told.items():
        told_by = translate(reports)
        assert told_by.target == "a"
        [(found[sid], _)] = sessionize(told_by.facts, TIMEOUT_MS)
    return found


def table(title: str, rows: list[tuple[str, Any, Any]]) -> None:
    print(f"\n{title:<22}{'element':>10}{'platform':>10}{'difference':>12}")
    for name, element, platform in rows:
        difference = f"{platform - element:+.0f}" if None not in (element, platform) else ""
        print(f"  {name:<20}{_shown(element):>10}{_shown(platform):>10}{difference:>12}")


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:.0f}" if isinstance(value, int | float) else str(value)


@pytest.mark.long
def test_a_session_with_everything_is_told_as_its_element_says(
    context: BrowserContext, film: Path, collector: RunningCollector, kafka: Settings
) -> None:
    viewing = Viewing("everything", context, film, collector)
    holds = [viewing.media.hold(f"/dash/chunk-stream*-0000{n}.m4s") for n in (3, 5)]
    viewing.start()
    for hold, stall_s in zip(holds, (1.5, 0.8), strict=True):
        assert hold.reached.wait(20)
        viewing.wait("window.__truth.events.at(-1)?.[0] === 'waiting' && v.currentTime > 1")
        time.sleep(stall_s)
        hold.release()
        viewing.wait("window.__truth.events.at(-1)?.[0] === 'playing'")
    time.sleep(0.7)
    viewing.do("v.pause()")
    time.sleep(0.8)
    viewing.do("v.play()")
    time.sleep(0.7)
    viewing.do(f"v.currentTime = {SECONDS - 2.5}")
    viewing.wait("v.ended")
    time.sleep(0.3)
    viewing.close()

    state, said = sessions(kafka, {"everything"})["everything"], viewing.truth
    table("dash.js, to its end", [
        ("startup_ms", viewing.startup_ms, state.startup_ms), ("stall_count", len(said.stalls), state.stall_count),
        ("stall_ms", said.stall_ms, state.stall_ms), ("playing_ms", said.playing_ms, state.playing_ms),
        ("paused_ms", said.paused_ms, state.paused_ms), ("pause_count", said.pauses, state.pause_count),
        ("seek_count", said.seeks, state.seek_count), ("timer late by", None, viewing.truth.late_ms),
    ])  # fmt: skip
    assert viewing.startup_ms is not None and state.startup_ms != ABSENT
    assert abs(state.startup_ms - viewing.startup_ms) <= STARTUP_MS + viewing.truth.late_ms
    assert state.stall_count == len(said.stalls) == 2
    assert abs(state.stall_ms - said.stall_ms) <= STALL_MS + said.late_ms
    assert abs(state.playing_ms - said.playing_ms) <= PLAYING_MS + said.late_ms
    assert abs(state.paused_ms - said.paused_ms) <= PLAYING_MS + said.late_ms
    assert (state.pause_count, state.seek_count, state.end_reason) == (1, 1, "stop")
    assert state.seq_max != ABSENT and state.seq_max + 1 == state.seq_count, "a report was lost"


@pytest.mark.long
def test_a_closed_page_a_fatal_error_and_an_exit_before_the_start(
    context: BrowserContext, film: Path, collector: RunningCollector, kafka: Settings
) -> None:
    exit_ = Viewing("exit", context, film, collector)
    exit_.media.hold("/dash/init-stream*")
    exit_.start()
    time.sleep(1)
    exit_.close()

    closed = Viewing("closed", context, film, collector)
    closed.start()
    closed.wait("v.currentTime > 5")
    closed.close()

    failed = Viewing("failed", context, film, collector)
    failed.media.fail("/dash/chunk-stream*-0000[3-9].m4s")
    failed.start()
    failed.wait("window.__truth.events.at(-1)?.[0] === 'waiting' && v.currentTime > 2")
    time.sleep(INTERVAL_S + 1)
    failed.close()

    found = sessions(kafka, {"exit", "closed", "failed"})
    for viewing in (closed, failed):
        state = found[viewing.sid]
        reason = end_reason(state, state.last_received_ms + TIMEOUT_MS, TIMEOUT_MS)
        table(f"dash.js, {viewing.sid}: {reason}", [
            ("startup_ms", viewing.startup_ms, state.startup_ms),
            ("stall_count", len(viewing.truth.stalls), state.stall_count),
            ("playing_ms", viewing.truth.playing_ms, state.playing_ms),
        ])  # fmt: skip
        assert state.startup_ms != ABSENT and viewing.startup_ms is not None
        assert abs(state.startup_ms - viewing.startup_ms) <= STARTUP_MS + viewing.truth.late_ms
    assert 0 <= closed.truth.playing_ms - found["closed"].playing_ms <= 1000 * INTERVAL_S + 100
    assert (found["closed"].end_reason, found["closed"].stall_count) == (None, 0)
    assert abs(found["failed"].playing_ms - failed.truth.playing_ms) <= PLAYING_MS + failed.truth.late_ms
    assert (found["failed"].end_reason, found["failed"].error_code, found["failed"].stall_count) == ("error", "27", 0)
    left = found["exit"]
    assert exit_.startup_ms is None
    assert (left.startup_ms, left.is_started, left.end_reason, left.play_ms != ABSENT) == (ABSENT, False, None, True)
