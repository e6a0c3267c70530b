"""One playback: a player with a buffer on a changing line, and a viewer who pauses, jumps, waits or gives up.

Nothing about quality is drawn by lot: startup, stalls and switches follow from segments that take as long as the line
needs. The clock is in whole ms and jumps to whatever happens next. What happened is written to `truth` as it happens,
from the player's own state.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

from schemas.event import Event
from schemas.events import ads
from schemas.events import playback as wire
from schemas.fact import from_ms
from streams.intake.simulation import truth as ends
from streams.intake.simulation.abr import Dynamic
from streams.intake.simulation.ads import AdBreak, Stall
from streams.intake.simulation.catalogue import MINUTE_MS, Title
from streams.intake.simulation.habits import Habits
from streams.intake.simulation.incidents import Trouble
from streams.intake.simulation.ladder import SAFETY, Rendition, steps_of
from streams.intake.simulation.network import Line
from streams.intake.simulation.truth import Truth
from streams.intake.simulation.viewers import PLAYER_VERSIONS, Viewer

Reported = Iterator[tuple[int, Event]]
PLAYING, WAITING, PAUSED = range(3)
NEVER = 1 << 62
HEARTBEAT_MS = 10_000
TICK_MS = 4
"""The player looks at its clock every 4 ms once it plays, so that media time at every rate of `habits.RATES` is whole
ms, as it is in the platform: what differs between truth and platform is then never rounding."""
ENOUGH_MS = 4_000
"""Media that must be loaded for a stall, or the wait after a seek, to be over."""
CUE_MINUTES = 8
"""Media between two mid-rolls."""
BEHIND_MS = 30_000
"""Who is further behind the live edge after a pause jumps to it."""
HOLD_BACK_SEGMENTS = 3
"""A live player begins so far behind what is there (RFC 8216 asks for at least three)."""

START_FAILURE, REFUSAL = 0.006, 0.003
"""Shares of attempts that fail before the first frame: licence, manifest, decoder; and refusals that are meant."""
FATAL_MINUTES, TROUBLE_MINUTES = 2_500, 90
"""Mean minutes of playing between errors that end it, and between those that the player gets over."""
START_ERRORS = ("DRM_LICENSE_FAILED", "MANIFEST_TIMEOUT", "DECODER_INIT_FAILED", "CONTENT_NOT_AVAILABLE")
REFUSALS = ("GEO_BLOCKED", "SUBSCRIPTION_REQUIRED", "TOO_MANY_STREAMS")
FATAL_ERRORS = ("MEDIA_DECODE", "SEGMENT_TIMEOUT", "DRM_KEY_EXPIRED", "TOO_MANY_STREAMS")


class Player:
    """Plays `title` for `viewer` from `at_ms` on. Positions are ms of media, all other times Unix ms."""

    def __init__(
        self,
        rng: random.Random,
        ids: random.Random,
        viewer: Viewer,
        title: Title,
        at_ms: int,
        *,
        line: Line,
        scale: float = 1.0,
        trouble: Trouble | None = None,
    ) -> None:
        self.now = at_ms
        self.title = title
        self.truth = Truth(
            session_id=f"s{ids.getrandbits(80):020x}",
            user_id=viewer.user_id,
            content_id=title.content_id,
            device_type=viewer.device,
            country=viewer.country,
            app_version=viewer.app_version,
            cdn=viewer.cdn,
            is_live=title.is_live,
            duration_ms=title.duration_ms,
            started_ms=at_ms,
        )
        self._rng, self._ids, self._viewer, self._line = rng, ids, viewer, line
        self._incidents = trouble or Trouble((), viewer)
        self._habits = Habits(rng, viewer, title, scale)
        self._abr = Dynamic(steps_of(viewer), SAFETY[viewer.arm], line.usual_kbps * rng.uniform(0.5, 1.0))
        self._segment_ms, self._buffer_ms = (2_000, 8_000) if title.is_live else (6_000, 30_000)
        self._end = math.inf if title.duration_ms is None else float(title.duration_ms)
        self._position = self._loaded = self._habits.starting_position()
        self._goal = min(self._end, self._position + self._habits.wants(self._position))
        self._furthest = 0.0
        self._rate = 1.0
        self._phase = WAITING
        self._is_stalled = False
        self._is_started = False
        self._shown = self._newest = self._arriving = self._abr.first
        self._switches: deque[tuple[float, Rendition]] = deque()
        """Where in the media another rendition begins."""
        self._arrives = self._wake = self._fed_up = self._action = self._fatal = self._trouble = self._heartbeat = NEVER
        self._waits_since = self._free_ms = 0
        self._cue, self._cue_ms = math.inf, round(CUE_MINUTES * MINUTE_MS * scale)
        self._edge_ms = 0
        """Of a live stream: the moment at which the media at position 0 was filmed."""
        self._delay_ms = rng.randint(3_000, 8_000)
        """From the camera to the CDN."""
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
        if self._has_ads(0.6):
            yield from self._break("pre_roll")
        if self._goes_on:
            yield from self._start(asked + self.truth.ad_ms)
        # Without a first frame all the time that was no ad was waiting for one.
        self.truth.starting_ms = self.truth.startup_ms or 0 if self._is_started else self.now - asked - self.truth.ad_ms
        truth = self.truth
        while truth.end_reason == ends.OPEN:
            self._advance(self._next())
            yield from self._happen()
        self.truth.ended_ms = self.now

    @property
    def _goes_on(self) -> bool:
        return self.truth.end_reason == ends.OPEN

    def _has_ads(self, chance: float) -> bool:
        return self._viewer.plan == "ads" and self._rng.random() < chance

    def _break(self, where: Literal["pre_roll", "mid_roll"]) -> Reported:
        """Ads instead of content: each is told to the session, and to those who pay."""
        pod = AdBreak(self._rng, self._ids, self._line, self.truth, labels=self._labels, at_ms=self.now, position=where)
        self.now, asked = pod.request()
        yield self.now, asked
        after = self._habits.leaves_ad_after_ms()
        if pod.ads and where == "pre_roll":
            self.now = pod.ready_ms()
        leaves = NEVER if after is None else self.now + after
        for ad in pod.ads:
            began, last = self.now, asked
            yield self._event(wire.AdStart)
            self.truth.ad_count += 1
            for at_ms, told in pod.play(ad, began, leaves):
                self.now = at_ms
                if isinstance(told, Stall):
                    yield self._event(wire.StallStart)
                    self.now = told.end_ms
                    self.truth.ad_stall_ms += told.end_ms - told.begin_ms
                    if self.now < leaves:
                        yield self._event(wire.StallEnd)
                else:
                    last = told
                    yield at_ms, told
            has_ended = isinstance(last, ads.Complete | ads.Skip | ads.Error)
            self.now = _tick(self.now) if has_ended else leaves
            self.truth.ad_ms += self.now - began
            if not has_ended:
                yield self._stop(ends.STOP if self._is_started else ends.EXIT, "user")
                return
            self.truth.ad_error_count += isinstance(last, ads.Error)
            yield self._event(wire.AdError if isinstance(last, ads.Error) else wire.AdEnd)
        self._heartbeat = max(self._heartbeat, self.now)

    def _start(self, asked_ms: int) -> Reported:
        """From asking (moved by the time of ads) to the first frame, or not."""
        rng = self._rng
        # Page, licence and manifest: a few round trips and what the servers need.
        ready = self.now + round(4 * self._line.rtt_ms + rng.lognormvariate(math.log(450), 0.8))
        gives_up = self.now + self._habits.startup_patience_ms()
        lot = rng.random()
        if lot < START_FAILURE + REFUSAL:
            self.now = ready + rng.randint(50, 9_000)
            codes = START_ERRORS if lot < START_FAILURE else REFUSALS
            yield self._fail(rng.choice(codes), ends.START_FAILURE)
            return
        incident = self._incidents.start_failure(ready)
        if incident and lot > 1 - incident.start_failure:
            self.now = ready + rng.randint(50, 9_000)
            yield self._fail(rng.choice(incident.codes), ends.START_FAILURE)
            return
        self._segment(ready, 0.0)
        first_frame = _tick(self._arrives + rng.randint(25, 90))
        if gives_up < first_frame:
            self.now = gives_up
            yield self._stop(ends.EXIT, "user")
            return
        self.now = first_frame
        self._arrive()
        self._is_started = self.truth.is_started = True
        self._phase = PLAYING
        self.truth.startup_ms = self.now - asked_ms
        self.truth.max_position_ms = self._whole_position
        self._furthest = self._position
        self._edge_ms = round(self.now - self._position) - HOLD_BACK_SEGMENTS * self._segment_ms - self._delay_ms
        self._heartbeat = self.now + HEARTBEAT_MS
        self._action = self.now + self._habits.next_act_ms()
        self._fatal = self.now + self._habits.minutes(FATAL_MINUTES)
        self._trouble = self.now + self._habits.minutes(TROUBLE_MINUTES)
        self._set_cue()
        yield self._event(wire.FirstFrame)

    def _next(self) -> int:
        """When something happens next. Media only runs, and viewers only act, while it plays."""
        if self._phase == PLAYING:
            due = self._load(min(self._heartbeat, self._action, self._fatal, self._trouble))
        else:
            self._request()
            due = min(self._arrives, self._heartbeat, self._wake)
            if self._phase == WAITING and self._fed_up < due:
                due = self._fed_up
        # What fell due during a pause or a wait happens now.
        return max(self.now, _tick(due))

    def _load(self, due_ms: int) -> int:
        """Load ahead while it plays, up to `due_ms` or to where the media brings something sooner; returns when."""
        now, position, rate = self.now, self._position, self._rate
        most = self._buffer_ms - self._segment_ms
        while True:
            at = min(self._goal, self._cue, self._loaded)
            if self._switches and self._switches[0][0] < at:
                at = self._switches[0][0]
            due = now if at <= position else min(due_ms, now + math.ceil((at - position) / rate))
            if self._arrives == NEVER:
                room_ms = now + math.ceil((self._loaded - most - position) / rate)
                begin = max(now, self._free_ms, room_ms, self._there_ms if self.title.is_live else 0)
                if begin > due or self._loaded >= self._end:
                    return due
                self._segment(begin, self._loaded - position - (begin - now) * rate)
            if self._arrives > due:
                return due
            self._arrive()

    def _advance(self, to_ms: int) -> None:
        """Let time pass in the phase that the player is in."""
        passed, truth = to_ms - self.now, self.truth
        began, self.now = self.now, to_ms
        if not passed:
            return
        if self._phase == PLAYING:
            media = round(passed * self._rate)
            self._position += media
            truth.playing_ms += passed
            truth.media_ms += media
            truth.bits_played += media * self._shown.kbps
            truth.bitrate_media_ms += media
            if self._position > self._furthest:
                self._furthest = self._position
                truth.max_position_ms = self._whole_position
            truth.watch(began, to_ms, is_stall=False)
        elif self._phase == PAUSED:
            truth.paused_ms += passed
        elif self._is_stalled:
            truth.stall_ms += passed
            truth.watch(began, to_ms, is_stall=True)
        else:
            truth.seeking_ms += passed

    def _happen(self) -> Reported:
        """The first of the things that are due; the others have their turn at the same ms."""
        if self.now >= self._arrives:
            yield from self._arrived()
        elif self.now >= self._heartbeat:
            self._heartbeat += HEARTBEAT_MS
            yield self._beat()
            breaks = self._incidents.break_down(self.now, HEARTBEAT_MS) if self._phase == PLAYING else None
            if breaks and self._rng.random() < breaks[0]:
                yield self._fail(self._rng.choice(breaks[1].codes), ends.ERROR)
        elif self.now >= self._wake:
            yield from self._awake()
        elif self._phase == WAITING and self.now >= self._fed_up:
            pauses = self.title.is_live or self._rng.random() < 0.5
            yield from self._pause() if pauses else self._seek(self._habits.target(self._position))
        elif self._switches and self._position >= self._switches[0][0]:
            self._shown = self._switches.popleft()[1]
            self.truth.bitrate_switch_count += 1
            yield self._event(wire.QualityChange)
        elif self._position >= self._goal:
            yield self._stop(ends.STOP, "ended" if self.saw_the_end else "user")
        elif self._position >= self._cue:
            self._set_cue()
            if self._has_ads(0.8):
                yield from self._break("mid_roll")
        elif self._position >= self._loaded:
            self.truth.stall_count += 1
            yield self._wait(is_stalled=True)
        else:
            yield from self._happen_by_chance()

    def _arrived(self) -> Reported:
        self._arrive()
        enough = self._loaded - self._position >= ENOUGH_MS or self._loaded >= self._end
        if self._phase == WAITING and enough:
            self._end_wait()
            self._phase = PLAYING
            yield self._event(wire.StallEnd)

    def _happen_by_chance(self) -> Reported:
        """Errors, and what the viewer does."""
        if self.now >= self._fatal:
            yield self._fail(self._rng.choice(FATAL_ERRORS), ends.ERROR)
        elif self.now >= self._trouble:
            self._trouble = self.now + self._habits.minutes(TROUBLE_MINUTES)
            yield self._event(wire.Error, error_code="SEGMENT_RETRY", fatal=False)
        elif self.now >= self._action:
            self._action = self.now + self._habits.next_act_ms()
            act = self._habits.act()
            if act == "rate":
                self._rate = self._habits.rate()
                yield self._event(wire.RateChange, playback_rate=self._rate)
            else:
                yield from self._seek(self._habits.target(self._position)) if act == "seek" else self._pause()

    def _beat(self) -> tuple[int, Event]:
        """A sign of life, with what the device counts."""
        if self._phase == PLAYING and self._rng.random() < 0.02:
            self.truth.dropped_frames += self._rng.randint(1, 40)
        latency = None
        if self.title.is_live:
            latency = self.now - self._edge_ms - self._whole_position
            self.truth.live_latency_sum_ms += latency
            self.truth.live_latency_samples += 1
        return self._event(wire.Heartbeat, dropped_frames=self.truth.dropped_frames or None, live_latency_ms=latency)

    def _awake(self) -> Reported:
        """A pause is over, or the viewer waited long enough."""
        self._wake = NEVER
        if self._phase == WAITING:
            yield self._stop(ends.STOP, "stalled")
            return
        if self._habits.after_pause() == "stop":
            yield self._stop(ends.STOP, "user")
            return
        self._phase = PLAYING
        if self._viewer.device == "mobile":
            yield self._event(wire.Foreground)
        yield self._event(wire.Resume)
        edge = self.now - self._edge_ms - self._delay_ms - HOLD_BACK_SEGMENTS * self._segment_ms
        if self.title.is_live and edge - self._position > BEHIND_MS:
            yield from self._seek(float(edge))

    def _pause(self) -> Reported:
        """Also of a wait, which is over then: whoever still waits after it waits anew."""
        self._end_wait()
        self._phase = PAUSED
        self.truth.pause_count += 1
        if self._viewer.device == "mobile":
            yield self._event(wire.Pause)
            yield self._event(wire.Background)
            if self._habits.is_put_away():
                self.truth.end_reason = ends.SILENCE
        else:
            yield self._event(wire.Pause)
        self._wake = self.now + self._habits.pause_ms()

    def _seek(self, target: float) -> Reported:
        """What is loaded is used if it is enough, else it starts anew."""
        left = self._loaded - target
        is_loaded = target >= self._position and left / self._rate > HEARTBEAT_MS
        self._end_wait()
        self.truth.seek_count += 1
        # What was skipped of a live stream was not what the viewer wanted less of.
        goal = self._goal + target - self._position if self.title.is_live else max(self._goal, target + 1000)
        self._goal = min(self._end, goal)
        self._position = target
        self._set_cue()
        yield self._event(wire.Seek)
        if not is_loaded:
            self._loaded, self._arrives, self._free_ms = target, NEVER, self.now
            self._switches.clear()
            self._newest = self._shown
            yield self._wait(is_stalled=False)

    def _wait(self, *, is_stalled: bool) -> tuple[int, Event]:
        self._phase, self._is_stalled, self._waits_since = WAITING, is_stalled, self.now
        self._wake = self.now + self._habits.stall_patience_ms()
        self._fed_up = self.now + self._habits.fed_up_after_ms()
        return self._event(wire.StallStart)

    def _end_wait(self) -> None:
        """If it was one: a stall also takes away from what the viewer will still watch."""
        if self._phase == WAITING and self._is_stalled:
            self._goal -= self._habits.lost_by_stall(self.now - self._waits_since)
        self._wake = self._fed_up = NEVER

    @property
    def _there_ms(self) -> int:
        """When the next segment of a live stream will have been filmed."""
        return self._edge_ms + self._delay_ms + round(self._loaded) + self._segment_ms

    def _request(self) -> None:
        """While it does not play: load the next segment if there is room for it."""
        buffered = self._loaded - self._position
        if self._arrives == NEVER and buffered + self._segment_ms <= self._buffer_ms and self._loaded < self._end:
            self._segment(max(self.now, self._there_ms) if self.title.is_live else self.now, buffered)

    def _segment(self, at_ms: int, buffered_ms: float) -> None:
        self._arriving = self._abr.choose(buffered_ms, self._buffer_ms) if self._is_started else self._abr.first
        kilobits = self._arriving.kbps * self._segment_ms / 1000 * math.exp(self._rng.gauss(0, 0.15))
        took = self._line.download_ms(at_ms, kilobits)
        self._abr.measured(kilobits, took)
        self._arrives = at_ms + took

    def _arrive(self) -> None:
        if self._arriving != self._newest:
            self._switches.append((self._loaded, self._arriving))
            self._newest = self._arriving
        self._loaded = min(self._end, self._loaded + self._segment_ms)
        self._free_ms, self._arrives = self._arrives, NEVER

    def _set_cue(self) -> None:
        """The next mid-roll from here."""
        if not self.title.is_live:
            self._cue = (self._position // self._cue_ms + 1) * self._cue_ms

    @property
    def _whole_position(self) -> int:
        return int(min(self._position, self._end))

    def _fail(self, code: str, reason: str) -> tuple[int, Event]:
        self.truth.end_reason, self.truth.error_code = reason, code
        self.truth.is_business_failure = code in REFUSALS
        category = {"error_category": "business"} if code in REFUSALS else {}
        return self._event(wire.Error, error_code=code, fatal=True, **category)

    def _stop(self, end_reason: str, reason: str) -> tuple[int, Event]:
        self.truth.end_reason = end_reason
        return self._event(wire.Stop, reason=reason)

    def _event(self, kind: type[wire.PlaybackEvent], **fields: Any) -> tuple[int, Event]:
        if self._is_started:
            fields["bitrate_kbps"], fields["quality"] = self._shown
        self._seq += 1
        self.truth.event_count += 1
        return self.now, kind(
            timestamp=from_ms(self.now),
            event_id=f"{self._ids.getrandbits(96):024x}",
            seq=self._seq,
            position_ms=self._whole_position,
            **self._labels,
            **fields,
        )


def _tick(at_ms: int) -> int:
    """The first moment from there on at which the player looks."""
    return -(-at_ms // TICK_MS) * TICK_MS
