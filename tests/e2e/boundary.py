"""Writing, publishing and asking at once: the answer across live and gold against the ledger of what was sent.

Every view is a play, a first frame a second later, and a stop, each under an id of its own. A part of the answer must
at no moment be less than before, less than what had been acknowledged SETTLED_S ago, or more than what has been sent.
"""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
import urllib.request
import uuid
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Producer

from infra.settings import Settings
from infra.waiting import until
from schemas.registry import PLAYBACK

SETTLED_S = 30.0
"""Longest way from an acknowledgement to the answer: 1.5 s, and what a machine takes that does batch meanwhile."""
TITLE = "boundary"
PARTS = ("plays", "first_frames", "events")
QUESTION = f"""
SELECT {", ".join(f"coalesce(sum({part}), 0)::BIGINT AS {part}" for part in PARTS)}
FROM metrics.quality_minute WHERE rollup = 'title' AND content_id LIKE '{TITLE}-%'
"""
KINDS = {"play": ("plays", "events"), "first_frame": ("first_frames", "events"), "stop": ("events",)}
"""Event → the parts that it counts in."""


class Ledger:
    """What was sent and acknowledged, by part and over time. One thread writes, others read."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()
        self.failed = 0
        self._times: list[float] = [0.0]
        self._then: list[Counter[str]] = [Counter()]

    def note(self) -> None:
        """How it stands now."""
        self._then.append(self.acknowledged.copy())
        self._times.append(time.monotonic())

    def acknowledged_at(self, moment: float) -> Counter[str]:
        """What had been acknowledged by then."""
        return self._then[bisect_right(self._times, moment) - 1]


class Writer(threading.Thread):
    """Viewers who begin, see a first frame and stop, `rate` of them a second."""

    def __init__(self, settings: Settings, rate: float) -> None:
        super().__init__(daemon=True)
        self.ledger = Ledger()
        self._rate = rate
        self._stopping = threading.Event()
        self._dice = random.Random(5)
        self._due: list[tuple[float, dict[str, Any]]] = []
        config = {"bootstrap.servers": settings.bootstrap, "partitioner": "murmur2_random", "linger.ms": 20}
        self._producer = Producer(config)

    def run(self) -> None:
        began, views = time.monotonic(), 0
        while not self._stopping.is_set():
            while views < (time.monotonic() - began) * self._rate:
                self._begin()
                views += 1
            self._send_due(time.monotonic())
            self._producer.poll(0)
            self.ledger.note()
            time.sleep(0.02)
        self._send_due(float("inf"))
        self._producer.flush(60)
        self.ledger.note()

    def stop(self) -> Ledger:
        """The ledger, when the last view has ended and all is acknowledged or failed."""
        self._stopping.set()
        self.join(90)
        return self.ledger

    def _begin(self) -> None:
        dice = self._dice
        view = {
            "sessionId": str(uuid.UUID(int=dice.getrandbits(128))), "userId": f"viewer-{dice.randrange(5_000)}",
            "contentId": f"{TITLE}-{dice.randrange(20)}", "deviceType": dice.choice(("smart_tv", "mobile", "web")),
            "quality": "1080p", "country": dice.choice(("DE", "FR", "BR")), "cdn": "one", "appVersion": "1",
        }  # fmt: skip
        self._send(view, "play")
        for kind, after_s in (("first_frame", 1.0), ("stop", 2.0)):
            self._due.append((time.monotonic() + after_s, view | {"eventType": kind}))

    def _send_due(self, until: float) -> None:
        due = [event for at, event in self._due if at <= until]
        self._due = [(at, event) for at, event in self._due if at > until]
        for event in due:
            self._send(event, event["eventType"])

    def _send(self, view: dict[str, Any], kind: str) -> None:
        self.ledger.sent.update(KINDS[kind])
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = view | {"eventType": kind, "eventId": str(uuid.uuid4()), "timestamp": stamp}

        def settled(error: object, _message: object) -> None:
            if error is None:
                self.ledger.acknowledged.update(KINDS[kind])
            else:
                self.ledger.failed += 1

        self._producer.produce(PLAYBACK.name, json.dumps(event).encode(), view["userId"].encode(), on_delivery=settled)


@dataclass
class Watcher(threading.Thread):
    """Asks every second, by SQL over HTTP, and keeps what is wrong."""

    settings: Settings
    ledger: Ledger
    asked: int = 0
    publishes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.stopping = threading.Event()
        self._before: Counter[str] = Counter()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                self._look(began)
            except Exception as error:  # noqa: BLE001 - a question without an answer is one too many
                self.wrong.append(f"{datetime.now(UTC):%H:%M:%S} no answer: {error!r}")
            self.asked += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.stopping.wait(max(0.0, began + 1 - time.monotonic()))

    def _look(self, began: float) -> None:
        settled = self.ledger.acknowledged_at(began - SETTLED_S)
        answer, publish_id = ask(self.settings)
        sent = self.ledger.sent.copy()
        for part in PARTS:
            for limit, is_kept in (
                (f"{self._before[part]} before", answer[part] >= self._before[part]),
                (f"{settled[part]} settled", answer[part] >= settled[part]),
                (f"{sent[part]} sent", answer[part] <= sent[part]),
            ):
                if not is_kept:
                    self.wrong.append(f"{datetime.now(UTC):%H:%M:%S} {publish_id}: {part} {answer[part]}, {limit}")
        self._before = answer
        if publish_id and publish_id not in self.publishes:
            self.publishes.append(publish_id)


def ask(settings: Settings) -> tuple[Counter[str], str | None]:
    """The parts across live and gold, and the publish that answered."""
    body = json.dumps({"sql": QUESTION}).encode()
    url = f"http://127.0.0.1:{settings.server_port}/v1/sql"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answered:
        told = json.load(answered)
    return Counter(dict(zip(PARTS, told["rows"][0], strict=True))), told["publish_id"]


def wait_until_answered(settings: Settings) -> None:
    """Before the first live numbers there is nothing to ask, and the server says so."""

    def is_answered() -> bool:
        try:
            ask(settings)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            return False
        return True

    until("the first live numbers", is_answered, 60)


def wait_for(settings: Settings, expected: Counter[str], timeout_s: float) -> Counter[str]:
    """The answer once it is the expected one, or after the time."""
    end = time.monotonic() + timeout_s
    while (answer := ask(settings)[0]) != expected and time.monotonic() < end:
        time.sleep(0.5)
    return answer
