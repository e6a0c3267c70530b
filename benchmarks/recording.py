"""The one input of every contestant: playback events in the wire form, in the order in which they would arrive.

Sessions overlap as viewers do: they begin evenly over some minutes and live for one to three. Each event has an ISO
time, the envelope of an SDK and one field that no contract knows. What kind an event is says whether content moves or
stalls until the next one, so every contestant can fold it, and what must come out is known here.
"""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from confluent_kafka import Producer

from infra import topics
from infra.kafka import producer_config
from infra.settings import Settings
from schemas.topic import Topic

KINDS = (
    "play", "first_frame", "heartbeat", "quality_change", "stall_start", "stall_end", "pause", "resume", "stop",
)  # fmt: skip
PLAY, FIRST_FRAME, HEARTBEAT, QUALITY_CHANGE, STALL_START, STALL_END, PAUSE, RESUME, STOP = range(len(KINDS))
PLAYING = (FIRST_FRAME, HEARTBEAT, QUALITY_CHANGE, STALL_END, RESUME)
"""After these the content moves."""

BEGIN_WITHIN_MS = 480_000
"""Sessions begin within so much time if nobody says otherwise, and are seldom longer than four minutes."""
USERS = 100_000
BITRATES = (800, 1_600, 3_000, 4_500, 8_000)
COUNTRIES = ("US", "DE", "BR", "IN", "JP", "FR", "MX", "GB", "KR", "ES", "IT", "CA", "ID", "TR", "PL", "AU")
DEVICES = ("smart_tv", "mobile", "web")
QUALITIES = ("720p", "1080p", "4K")
CDNS = ("cdn-a", "cdn-b", "cdn-c")
APPS = ("5.1.0", "5.1.2", "5.2.0", "6.0.0-beta.3")

Totals = dict[str, int]
"""events, stalls, stall_ms, playing_ms, bits."""


