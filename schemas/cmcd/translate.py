"""From a player's reports to playback facts: one state machine for the stream and the batch.

`Translation.step` takes the reports of one stream (session and target) in the order of their running numbers
(`schemas/cmcd/order.py` sees to that) and gives the facts that `schemas.session.advance` takes. The player's state
(`sta`) drives it; what players really send, and what is made of it:

- The first report is the play: `s` follows within milliseconds. After a preload (`d`) it is the report that ends it.
- Before the first `p` there is no stall (dash.js and Shaka buffer in `r`), nor after `k` until the next `p`.
- `a` right before `e` is the end's own pause (dash.js). The first `e` or `q` ends; a `p` after it plays again.
- `e=e` and `sta=f` alone are not fatal: dash.js plays its buffer out, Shaka recovers. Playback has failed when what
  follows is `r` with no `p` after it, or nothing at all. The batch knows (`hindsight`); live waits up to CAP_MS.
- hls.js reports no error when a segment is gone, it stays in `r`; and some streams never say `e` at their end. An `r`
  that no `p` ends is a stall of CAP_MS at most, and the session ends by time-out: no failure is made up.
- Shaka's release build sends no states at all: then the session plays from its first report to its last, and its
  startup is unknown. The same goes for request mode, where `bs` is a stall of unknown length.
- `msd` is not used: dash.js measures something else.

The facts' `seq` runs on for every fact and leaves a hole for every report that is missing, so that order and loss are
told by the same number as in playback events.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from schemas.cmcd.report import REQUEST_MODE, Report
from schemas.registry import PLAYBACK
from schemas.session_state import Fact

CAP_MS: Final = 60_000
"""How long an `r` without an end counts as a stall, and how long live waits for a `p` after an error."""
PLAY_OUT_MS: Final = 300_000
"""An error so long before an `r` has nothing to do with it: no buffer is that long."""
END_PAUSE_MS: Final = 1_000
"""A pause so shortly before the end belongs to it."""
PRELOAD_MS: Final = 1_000
"""A player that stays in `d` for longer was preloading."""

OPENING: Final = 0
"""No report has told the state yet."""
STARTING: Final = 1
PLAYING: Final = 2
STALLED: Final = 3
SEEKING: Final = 4
PAUSED: Final = 5
ENDED: Final = 6


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A moment whose meaning the next reports decide."""

    at_ms: int
    received_ms: int
    event_id: str
    error_code: str | None = None


