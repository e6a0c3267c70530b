"""The browser SDK against the video element's own word: a real Chromium, the real collector, Kafka, and the fold."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from infra import topics as kafka_topics
from infra.kafka import consumer_config
from infra.settings import ROOT, Settings
from schemas.events.playback import PlaybackEvent
from schemas.fact import fact_of
from schemas.registry import PLAYBACK
from schemas.session_state import ABSENT, Fact, SessionState
from schemas.sessionize import sessionize
from tests.browser import truth
from tests.browser.media import Hold, MediaServer, make_video
from tests.browser.truth import Truth
from tests.documents import examples
from tests.streams.intake.collector_world import RunningCollector

pytestmark = [pytest.mark.browser, pytest.mark.kafka]

SECONDS = 5
STARTUP_MS, STALL_MS, PLAYING_MS = 70, 5, 5
HEARTBEAT_MS = 10_000
PAGE = """<!doctype html><title>{name}</title>
<video id="v" src="clip.mp4" playsinline preload="auto" {attributes}></video>
<script src="{collector}/sdk.js"></script>
<script>
  playlake.configure({{ userId: "viewer", appVersion: "1.2.3", deviceType: "web" }});
  const v = document.getElementById("v");
  window.watching = playlake.watch(v, {{ contentId: "{name}" }});
</script>
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4", SECONDS)


class Stage:
    """Pages that play, and what came of them in Kafka."""

    def __init__(self, context: BrowserContext, clip: Path, collector: RunningCollector, kafka: Settings):
        self.context, self.clip, self.collector, self.kafka = context, clip, collector, kafka
        self.size = clip.stat().st_size
        self._media: dict[str, MediaServer] = {}

    def media(self, name: str) -> MediaServer:
        """The film's own server: a browser opens six connections to one, and held ones count."""
        if name not in self._media:
            self._media[name] = MediaServer(self.clip.parent)
            self._media[name].__enter__()
        return self._media[name]

    def open(self, name: str, attributes: str = "muted", *, untouched: bool = False) -> Page:
        """A page with a film of this name, as yet unplayed. Any look into it counts as a touch of the viewer's."""
        html = PAGE.format(name=name, collector=self.collector.url, attributes=attributes)
        page = self.context.new_page()
        page.goto(self.media(name).page(f"/{name}.html", html), wait_until="commit")
        if not untouched:
            page.wait_for_function("window.watching")
        return page

    def close(self) -> None:
        for media in self._media.values():
            media.__exit__(None, None, None)

    def events(self, topic: str = PLAYBACK.name) -> list[tuple[int, bytes]]:
        """Received ms and bytes of every record of a topic."""
        from confluent_kafka import Consumer, TopicPartition

        ends = kafka_topics.offsets(self.kafka, [topic])
        consumer = Consumer(consumer_config(self.kafka, "reader"))
        consumer.assign([TopicPartition(topic, partition, 0) for _, partition in ends])
        missing = sum(end - start for start, end in ends.values())
        found: list[tuple[int, bytes]] = []
        while len(found) < missing:
            messages = consumer.consume(missing - len(found), timeout=20)
            assert messages
            found += [(m.timestamp()[1], m.value()) for m in messages if not m.error()]
        consumer.close()
        return found

    def told(self) -> dict[str, list[PlaybackEvent]]:
        """Title → its events, in the order of the sessions' numbers."""
        told: dict[str, list[PlaybackEvent]] = defaultdict(list)
        for _, raw in self.events():
            event: PlaybackEvent = PLAYBACK.decode(raw)
            told[event.content_id].append(event)
        for events in told.values():
            events.sort(key=lambda event: (event.session_id or "", event.seq or 0))
        return told

    def sessions(self) -> dict[str, list[SessionState]]:
        """Title → the sessions that the fold makes of all events."""
        groups: dict[str, list[Fact]] = defaultdict(list)
        for received_ms, raw in self.events():
            fact = fact_of(raw, PLAYBACK.decode(raw), received_ms)
            groups[fact.group_id].append(fact)
        made: dict[str, list[SessionState]] = defaultdict(list)
        for facts in groups.values():
            for state, _ in sessionize(facts, 1_800_000):
                made[state.content_id or ""].append(state)
        return made

    def wait(self, said: Callable[[dict[str, list[PlaybackEvent]]], bool], seconds: float = 10) -> None:
        until = time.monotonic() + seconds
        while not said(self.told()):
            if time.monotonic() > until:
                pytest.fail("\n".join(f"{name}: {' '.join(kinds(events))}" for name, events in self.told().items()))
            time.sleep(0.3)


def kinds(events: list[PlaybackEvent]) -> list[str]:
    return [event.event_type for event in events if event.event_type != "heartbeat"]


@pytest.fixture
def stage(context: BrowserContext, clip: Path, collector: RunningCollector, kafka: Settings) -> Iterator[Stage]:
    stage = Stage(context, clip, collector, kafka)
    yield stage
    stage.close()


def play(page: Page) -> None:
    page.evaluate("() => { v.play() }")


def wait_for(page: Page, expression: str) -> None:
    page.wait_for_function(expression, timeout=20_000, polling=20)


