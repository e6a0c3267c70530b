"""How long nothing went on: the time between two advances of the sink's positions and of the stream's."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from infra.kafka import consumer_config
from infra.settings import Settings
from infra.waiting import until
from schemas.registry import STREAM_STATE
from schemas.tables import BRONZE

LOOK_S = 0.5
_SILENT = logging.getLogger("chaos.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class Watch:
    """When something advanced last, and the longest time that it did not."""

    def __init__(self) -> None:
        self.value = -1
        self.advanced = self.since = time.monotonic()
        self.longest = 0.0

    def see(self, value: int) -> None:
        """Its value as it is now."""
        now = time.monotonic()
        if value > self.value:
            self.longest = max(self.longest, now - max(self.advanced, self.since))
            self.value, self.advanced = value, now

    def restart(self) -> None:
        """Measure from now on."""
        self.since, self.longest = time.monotonic(), 0.0


class Progress:
    """Watches both, in a thread, by what others can see: versions of the Delta tables, records of the state topic."""

    def __init__(self, settings: Settings, *, has_stream: bool = True) -> None:
        self._settings, self._has_stream = settings, has_stream
        self.sink, self.stream = Watch(), Watch()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(self.sink, self._versions), daemon=True),
            threading.Thread(target=self._watch, args=(self.stream, self._state), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def restart(self) -> None:
        """Measure from now on."""
        self.sink.restart()
        self.stream.restart()

    def wait(self, timeout_s: float) -> None:
        """Return when both (of a world without workers: the sink) have advanced from now on. Raises TimeoutError."""
        asked = time.monotonic()
        waited = [("sink", self.sink), *([("stream", self.stream)] if self._has_stream else [])]

        def still() -> list[str]:
            return [name for name, watch in waited if watch.advanced <= asked]

        until("sink and stream go on", lambda: not still(), timeout_s, seen=lambda: f"no advance of {still()}")

    def close(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(10)

    def _watch(self, watch: Watch, look: Callable[[], int | None]) -> None:
        while not self._stopping.wait(LOOK_S):
            value = look()
            if value is not None:
                watch.see(value)

    def _versions(self) -> int | None:
        return sum(_newest(Path(table.path(self._settings.lake_root))) for table in BRONZE.values())

    def _state(self) -> int | None:
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        if not hasattr(self, "_consumer"):
            self._consumer = Consumer(consumer_config(self._settings, "chaos-progress"), logger=_SILENT)
        total = 0
        for partition in range(self._settings.topic_partitions):
            try:
                place = TopicPartition(STREAM_STATE.name, partition)
                total += self._consumer.get_watermark_offsets(place, timeout=2)[1]
            except KafkaException:
                # A client that has asked a broker which knew no topics yet goes on saying so; a new one does not.
                self._consumer.close()
                del self._consumer
                return None
        return total


def _newest(table: Path) -> int:
    try:
        return max((int(file.name[:20]) for file in (table / "_delta_log").glob("*.json")), default=0)
    except OSError:
        return 0
