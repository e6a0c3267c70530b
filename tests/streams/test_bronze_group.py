"""Three sinks share the work while each in turn is stopped, killed, continued, ended: a minute and a half."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Mapping

import pytest

from infra.settings import Settings
from schemas.registry import PLAYBACK
from schemas.tables import BRONZE, DEAD_LETTERS
from schemas.topic import Topic
from tests.streams.bronze_world import (
    assert_each_record_once,
    log_of,
    positions,
    produce,
    sink,
    stop,
    wait_caught_up,
)

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(400)]

SESSION_S = 6
MOMENTS = [
    f"{table.name}: {moment}"
    for table in (BRONZE[PLAYBACK.name], DEAD_LETTERS)
    for moment in ("before files", "before commit", "after commit")
]


class Watch(threading.Thread):
    """Keeps sending, and looks whether any position goes back."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.settings = settings
        self.sent = self.bad = self.looks = 0
        self.went_back: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        last: dict[tuple[str, int], int] = {}
        while not self.done.is_set():
            self.bad += produce(self.settings, 500, seed=self.sent, broken=0.05, first=self.sent)
            self.sent += 500
            for _ in range(3):
                now = positions(self.settings)
                self.went_back += [f"{place}: {was} → {now[place]}" for place, was in last.items() if now[place] < was]
                last = now
                self.looks += 1
                time.sleep(0.15)


def test_three_processes_and_every_trouble(kafka: Settings, topics: Mapping[str, Topic]) -> None:
    watch = Watch(kafka)
    watch.start()
    with contextlib.ExitStack() as stack:
        start = lambda *fatal: stack.enter_context(sink(kafka, "g", *fatal))  # noqa: E731
        first, second, third = start(), start(), start()
        time.sleep(5)
        # Stopped for longer than its session, then continued: the others have its partitions by then.
        first.send_signal(signal.SIGSTOP)
        time.sleep(SESSION_S + 4)
        first.send_signal(signal.SIGCONT)
        time.sleep(2)
        # Handed over.
        stop(second)
        for moment in MOMENTS:
            # The others live on; this one dies at the moment's second coming, its partitions are taken over.
            fatal = start(moment, 2)
            with contextlib.suppress(Exception):
                fatal.wait(SESSION_S + 6)
            assert fatal.poll() in (None, -9), log_of(kafka)[-3000:]
            fatal.kill()
        third.send_signal(signal.SIGSTOP)
        time.sleep(2)
        third.send_signal(signal.SIGCONT)
        watch.done.set()
        watch.join()
        wait_caught_up(kafka, 90, first, third)
        for process in (first, third):
            stop(process)
    assert watch.looks > 50
    assert watch.went_back == []
    assert assert_each_record_once(kafka) == {"rows": watch.sent - watch.bad, "letters": watch.bad}