def happened(page: Page, name: str, times: int = 1) -> None:
    wait_for(page, f"window.__truth.events.filter((e) => e[0] === '{name}').length >= {times}")


def test_what_the_platform_says_is_what_the_element_played(stage: Stage) -> None:
    """Each scenario is a page; they play at the same time."""
    names = ("normal", "pause", "seek", "stalls", "closed", "broken", "gone_early", "missing", "stalled_pause")
    truths: dict[str, Truth] = {}

    def hold(name: str, share: float) -> Hold:
        return stage.media(name).hold("/clip.mp4", int(stage.size * share))

    normal, _, missing = hold("normal", 0), hold("gone_early", 0), hold("missing", 0)
    stalls, stalled_pause = (hold("stalls", 0.2), hold("stalls", 0.5)), hold("stalled_pause", 0.2)
    far, broken = hold("seek", 0.4), hold("broken", 0.2)
    pages = {name: stage.open(name) for name in names}
    for page in pages.values():
        play(page)
    time.sleep(0.4)
    normal.release()
    stage.media("missing").fail("/clip.mp4")
    missing.cut()
    happened(pages["pause"], "playing")
    pages["pause"].evaluate("() => v.pause()")
    pages["seek"].evaluate(f"() => {{ v.currentTime = {SECONDS * 0.8} }}")
    truths["gone_early"] = truth.read(pages["gone_early"])
    pages["gone_early"].goto("about:blank")
    happened(pages["stalls"], "waiting")
    happened(pages["stalled_pause"], "waiting")
    time.sleep(0.3)
    far.release()
    stalls[0].release()
    pages["stalled_pause"].evaluate("() => v.pause()")
    play(pages["pause"])
    stage.media("broken").fail("/clip.mp4")
    broken.cut()
    truths["closed"] = truth.read(pages["closed"])
    pages["closed"].close()
    time.sleep(0.5)
    stalled_pause.release()
    play(pages["stalled_pause"])
    happened(pages["stalls"], "waiting", 2)
    time.sleep(0.6)
    stalls[1].release()
    for name in ("normal", "pause", "seek", "stalls", "stalled_pause"):
        happened(pages[name], "ended")
    happened(pages["broken"], "error")
    for name in names:
        if name not in truths:
            truths[name] = truth.read(pages[name])
    stage.wait(lambda told: len(told) == len(names) and all(kinds(e)[-1] in ("stop", "error") for e in told.values()))

    sessions = stage.sessions()
    assert {name: len(of) for name, of in sessions.items()} == dict.fromkeys(names, 1)
    states = {name: of[0] for name, of in sessions.items()}
    print(table(truths, states))
    for name, state in states.items():
        said = truths[name]
        assert state.seq_count == state.event_count == state.seq_max, f"{name}: events are missing"
        assert state.stall_count == len(said.stalls), name
        assert abs(state.stall_ms - said.stall_ms) <= STALL_MS + said.late_ms, name
        assert state.seek_count == said.seeks, name
        assert state.pause_count == said.pauses, name
        if said.startup_ms is not None:
            assert state.startup_ms != ABSENT, name
            assert abs(state.startup_ms - said.startup_ms) <= STARTUP_MS + said.late_ms, name
        bound = HEARTBEAT_MS if name == "closed" else PLAYING_MS + said.late_ms
        assert abs(state.playing_ms - said.playing_ms) <= bound, name
    assert {name: state.end_reason for name, state in states.items()} == dict.fromkeys(names, "stop") | {
        "broken": "error", "gone_early": "exit_before_start", "missing": "start_failure",
    }  # fmt: skip
    assert (len(truths["stalls"].stalls), len(truths["normal"].stalls)) == (2, 0), "the scenarios were not played"
    assert truths["seek"].phases["seeking"] > 250
    assert states["broken"].error_code == "MEDIA_ERR_NETWORK"
    assert states["missing"].error_code == "MEDIA_ERR_SRC_NOT_SUPPORTED"
    assert states["stalled_pause"].paused_ms == pytest.approx(
        truths["stalled_pause"].paused_ms, abs=PLAYING_MS + truths["stalled_pause"].late_ms
    )


def table(truths: dict[str, Truth], states: dict[str, SessionState]) -> str:
    """Scenario by scenario, in ms: what the element says, and by how much the platform differs."""
    head = f"{'scenario':<14}{'startup':>9}{'diff':>6}{'stalls':>8}{'diff':>6}{'stalled':>9}{'diff':>6}"
    lines = [head + f"{'playing':>9}{'diff':>6}{'probe':>8}  end"]
    for name, state in states.items():
        true = truths[name]
        startup = (
            f"{'-':>9}{'':>6}"
            if true.startup_ms is None
            else f"{true.startup_ms:>9.0f}{(state.startup_ms or 0) - true.startup_ms:>+6.1f}"
        )
        lines.append(
            f"{name:<14}{startup}{len(true.stalls):>8}{state.stall_count - len(true.stalls):>+6}"
            f"{true.stall_ms:>9.0f}{state.stall_ms - true.stall_ms:>+6.1f}"
            f"{true.playing_ms:>9.0f}{state.playing_ms - true.playing_ms:>+6.1f}{true.progress_ms:>8.0f}"
            f"  {state.end_reason}"
        )
    return "\n" + "\n".join(lines)


