"""What the collector's /metrics shows."""

from __future__ import annotations

from collections import Counter as Count

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.intake.durable import DurableProducer
from streams.intake.verdicts import Answer


class Metrics:
    """Counters of requests, events and bytes; gauges of the spool."""

    def __init__(self, producer: DurableProducer) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("playlake_collector_requests", "Answers", ["way", "status"], registry=self.registry)
        self._events = Counter(
            "playlake_collector_events", "Events by verdict", ["topic", "status"], registry=self.registry
        )
        self._reasons = Counter(
            "playlake_collector_rejected", "Events that became dead letters", ["reason"], registry=self.registry
        )
        self._refused = Counter(
            "playlake_collector_refused", "Requests of which nothing was taken", ["reason"], registry=self.registry
        )
        self._bytes = Counter("playlake_collector_body_bytes", "Bytes of bodies, unpacked", registry=self.registry)
        self._seconds = Histogram(
            "playlake_collector_answer_seconds",
            "From the whole body until it is kept",
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
            registry=self.registry,
        )
        gauges = {
            "playlake_collector_spool_bytes": ("Room that the spool takes", lambda: producer.spooled_bytes),
            "playlake_collector_spooling": ("1 while records go to the spool", lambda: producer.is_spooling),
            "playlake_collector_spool_drained": ("Records that went from the spool to Kafka", lambda: producer.drained),
        }
        for name, (text, value) in gauges.items():
            Gauge(name, text, registry=self.registry).set_function(value)

    def taken(self, answer: Answer, size: int, seconds: float) -> None:
        """A body that was read, and what became of its events."""
        self._seconds.observe(seconds)
        self._bytes.inc(size)
        for (topic, status), number in Count((one.topic or "", one.status) for one in answer.events).items():
            self._events.labels(topic, status).inc(number)
        for reason, number in Count(one.reason for one in answer.events if one.status == "rejected").items():
            self._reasons.labels(reason).inc(number)

    def unreadable(self, reason: str) -> None:
        """A whole body became a dead letter."""
        self._events.labels("", "rejected").inc()
        self._reasons.labels(reason).inc()

    def refused(self, reason: str) -> None:
        """Nothing of a request was taken."""
        self._refused.labels(reason).inc()

    def answered(self, way: str, status: int) -> None:
        """An answer, by which way in."""
        self._requests.labels(way, str(status)).inc()
