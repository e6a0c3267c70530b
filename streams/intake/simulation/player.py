"""One playback: a player with a buffer on a changing line, and a viewer who pauses, jumps, waits or gives up.

Nothing about quality is drawn by lot: startup, stalls and switches follow from segments that take as long as the line
needs. The clock is in whole ms and jumps to whatever happens next.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator
from typing import Any

from schemas.event import ViewerEvent
from schemas.events import ads
from schemas.events import playback as wire
from schemas.fact import from_ms
from streams.intake.simulation.ads import AdBreak
from streams.intake.simulation.catalogue import MINUTE_MS, Title
from streams.intake.simulation.ladder import AdaptiveBitrate, Rendition
from streams.intake.simulation.network import CONNECTIONS, Network
from streams.intake.simulation.truth import Truth
from streams.intake.simulation.viewers import PLAYER_VERSIONS, Viewer

Reported = Iterator[tuple[int, ViewerEvent]]
PLAYING, WAITING, PAUSED = range(3)
NEVER = 1 << 62
HEARTBEAT_MS = 10_000

START_FAILURE = 0.006
"""Share of attempts that fail before the first frame: licence, manifest, decoder."""
FATAL_MINUTES, TROUBLE_MINUTES = 2_500, 90
"""Mean minutes of playing between errors that end it, and between those that the player gets over."""
ACTION_MINUTES = {"smart_tv": 22, "mobile": 12, "web": 14}
"""Mean minutes of playing between pauses and jumps."""
START_ERRORS = ("DRM_LICENSE_FAILED", "MANIFEST_TIMEOUT", "DECODER_INIT_FAILED", "CONTENT_NOT_AVAILABLE")
FATAL_ERRORS = ("MEDIA_DECODE", "SEGMENT_TIMEOUT", "DRM_KEY_EXPIRED")


class Player:
    """Plays `title` for `viewer` from `at_ms` on. Positions are ms of media, all other times Unix ms."""

    def __init__(self, rng: random.Random, ids: random.Random, viewer: Viewer, title: Title, at_ms: int) -> None:
        self.now = at_ms
        self.title = title
        self.truth = Truth(f"s{ids.getrandbits(80):020x}", viewer.user_id, title.content_id)
        self._rng, self._ids, self._viewer = rng, ids, viewer
        self._network = Network(rng, CONNECTIONS[viewer.connection], viewer.line)
        self._abr = AdaptiveBitrate(viewer, self._network.base_kbps * rng.uniform(0.5, 1.0))
        self._segment_ms, self._buffer_ms = (2_000, 8_000) if title.is_live else (4_000, 30_000)
        self._end = math.inf if title.duration_ms is None else float(title.duration_ms)
        self._position = self._loaded = self._starting_position()
        self._goal = min(self._end, self._position + self._appetite())
        self._rate = 1.0
        self._phase = WAITING
        self._is_stalled = False
        self._is_started = False
        self._shown = self._newest = self._abr.first
        self._arriving: Rendition = self._shown
        self._switches: deque[tuple[float, Rendition]] = deque()
        """Where in the media another rendition begins."""
        self._arrives = self._wake = self._action = self._fatal = self._trouble = self._heartbeat = NEVER
        self._seq = self._dropped = 0
        self._labels: dict[str, Any] = viewer.labels | {
            "session_id": self.truth.session_id,
            "content_id": title.content_id,
            "duration_ms": title.duration_ms,
            "is_live": title.is_live,
            "cdn": viewer.cdn,
            "connection_type": viewer.connection,
            "player_version": PLAYER_VERSIONS[viewer.device],
        }

    @property
    def saw_the_end(self) -> bool:
        return self._position >= self._end

    def events(self) -> Reported:
        """What the player reports, in order, and what its ads are billed by beside it.

        Afterwards `truth` is complete and `now` is the end.
        """
        yield self._event(wire.Play)
        asked = self.now
        if self._viewer.plan == "ads" and self._rng.random() < 0.6:
            yield from self._pre_roll()
        yield from self._start(asked + self.truth.ad_ms)
        while self.truth.end_reason == "open":
            self._request()
            self._advance(self._next())
            yield from self._happen()

    def _pre_roll(self) -> Reported:
        """Ads before the content: each is told to the session, and to those who pay."""
        pod = AdBreak(self._rng, self._ids, self._labels, self.now)
        self.now, asked = pod.request()
        yield self.now, asked
        for ad in pod.ads:
            began, event = self.now, asked
            yield self._event(wire.AdStart)
            for self.now, event in pod.play(ad, began):
                yield self.now, event
            self.truth.ad_ms += self.now - began
            yield self._event(wire.AdError if isinstance(event, ads.Error) else wire.AdEnd)

    def _start(self, asked_ms: int) -> Reported:
        """From asking (moved by the time of ads) to the first frame, or not."""
        rng = self._rng
        # Page, licence and manifest: a few round trips and what the servers need.
        ready = self.now + round(4 * self._network.rtt_ms + rng.lognormvariate(math.log(450), 0.8))
        gives_up = self.now + 700 + round(rng.lognormvariate(math.log(9_000), 1.0))
        if rng.random() < START_FAILURE:
            self.now = ready + rng.randint(50, 9_000)
            yield self._fail(rng.choice(START_ERRORS), "start_failure")
            return
        self._segment(ready)
        first_frame = self._arrives + rng.randint(25, 90)
        if gives_up < first_frame:
            self.now = gives_up
            yield self._stop("exit_before_start", "user")
            return
        self.now = first_frame
        self._arrive()
        self._is_started = True
        self._phase = PLAYING
        self.truth.startup_ms = self.now - asked_ms
        self._heartbeat = self.now + HEARTBEAT_MS
        self._action = self._in_minutes(ACTION_MINUTES[self._viewer.device])
        self._fatal, self._trouble = self._in_minutes(FATAL_MINUTES), self._in_minutes(TROUBLE_MINUTES)
        yield self._event(wire.FirstFrame)

    def _next(self) -> int:
        """When something happens next. Media only runs, and viewers only act, while it plays."""
        due = min(self._arrives, self._heartbeat, self._wake)
        if self._phase != PLAYING:
            return due
        at = min(self._loaded, self._goal, self._switches[0][0] if self._switches else math.inf)
        if self._arrives == NEVER and self._loaded < self._end:
            at = min(at, self._loaded - self._buffer_ms + self._segment_ms)
        reaches = self.now + max(0, math.ceil((at - self._position) / self._rate))
        # What fell due during a pause or a wait happens now.
        return max(self.now, min(due, reaches, self._action, self._fatal, self._trouble))

    def _advance(self, to_ms: int) -> None:
        """Let time pass in the phase that the player is in."""
        passed, truth = to_ms - self.now, self.truth
        self.now = to_ms
        if self._phase == PLAYING:
            media = passed * self._rate
            self._position = min(self._position + media, self._loaded)
            truth.playing_ms += passed
            truth.media_ms += media
            truth.bits += media * self._shown.kbps
        elif self._phase == PAUSED:
            truth.paused_ms += passed
        elif self._is_stalled:
            truth.stall_ms += passed
        else:
            truth.seeking_ms += passed

    def _happen(self) -> Reported:
        """The first of the things that are due; the others have their turn at the same ms."""
        if self.now >= self._arrives:
            self._arrive()
            enough = self._loaded - self._position >= 2 * self._segment_ms or self._loaded >= self._end
            if self._phase == WAITING and enough:
                self._phase, self._wake = PLAYING, NEVER
                yield self._event(wire.StallEnd)
        elif self.now >= self._heartbeat:
            self._heartbeat += HEARTBEAT_MS
            self._dropped += self._rng.random() < 0.02 and self._rng.randint(1, 40)
            yield self._event(wire.Heartbeat, dropped_frames=self._dropped or None)
        elif self.now >= self._wake:
            yield from self._awake()
        elif self._switches and self._position >= self._switches[0][0]:
            self._shown = self._switches.popleft()[1]
            self.truth.switch_count += 1
            yield self._event(wire.QualityChange)
        elif self._position >= self._goal:
            yield self._stop("stop", "ended" if self.saw_the_end else "user")
        elif self._position >= self._loaded:
            self.truth.stall_count += 1
            yield self._wait(is_stalled=True)
        elif self.now >= self._fatal:
            yield self._fail(self._rng.choice(FATAL_ERRORS), "error")
        elif self.now >= self._trouble:
            self._trouble = self._in_minutes(TROUBLE_MINUTES)
            yield self._event(wire.Error, error_code="SEGMENT_RETRY", fatal=False)
        elif self.now >= self._action:
            self._action = self._in_minutes(ACTION_MINUTES[self._viewer.device])
            yield from self._act()

    def _awake(self) -> Reported:
        """A pause is over, or the viewer waited long enough."""
        if self._phase == WAITING:
            yield self._stop("stop", "stalled")
            return
        self._phase, self._wake = PLAYING, NEVER
        if self._viewer.device == "mobile":
            yield self._event(wire.Foreground)
        yield self._event(wire.Resume)

    def _act(self) -> Reported:
        """The viewer does something."""
        rng = self._rng
        choice = rng.random()
        if choice < 0.06 and self._viewer.device != "smart_tv" and not self.title.is_live:
            self._rate = rng.choice((0.75, 1.0, 1.25, 1.5))
            yield self._event(wire.RateChange, playback_rate=self._rate)
        elif choice < 0.5 and not self.title.is_live:
            yield from self._seek()
        else:
            if self._viewer.device == "mobile":
                yield self._event(wire.Background)
            self._phase = PAUSED
            self._wake = self.now + min(20 * MINUTE_MS, round(rng.lognormvariate(math.log(45_000), 1.2)) + 1)
            self.truth.pause_count += 1
            yield self._event(wire.Pause)

    def _seek(self) -> Reported:
        """Ten seconds on or back, or anywhere. What is loaded is used if it is enough, else it starts anew."""
        rng = self._rng
        target = (
            rng.uniform(0, self._end * 0.9) if rng.random() < 0.4 else self._position + rng.choice((-10, 10)) * 1000
        )
        target = float(round(min(max(0.0, target), self._end - 1000)))
        left = self._loaded - target
        is_loaded = target >= self._position and left / self._rate > HEARTBEAT_MS
        self.truth.seek_count += 1
        self._goal = min(self._end, max(self._goal, target + 1000))
        self._position = target
        yield self._event(wire.Seek)
        if not is_loaded:
            self._loaded, self._arrives = target, NEVER
            self._switches.clear()
            self._newest = self._shown
            yield self._wait(is_stalled=False)

    def _wait(self, *, is_stalled: bool) -> tuple[int, wire.PlaybackEvent]:
        self._phase, self._is_stalled = WAITING, is_stalled
        self._wake = self.now + 2_000 + round(self._rng.lognormvariate(math.log(25_000), 0.8))
        return self._event(wire.StallStart)

    def _request(self) -> None:
        """Load the next segment if there is room for it."""
        has_room = self._loaded - self._position + self._segment_ms <= self._buffer_ms
        if self._arrives == NEVER and has_room and self._loaded < self._end:
            self._segment(self.now)

    def _segment(self, at_ms: int) -> None:
        fill = (self._loaded - self._position) / self._buffer_ms
        self._arriving = self._abr.choose(fill) if self._is_started else self._abr.first
        kilobits = self._arriving.kbps * self._segment_ms / 1000 * self._rng.lognormvariate(0, 0.15)
        took = self._network.download_ms(at_ms, kilobits)
        self._abr.measured(kilobits, took)
        self._arrives = at_ms + took

    def _arrive(self) -> None:
        if self._arriving != self._newest:
            self._switches.append((self._loaded, self._arriving))
            self._newest = self._arriving
        self._loaded = min(self._end, self._loaded + self._segment_ms)
        self._arrives = NEVER

    def _fail(self, code: str, reason: str) -> tuple[int, wire.PlaybackEvent]:
        self.truth.end_reason, self.truth.error_code = reason, code
        return self._event(wire.Error, error_code=code, fatal=True)

    def _stop(self, end_reason: str, reason: str) -> tuple[int, wire.PlaybackEvent]:
        self.truth.end_reason = end_reason
        return self._event(wire.Stop, reason=reason)

    def _event(self, kind: type[wire.PlaybackEvent], **fields: Any) -> tuple[int, wire.PlaybackEvent]:
        if self._is_started:
            fields["bitrate_kbps"], fields["quality"] = self._shown
        self._seq += 1
        self.truth.event_count += 1
        return self.now, kind(
            timestamp=from_ms(self.now),
            event_id=f"{self._ids.getrandbits(96):024x}",
            seq=self._seq,
            position_ms=int(self._position),
            **self._labels,
            **fields,
        )

    def _starting_position(self) -> float:
        """Some go on where they left off."""
        if self.title.is_live or self._rng.random() > 0.25:
            return 0.0
        return float(round(self._end * self._rng.uniform(0.05, 0.8)))

    def _appetite(self) -> float:
        """How much of it the viewer will watch, ms of media: many try, many stay to the end."""
        rng = self._rng
        if self.title.is_live:
            return float(round(max(20_000, rng.expovariate(1 / (25 * MINUTE_MS)))))
        left = self._end - self._position
        mood = rng.random()
        if mood < 0.25:
            return float(round(max(5_000, rng.expovariate(1 / (2 * MINUTE_MS)))))
        return left if mood > 0.6 else float(round(left * rng.uniform(0.05, 0.95)))

    def _in_minutes(self, mean: float) -> int:
        return self.now + 1 + round(self._rng.expovariate(1 / (mean * MINUTE_MS)))
