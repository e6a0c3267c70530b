"""What a <video> element itself says of its playback: the truth that reports about it are measured against.

`PROBE` runs in the page before anything else (`page.add_init_script(PROBE)`): it notes every media event with the
clock's time and, every 50 ms, where the playhead is. `read(page)` makes a `Truth` of it:

    startup_ms      from the wish to play (`play`) to the first `playing`
    stalls          from `waiting` to `playing`, in ms each, unless a seek or a start is what is waited for
    playing_ms      the playhead moves: neither waiting, seeking nor paused
    progress_ms     the same by the probe alone: how far the playhead came, without jumps
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from playwright.sync_api import Page

PROBE = """
(() => {
  const truth = (window.__truth = { events: [], probe: [] });
  const names = ["loadstart", "play", "playing", "waiting", "pause", "seeking", "seeked", "ended", "error", "emptied"];
  // A document hears its videos' events first, whoever else listens; they do not bubble, but they are captured.
  for (const name of names)
    document.addEventListener(
      name,
      (event) => {
        const video = event.target;
        if (!(video instanceof HTMLVideoElement)) return;
        const at = Date.now() - (performance.now() - event.timeStamp);
        truth.events.push([name, at, video.currentTime, video.ended, video.seeking]);
      },
      true,
    );
  setInterval(() => {
    const video = document.querySelector("video");
    if (video) truth.probe.push([Date.now(), video.currentTime]);
  }, 50);
})();
"""
READ = "() => ({ events: window.__truth.events, probe: window.__truth.probe, now: Date.now() })"
PROBE_MS = 50
JUMP_S = 0.5
"""More progress than this between two looks of the probe is a seek, or a busy page."""


@dataclass
class Truth:
    """Durations in ms. `phases` is where the time between the first `play` and the end went."""

    startup_ms: float | None = None
    stalls: list[float] = field(default_factory=list)
    seeks: int = 0
    pauses: int = 0
    is_over: bool = False
    phases: dict[str, float] = field(default_factory=dict)
    progress_ms: float = 0.0
    events: list[tuple[str, float]] = field(default_factory=list)
    """Name and Unix ms of each event of the element."""
    late_ms: float = 0.0
    """How late the page's own timer was at its worst: what a busy machine does to every clock in it."""

    @property
    def playing_ms(self) -> float:
        return self.phases.get("playing", 0.0)

    @property
    def stall_ms(self) -> float:
        return sum(self.stalls)

    @property
    def paused_ms(self) -> float:
        return self.phases.get("paused", 0.0)


def read(page: Page) -> Truth:
    """The truth so far, of the page's one video."""
    return truth_of(page.evaluate(READ))


def truth_of(recorded: dict[str, Any]) -> Truth:
    """The truth of what the probe recorded."""
    truth = Truth()
    asked: float | None = None
    phase, since = "idle", 0.0
    for name, at, _, has_ended, is_seeking in recorded["events"]:
        truth.events.append((name, at))
        following = _phase_after(name, phase, has_ended, is_seeking, truth.startup_ms is not None)
        if name == "play" and asked is None:
            asked = at
        if name == "playing" and truth.startup_ms is None and asked is not None:
            truth.startup_ms = at - asked
        truth.seeks += name == "seeking" and phase in ("playing", "stalled", "paused")
        truth.pauses += following == "paused" and phase in ("playing", "stalled", "seeking")
        if following != phase:
            _spend(truth, phase, at - since)
            if following == "stalled":
                truth.stalls.append(0.0)
            phase, since = following, at
    truth.is_over = phase == "over"
    _spend(truth, phase, recorded["now"] - since)
    looks = recorded["probe"]
    truth.late_ms = max((after - before - PROBE_MS for (before, _), (after, _) in pairwise(looks)), default=0)
    truth.progress_ms = sum(
        1000 * (after - before) for (_, before), (_, after) in pairwise(looks) if 0 < after - before <= JUMP_S
    )
    return truth


def _phase_after(name: str, phase: str, has_ended: bool, is_seeking: bool, has_started: bool) -> str:
    if name in ("ended", "error") or phase == "over":
        return "over"
    match name:
        case "play" if not has_started:
            return "starting"
        case "play":
            return "seeking" if is_seeking else "playing"
        case "playing":
            return "playing"
        case "pause" if has_started and not has_ended:
            return "paused"
        case "seeking" if phase in ("playing", "stalled"):
            return "seeking"
        case "waiting" if phase == "playing":
            return "stalled"
    return phase


def _spend(truth: Truth, phase: str, ms: float) -> None:
    if phase not in ("idle", "over"):
        truth.phases[phase] = truth.phases.get(phase, 0.0) + ms
    if phase == "stalled" and truth.stalls:
        truth.stalls[-1] += ms