class Translation(msgspec.Struct, array_like=True):
    """What is known of one stream between two reports. New fields go to the end, with a default."""

    hindsight: bool = False
    """Whether `finish` will come after the last report: errors are then judged at the end."""
    mode: int = OPENING
    state: str | None = None
    """The last `sta`."""
    seq: int = 0
    clock_ms: int = 0
    """Client time of the newest report; by running number it never goes back."""
    first: Held | None = None
    is_preloading: bool = False
    is_in_ad: bool = False
    pause: Held | None = None
    """An `a` that may turn out to be the end's."""
    stalled_ms: int | None = None
    error: Held | None = None
    """The newest error since which playback has not begun anew."""
    is_error_last: bool = False
    failing: Held | None = None
    """Where playback came to a halt after an error."""
    bitrate_kbps: int | None = None

    def step(self, report: Report, missing: int = 0) -> list[Fact]:
        """Take the next report. `missing`: how many reports before it were lost."""
        self.seq += missing
        if report.is_response:
            return []
        out = _Facts(self, report)
        self.clock_ms = max(self.clock_ms, report.at_ms)
        if self.mode == OPENING and not self._open(out, report):
            return out.facts
        self._settle_pause(out, report)
        self.is_error_last = False
        self._move(out, report.player_state)
        self._notice(out, report)
        self.state = report.player_state or self.state
        self._judge(out)
        self._change_bitrate(out, report)
        if not out.facts:
            out.add("heartbeat", self._counted_to())
        return out.facts

    def finish(self, last: Report) -> list[Fact]:
        """No further report is known: decide what was left open. `last` is the newest report."""
        out = _Facts(self, last)
        if self.mode == OPENING and self.first:
            out.add("play", self.first.at_ms, self.first)
        if self.pause:
            out.add("pause", self.pause.at_ms, self.pause)
        is_silent = self.mode == OPENING or (self.mode == PLAYING and self.is_error_last)
        if halted := self._halted() or (self.error if is_silent else None):
            self._fail(out, halted)
        return out.facts

    def _open(self, out: _Facts, report: Report) -> bool:
        """Find out from the first reports when the viewer asked, and whether the player tells its state at all."""
        if self.first is None:
            self.first = Held(self.clock_ms, report.received_ms, report.event_id)
        first, waited_ms = self.first, self.clock_ms - self.first.at_ms
        if report.player_state == "d":
            self.is_preloading = True
            return False
        if report.player_state is not None:
            preloaded = self.is_preloading and waited_ms > PRELOAD_MS
            out.add("play", self.clock_ms if preloaded else first.at_ms, None if preloaded else first)
            self.mode = STARTING
            return True
        if report.event_type == REQUEST_MODE or (report.report_event == "t" and waited_ms > 0):
            # An interval has gone by without a state: there will be none. A sign of life joins the session as playing.
            out.add("heartbeat", first.at_ms, first)
            out.add("play", first.at_ms, first)
            self.mode = PLAYING
            return True
        if report.report_event == "e":
            self._note_error(out, report)
        return False

    def _settle_pause(self, out: _Facts, report: Report) -> None:
        """A held pause was one, unless the end follows at once: then it is where playback ended."""
        if self.pause is None:
            return
        pause, self.pause = self.pause, None
        if report.player_state in ("e", "q") and self.clock_ms - pause.at_ms <= END_PAUSE_MS:
            self.mode = ENDED
            out.add("stop", pause.at_ms, pause)
        else:
            out.add("pause", pause.at_ms, pause)

    def _move(self, out: _Facts, state: str | None) -> None:
        if state is None or state == self.state:
            return
        match state:
            case "p":
                self._play(out)
            case "r" | "w":
                self._wait(out)
            case "k":
                self._seek(out)
            case "a" if self.mode in (PLAYING, STALLED, SEEKING):
                self._release(out)
                self.pause = Held(self.clock_ms, out.report.received_ms, out.report.event_id)
                self.mode, self.stalled_ms = PAUSED, None
            case "e" | "q" if self.mode != ENDED:
                self._release(out)
                self.mode, self.stalled_ms = ENDED, None
                out.add("stop", self.clock_ms)
            case "f" if self.mode != ENDED:
                self._note_error(out, out.report)
                if self.mode in (PLAYING, STALLED, SEEKING) and self.failing is None:
                    self.failing = self.error

    def _play(self, out: _Facts) -> None:
        self._release(out)
        if self.mode == STARTING:
            if self.is_in_ad:
                return
            out.add("first_frame", self.clock_ms)
        elif self.mode == ENDED:
            out.add("first_frame", self.clock_ms)  # plays again; the session's startup stays the first one's
        elif self.mode == PAUSED:
            out.add("resume", self.clock_ms)
        elif self.mode in (STALLED, SEEKING):
            out.add("stall_end", self.clock_ms)
        self.mode, self.stalled_ms, self.error = PLAYING, None, None

    def _wait(self, out: _Facts) -> None:
        if self.mode == PAUSED:
            out.add("resume", self.clock_ms)
            self.mode = PLAYING
        if self.mode != PLAYING:
            return
        if self.error and self.clock_ms - self.error.at_ms <= PLAY_OUT_MS:
            # Until here it played, also after an `f`.
            out.add("heartbeat", self.clock_ms)
            self.failing = Held(self.clock_ms, out.report.received_ms, out.report.event_id, self.error.error_code)
        else:
            self.mode, self.stalled_ms, self.error = STALLED, self.clock_ms, None
            out.add("stall_start", self.clock_ms)

    def _seek(self, out: _Facts) -> None:
        if self.mode in (OPENING, STARTING, ENDED):
            return
        self._release(out)
        out.add("seek", self.clock_ms)
        if self.mode == PLAYING:
            out.add("stall_start", self.clock_ms)  # after a seek: the fold counts no stall, and no playing either
        if self.mode != PAUSED:
            self.mode, self.stalled_ms = SEEKING, self.clock_ms

    def _release(self, out: _Facts) -> None:
        """Playback goes on after a halt that could have been the end: an `r` was a stall, an `f` was nothing."""
        if self.failing and self.state in ("r", "w"):
            out.add("stall_start", self.failing.at_ms, self.failing)
            self.mode = STALLED
        self.failing = None

    def _notice(self, out: _Facts, report: Report) -> None:
        """What an event tells beside the state."""
        match report.report_event:
            case "e" if self.mode != ENDED:
                self._note_error(out, report)
            case "b":
                out.add("background" if report.is_background else "foreground", self._counted_to())
            case "pr":
                rate = 1.0 if report.playback_rate is None else report.playback_rate
                out.add("rate_change", self._counted_to(), playback_rate=rate or None)
            case "as" if self.mode != ENDED:
                self.is_in_ad = True
                out.add("ad_start", self.clock_ms)
            case "ae" if self.is_in_ad:
                self.is_in_ad = False
                out.add("ad_end", self.clock_ms)
                if self.mode == STARTING and (report.player_state or self.state) == "p":
                    self._play(out)
        if report.event_type == REQUEST_MODE and report.is_starved and self.mode == PLAYING:
            out.add("stall_start", self.clock_ms)
            out.add("stall_end", self.clock_ms)

    def _note_error(self, out: _Facts, report: Report) -> None:
        self.error = Held(self.clock_ms, report.received_ms, report.event_id, report.error_code)
        self.is_error_last = True
        out.add("error", self._counted_to(), error_code=report.error_code)

    def _halted(self) -> Held | None:
        """Where playback has come to a halt after an error, if it has."""
        if self.failing or self.error is None or self.mode not in (STARTING, STALLED, SEEKING):
            return self.failing
        return msgspec.structs.replace(self.error, at_ms=max(self.error.at_ms, self.stalled_ms or 0))

    def _judge(self, out: _Facts) -> None:
        """Live: call it a failure when nothing has played for CAP_MS after an error."""
        halted = None if self.hindsight else self._halted()
        if halted and self.clock_ms - halted.at_ms >= CAP_MS:
            self._fail(out, halted)

    def _fail(self, out: _Facts, halted: Held) -> None:
        code = halted.error_code or (self.error.error_code if self.error else None)
        out.add("error", halted.at_ms, halted, error_code=code, fatal=True)
        self.mode, self.error, self.failing, self.stalled_ms = ENDED, None, None, None

    def _change_bitrate(self, out: _Facts, report: Report) -> None:
        bitrate = report.bitrate_kbps or report.aggregate_bitrate_kbps
        if not bitrate or bitrate <= 0 or bitrate == self.bitrate_kbps:
            return
        out.add("quality_change", self._counted_to(), bitrate_kbps=bitrate)
        self.bitrate_kbps = bitrate

    def _counted_to(self) -> int:
        """Up to where time counts: not beyond a halt that may be the end, nor beyond the cap of an open stall."""
        if halted := self._halted():
            return min(self.clock_ms, halted.at_ms)
        if self.stalled_ms is not None:
            return min(self.clock_ms, self.stalled_ms + CAP_MS)
        return self.pause.at_ms if self.pause else self.clock_ms


class _Facts:
    """The facts of one step. A report's first one has its event id, further ones are numbered, held ones named."""

    def __init__(self, translation: Translation, report: Report) -> None:
        self.facts: list[Fact] = []
        self.report = report
        self._translation = translation
        self._own = 0

    def add(self, kind: str, at_ms: int, held: Held | None = None, **fields: Any) -> None:
        report, translation = self.report, self._translation
        if held:
            event_id = f"{held.event_id}#{kind}"
        else:
            event_id = f"{report.event_id}#{self._own}" if self._own else report.event_id
            self._own += 1
        self.facts.append(
            Fact(
                at_ms=at_ms,
                received_ms=held.received_ms if held else report.received_ms,
                kind=kind,
                event_id=event_id,
                rank=PLAYBACK.rank[kind],
                seq=translation.seq,
                is_live=None if report.stream_type is None else report.stream_type != "v",
                position_ms=report.position_ms,
                dropped_frames=report.dropped_frames,
                **{name: getattr(report, name) for name in _ATTRIBUTES},
                **fields,
            )
        )
        translation.seq += 1


_ATTRIBUTES = (
    "session_id", "user_id", "profile_id", "content_id", "device_type", "country", "region", "app_version", "cdn",
)  # fmt: skip