@pytest.mark.long
def test_one_element_several_titles_and_a_browser_that_refuses_to_begin(stage: Stage) -> None:
    # Nobody waits for a picture while the browser does not let it begin.
    refused = stage.open("refused", "autoplay", untouched=True)
    time.sleep(1.5)
    several, late, row = stage.open("several"), stage.open("late"), stage.open("row")
    assert truth.read(refused).events[-1][0] == "loadstart", "the browser has let it begin: the scenario was not played"
    refused.click("body")
    play(refused)

    play(several)
    happened(several, "playing")
    several.evaluate("() => { watching = playlake.watch(v, { contentId: 'second' }); v.src = 'clip.mp4?2'; v.play() }")
    happened(several, "playing", 2)
    several.evaluate(f"() => {{ v.currentTime = {SECONDS - 0.2} }}")
    happened(several, "ended")
    play(several)
    happened(several, "playing", 4)
    several.evaluate("() => watching.stop()")

    row.evaluate("() => { title = 'first'; playlake.watch(v, { contentId: () => title }); v.play() }")
    happened(row, "playing")
    row.evaluate("() => { title = 'next'; v.src = 'clip.mp4?2'; v.play() }")
    happened(row, "playing", 2)

    play(late)
    happened(late, "playing")
    late.evaluate("() => { watching.stop(); v.playbackRate = 2; playlake.watch(v, { contentId: 'joined' }) }")
    late.evaluate("() => { v.playbackRate = 1.5 }")
    for page in (refused, late, row):
        page.evaluate("() => v.pause()")
        happened(page, "pause")  # it is told in a task of its own: leaving at once may be before that
        page.goto("about:blank")
    stage.wait(
        lambda told: (
            kinds(told["refused"])[-1:] == kinds(told["joined"])[-1:] == ["stop"]
            and kinds(told["second"]).count("stop") == 2
        )
    )

    told, sessions = stage.told(), stage.sessions()
    assert kinds(told["refused"]) == ["play", "first_frame", "pause", "stop"]
    assert sessions["refused"][0].startup_ms != ABSENT
    assert sessions["refused"][0].startup_ms < 500, "the time before the click is no startup"
    assert kinds(told["several"]) == ["play", "first_frame", "stop"]
    assert told["several"][-1].reason == "replaced"
    twice = sorted(sessions["second"], key=lambda state: state.first_ms)
    assert [state.end_reason for state in twice] == ["stop", "stop"]
    assert [state.seek_count for state in twice] == [1, 0], "played again is another session"
    assert kinds(told["first"]) == ["play", "first_frame", "stop"]
    assert kinds(told["next"])[:2] == ["play", "first_frame"]
    assert kinds(told["joined"])[0] == "rate_change"
    assert {state.startup_ms for state in sessions["joined"]} == {ABSENT}, "what nobody saw is not made up"


def test_what_happens_offline_arrives_later_or_with_the_next_page(stage: Stage) -> None:
    page = stage.open("film")
    wait_for(page, "v.readyState === 4")
    stage.context.set_offline(True)
    play(page)
    happened(page, "playing")
    page.evaluate("() => playlake.track('search', { query: 'none yet', resultCount: 0 })")
    time.sleep(1.2)
    page.evaluate("() => v.pause()")
    assert stage.events() == []
    stage.context.set_offline(False)
    stage.wait(lambda told: kinds(told["film"]) == ["play", "first_frame", "pause"])

    stage.context.set_offline(True)
    play(page)
    time.sleep(1.2)
    page.goto("about:blank")  # the page goes while the line is down
    stage.context.set_offline(False)
    assert kinds(stage.told()["film"]) == ["play", "first_frame", "pause"]
    stage.open("film")
    stage.wait(lambda told: kinds(told["film"]) == ["play", "first_frame", "pause", "resume", "stop"])
    state = stage.sessions()["film"][0]
    assert state.seq_count == state.event_count == state.seq_max
    assert state.duplicate_event_count == 0
    [(_, search)] = stage.events("user.ui.events")
    assert b'"query":"none yet"' in search
    assert b'"userId":"viewer"' in search


def test_the_page_of_the_quick_start(stage: Stage) -> None:
    html = examples(ROOT / "docs" / "sending.md")["page"]
    html = html.replace("http://127.0.0.1:8700", stage.collector.url)
    html = html.replace("https://media.example.com/film.mp4", "clip.mp4").replace("<video ", "<video muted ")
    page = stage.context.new_page()
    page.goto(stage.media("start").page("/start.html", html))
    page.evaluate("() => document.querySelector('video').play()")
    happened(page, "playing")
    stage.wait(lambda told: kinds(told["title456"]) == ["play", "first_frame"])
    [(_, click)] = stage.events("user.ui.events")
    assert b'"target":"play"' in click
    assert {event.user_id for event in stage.told()["title456"]} == {"user123"}
