"""Recorded sessions of the Lumos measurements (one row a chunk of video) as playback events.

A row says, of one chunk of one session, what the player chose and what it took; a session is the rows of one
`session_file` in their order. Times within a session are not recorded, they follow from the rows:

    recorded                                  becomes
    session_file                              sessionId (and the key: there is no account)
    video, e.g. `bbb_4s`                      contentId; its chunks are 4 s long
    connection_type (wifi, 4g)                connectionType
    bandwidth_cap, signal_strength,           unknown fields of `play`: cap, signal, band, algorithm; silver keeps them
    connection, algorithm                     in `extra`
    test_time_gmt8 (to the minute)            when the session began
    bitrate of a chunk                        bitrateKbps while it plays; quality_change where it differs
    delivery_time                             how long the chunk's download took
    player_state of a chunk                   `steady`: the player let its buffer drain to its target before it asked
                                              for the chunk; otherwise it asked at once

    derived                                   how
    play                                      the first chunk's request
    first_frame                               its arrival: startup is the download of one chunk, the page's own time is
                                              not in the recording
    stall_start, stall_end                    a chunk arrives after everything before it was played; the recording does
                                              not say whether the real player stalled at that moment
    stop                                      the last chunk was played
    heartbeat                                 every 10 s

The target of the buffer is BUFFER_TARGET_MS and one chunk. It is not recorded either: with it, the first chunk that is
`steady` is the one that the recordings show (the buffer then holds 14 s of 2 s chunks, 16 s of 4 s chunks).
Devices, accounts, countries and the heights of pictures were not recorded and are left out.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from infra.errors import SettingsError

BUFFER_TARGET_MS = 12_000
HEARTBEAT_MS = 10_000
GMT8 = timezone(timedelta(hours=8))
COLUMNS = frozenset(
    {
        "session_file", "test_time_gmt8", "bandwidth_cap", "connection", "video", "algorithm", "connection_type",
        "signal_strength", "bitrate", "delivery_time", "player_state",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chunk:
    """One download."""

    kbps: int
    took_ms: int
    is_steady: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """One session of the file. `labels` are wire fields of its every event, `extra` those of `play` alone."""

    session_id: str
    began_at: datetime
    chunk_ms: int
    labels: dict[str, Any]
    extra: dict[str, str]
    chunks: tuple[Chunk, ...]

    def events(self) -> list[tuple[int, dict[str, Any]]]:
        """ms since the session began, and the fields that the event has beside `labels`: eventType and its own."""
        return _Playback(self).events()


def read(path: Path) -> list[Recording]:
    """The sessions of a file, CSV or gzipped CSV, in its order. Raises SettingsError when it is no such log."""
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
        rows = csv.DictReader(lines)
        missing = COLUMNS - set(rows.fieldnames or ())
        if missing:
            msg = f"{path}: expected a chunk log of Lumos, its columns {', '.join(sorted(missing))} are missing"
            raise SettingsError(msg)
        sessions: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            sessions.setdefault(row["session_file"], []).append(row)
    return [_recording(name, chunks) for name, chunks in sessions.items()]


def _recording(name: str, rows: list[dict[str, str]]) -> Recording:
    first = rows[0]
    seconds = re.search(r"_(\d+)s$", first["video"])
    if seconds is None:
        msg = f"{name}: expected a video named after the length of its chunks, e.g. bbb_4s, got {first['video']!r}"
        raise SettingsError(msg)
    return Recording(
        session_id=name,
        began_at=datetime.strptime(first["test_time_gmt8"], "%y%m%d_%H%M").replace(tzinfo=GMT8),
        chunk_ms=int(seconds[1]) * 1000,
        labels={"contentId": first["video"], "connectionType": first["connection_type"]},
        extra={
            "cap": first["bandwidth_cap"],
            "signal": first["signal_strength"],
            "band": first["connection"],
            "algorithm": first["algorithm"],
        },
        chunks=tuple(
            Chunk(
                int(row["bitrate"]), max(1, round(float(row["delivery_time"]) * 1000)), row["player_state"] == "steady"
            )
            for row in rows
        ),
    )


class _Playback:
    """The buffer of one recording, played from its first chunk on. All in whole ms."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._now = 0
        self._position = 0
        self._loaded = 0
        self._is_playing = False
        self._kbps = 0
        self._bitrates: deque[tuple[int, int]] = deque()
        """Where in the media another bitrate begins."""
        self._heartbeat = HEARTBEAT_MS
        self._events: list[tuple[int, dict[str, Any]]] = []

    def events(self) -> list[tuple[int, dict[str, Any]]]:
        recording = self._recording
        self._say("play", **recording.extra)
        for chunk in recording.chunks:
            if chunk.is_steady and self._is_playing:
                surplus = self._loaded - self._position - BUFFER_TARGET_MS - recording.chunk_ms
                self._run(self._now + max(0, surplus))
            self._run(self._now + chunk.took_ms)
            self._arrive(chunk)
        self._run(self._now + self._loaded - self._position)
        self._say("stop", reason="ended")
        return self._events

    def _arrive(self, chunk: Chunk) -> None:
        self._bitrates.append((self._loaded, chunk.kbps))
        self._loaded += self._recording.chunk_ms
        if not self._is_playing:
            if not self._position:
                self._kbps = self._bitrates.popleft()[1]
            self._is_playing = True
            self._say("stall_end" if self._position else "first_frame")
        self._switch()

    def _run(self, to_ms: int) -> None:
        """Let time pass: play what there is, and say what happens meanwhile."""
        while self._now < to_ms:
            step = min(to_ms, self._heartbeat) - self._now
            if self._is_playing:
                step = min(step, self._loaded - self._position)
                if self._bitrates and self._bitrates[0][0] > self._position:
                    step = min(step, self._bitrates[0][0] - self._position)
                self._position += step
            self._now += step
            if self._now == self._heartbeat:
                self._heartbeat += HEARTBEAT_MS
                self._say("heartbeat")
            self._switch()
            # A chunk that arrives at this very moment is in time.
            if self._is_playing and self._position == self._loaded and self._now < to_ms:
                self._is_playing = False
                self._say("stall_start")

    def _switch(self) -> None:
        while self._bitrates and self._bitrates[0][0] <= self._position:
            _, kbps = self._bitrates.popleft()
            if kbps != self._kbps:
                self._kbps = kbps
                self._say("quality_change")

    def _say(self, event_type: str, **fields: Any) -> None:
        if self._loaded:
            fields["bitrateKbps"] = self._kbps
        self._events.append((self._now, {"eventType": event_type, "positionMs": self._position, **fields}))