@dataclass(frozen=True)
class Recording:
    """Columns of the events, in the order of arrival."""

    at_ms: np.ndarray
    session: np.ndarray
    seq: np.ndarray
    kind: np.ndarray
    bitrate: np.ndarray
    position: np.ndarray
    """Of the playhead, ms: how long the session has played."""
    running: dict[str, np.ndarray]
    """Totals of the events up to each place."""

    def totals(self, events: int) -> Totals:
        """What the first `events` events fold to."""
        return {"events": events} | {name: int(column[events - 1]) for name, column in self.running.items()}

    def sessions(self, events: int) -> int:
        """How many sessions the first `events` events belong to."""
        return len(np.unique(self.session[:events]))

    def records(self, events: int, first: int = 0, at_ms: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of the events from `first` to before `events`; with `at_ms` they all happened then."""
        second, head = -1, ""
        here = slice(first, events)
        asked = (self.at_ms, self.session, self.seq, self.kind, self.bitrate, self.position)
        columns = (column[here].tolist() for column in asked)
        for recorded, session, seq, kind, bitrate, position in zip(*columns, strict=True):
            at = recorded if at_ms is None else at_ms
            if at // 1000 != second:
                second = at // 1000
                head = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            user = f"user-{session % USERS}"
            yield (
                user.encode(),
                f'{{"eventId":"{session:08x}-{seq:04x}-4bd1-9f3e-6c0d2a","eventType":"{KINDS[kind]}",'
                f'"timestamp":"{head}{at % 1000:03d}Z","userId":"{user}","sessionId":"session-{session}",'
                f'"contentId":"title-{session * 7 % 5_000}","deviceType":"{DEVICES[session % 3]}","seq":{seq},'
                f'"positionMs":{position},"bitrateKbps":{bitrate},"quality":"{QUALITIES[bitrate // 4_000]}",'
                f'"country":"{COUNTRIES[session // 3 % 16]}","cdn":"{CDNS[session % 7 % 3]}",'
                f'"appVersion":"{APPS[session % 11 % 4]}","abCell":{session % 10}}}'.encode(),
            )


def record(events: int, seed: int = 7, within_ms: int = BEGIN_WITHIN_MS) -> Recording:
    """At least `events` events that end a moment ago, of sessions that begin within so much time."""
    random_ = random.Random(seed)
    start_ms = round(time.time() * 1000) - within_ms - 300_000
    columns = [array(code) for code in "qihbi"]
    session = 0
    while len(columns[0]) < events:
        _play_one(random_, session, start_ms + random_.randrange(within_ms), columns)
        session += 1
    at, sessions, seq, kind, bitrate = (np.frombuffer(column, dtype=column.typecode) for column in columns)
    parts = _parts(at, seq, kind, bitrate)
    played = np.cumsum(parts["playing_ms"])
    begins = np.flatnonzero(seq == 0)
    position = played - np.repeat(played[begins], np.diff(begins, append=len(seq)))
    # Sessions were written one after another with any beginning: spread evenly, then in the order of time.
    order = np.argsort(at, kind="stable")
    running = {name: np.cumsum(column[order]) for name, column in parts.items()}
    return Recording(at[order], sessions[order], seq[order], kind[order], bitrate[order], position[order], running)


def _play_one(random_: random.Random, session: int, start_ms: int, columns: Sequence[array[int]]) -> None:
    """Append one session's events."""
    at = start_ms
    bitrate = random_.choice(BITRATES)
    number = 0

    def happens(kind: int, after_ms: int) -> None:
        nonlocal at, number
        at += after_ms
        for column, value in zip(columns, (at, session, number, kind, bitrate), strict=True):
            column.append(value)
        number += 1

    happens(PLAY, 0)
    happens(FIRST_FRAME, random_.randrange(300, 2_500))
    for _ in range(random_.randrange(5, 22)):
        chance = random_.random()
        if chance < 0.06:
            happens(STALL_START, random_.randrange(1_000, 9_000))
            happens(STALL_END, random_.randrange(200, 4_000))
        elif chance < 0.10:
            happens(PAUSE, random_.randrange(1_000, 9_000))
            happens(RESUME, random_.randrange(1_000, 15_000))
        elif chance < 0.22:
            bitrate = random_.choice(BITRATES)
            happens(QUALITY_CHANGE, random_.randrange(1_000, 9_000))
        happens(HEARTBEAT, random_.randrange(2_000, 10_000))
    happens(STOP, random_.randrange(500, 9_000))


def _parts(at: np.ndarray, seq: np.ndarray, kind: np.ndarray, bitrate: np.ndarray) -> dict[str, np.ndarray]:
    """What each event adds to the totals: the time since the one before belongs to what that one began."""
    gap = np.diff(at, prepend=at[0]) * (seq > 0)
    before, rate = np.roll(kind, 1), np.roll(bitrate, 1)
    playing = gap * np.isin(before, PLAYING)
    return {
        "stalls": (kind == STALL_START).astype(np.int64),
        "stall_ms": gap * (before == STALL_START),
        "playing_ms": playing,
        "bits": playing * rate,
    }


def bulk_producer(settings: Settings) -> Producer:
    """One that is quick rather than prompt."""
    large = {"linger.ms": 20, "compression.type": "lz4", "batch.size": 500_000, "queue.buffering.max.kbytes": 200_000}
    return Producer(producer_config(settings, large))


def write(settings: Settings, recording: Recording, sizes: dict[str, int]) -> None:
    """Write the recording to topics; `sizes` says how many of its first events each one gets. Topics must exist."""
    producer = bulk_producer(settings)
    for count, (key, value) in enumerate(recording.records(max(sizes.values()))):
        for topic, size in sizes.items():
            if count < size:
                send(producer, topic, key, value)
        if count % 1000 == 0:
            producer.poll(0)
    left = producer.flush(120)
    there = dict.fromkeys(sizes, 0)
    for (topic, _), (begin, end) in topics.offsets(settings, list(sizes)).items():
        there[topic] += end - begin
    assert not left and there == sizes, f"expected {sizes} records in the topics, found {there}"


def send(producer: Producer, topic: str, key: bytes, value: bytes) -> None:
    """Hand a record over, waiting while the producer is full."""
    while True:
        try:
            producer.produce(topic, value, key)
            return
        except BufferError:
            producer.poll(0.05)


def layout(name: str, partitions: int = 0) -> Topic:
    """A plain topic for a copy of the input or for a contestant's output."""
    return Topic(name=name, partitions=partitions)
