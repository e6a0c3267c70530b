"""What really happened in a simulated session, as its player and its ads know it: nothing here is made of events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

START_FAILURE, ERROR, EXIT, STOP, SILENCE, OPEN = (
    "start_failure", "error", "exit_before_start", "stop", "timeout", "open",
)  # fmt: skip


@dataclass(slots=True)
class Stretch:
    """Content played, or was stalled: from when to when, Unix ms."""

    begin_ms: int
    end_ms: int
    is_stall: bool


@dataclass(slots=True)
class Truth:
    """The measure for whoever works the session out from its events.

    A column with the name of one of `silver.sessions` means the same. Times are ms; those of the day are Unix ms.
    """

    session_id: str | None
    """None: the viewer's back end sends none."""
    user_id: str
    content_id: str
    device_type: str
    country: str
    app_version: str
    started_ms: int
    cdn: str | None = None
    is_live: bool = False
    duration_ms: int | None = None
    ended_ms: int = 0
    end_reason: str = OPEN
    """`timeout`: the app was gone without a word."""
    error_code: str | None = None
    is_attempt: bool = True
    is_started: bool = False
    is_business_failure: bool = False
    starting_ms: int = 0
    startup_ms: int | None = None
    playing_ms: int = 0
    stall_ms: int = 0
    seeking_ms: int = 0
    """Waiting after a seek: neither playing nor stalled."""
    paused_ms: int = 0
    ad_ms: int = 0
    ad_stall_ms: int = 0
    media_ms: int = 0
    bits_played: int = 0
    bitrate_media_ms: int = 0
    stall_count: int = 0
    pause_count: int = 0
    seek_count: int = 0
    bitrate_switch_count: int = 0
    max_position_ms: int | None = None
    dropped_frames: int = 0
    live_latency_sum_ms: int = 0
    live_latency_samples: int = 0
    ad_count: int = 0
    ad_error_count: int = 0
    ad_requests: int = 0
    ad_requests_filled: int = 0
    ad_impressions: int = 0
    ad_first_quartiles: int = 0
    ad_midpoints: int = 0
    ad_third_quartiles: int = 0
    ad_completes: int = 0
    ad_skips: int = 0
    ad_clicks: int = 0
    event_count: int = 0
    watching: list[Stretch] = field(default_factory=list)
    """When content played or was stalled, in order."""

    @property
    def watched_ms(self) -> int:
        return self.playing_ms + self.stall_ms

    def watch(self, begin_ms: int, end_ms: int, *, is_stall: bool) -> None:
        """Content played or was stalled for a while; what goes on from the last while lengthens it."""
        if self.watching and (last := self.watching[-1]).end_ms == begin_ms and last.is_stall == is_stall:
            last.end_ms = end_ms
        else:
            self.watching.append(Stretch(begin_ms, end_ms, is_stall))

    def row(self) -> dict[str, Any]:
        """All of it, with what follows from how it ended."""
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        technical = not self.is_business_failure
        return told | {
            "watched_ms": self.watched_ms,
            "is_start_failure": self.end_reason == START_FAILURE and technical,
            "is_playback_failure": self.end_reason == ERROR and technical,
            "is_exit_before_start": self.end_reason == EXIT,
            # What was lost is known to who loses it, not to the player.
            "expected_event_count": None,
            "missing_event_count": None,
        }


def write(truths: Iterable[Truth], path: Path, until_ms: int) -> int:
    """One line of JSON a session, in order of their beginnings; returns how many.

    `until_ms`: up to when events were sent. A session that was not over by then has `is_whole` false, and what its
    player knew at that point.
    """
    encode = msgspec.json.Encoder().encode
    begun = [truth for truth in truths if truth.started_ms < until_ms]
    begun.sort(key=lambda truth: (truth.started_ms, truth.session_id or truth.user_id))
    with path.open("wb") as file:
        for truth in begun:
            is_whole = truth.end_reason != OPEN and truth.ended_ms < until_ms
            file.write(encode(truth.row() | {"is_whole": is_whole}) + b"\n")
    return len(begun)
