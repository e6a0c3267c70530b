"""Prometheus metrics of the stream worker, and the port that serves them with `/healthz`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram, start_http_server

if TYPE_CHECKING:
    from streams.live.partition import LivePartition

APPLIED = Counter("playlake_stream_records_applied", "Records applied by this process")
APPLY_SECONDS = Counter("playlake_stream_apply_seconds", "Time spent applying records")
FLUSH_SECONDS = Histogram("playlake_stream_flush_seconds", "Time a flush took until the broker had it")
POSITION = Gauge("playlake_stream_position", "Next offset to apply", ["partition"])
CONCURRENT = Gauge("playlake_stream_concurrent_sessions", "Sessions that play or stall", ["partition"])
OPEN_SESSIONS = Gauge("playlake_stream_open_sessions", "Sessions in state", ["partition"])
COUNTS = Gauge(
    "playlake_stream_records", "What became of the topic's records since its beginning", ["partition", "fate"]
)


def serve(host: str, port: int) -> None:
    """Answer `/metrics` (and any other path: an answer is a sign of life) in a thread."""
    start_http_server(port, host)


def observe(partitions: Iterable[LivePartition], concurrent: Mapping[int, int]) -> None:
    """Bring the gauges up to date."""
    for partition in partitions:
        number = str(partition.number)
        POSITION.labels(number).set(partition.next or 0)
        CONCURRENT.labels(number).set(concurrent.get(partition.number, 0))
        OPEN_SESSIONS.labels(number).set(len(partition.sessions))
        for fate, count in partition.fates().items():
            COUNTS.labels(number, fate).set(count)
