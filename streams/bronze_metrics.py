"""What the sink shows: `/metrics` for Prometheus, and `/healthz`, which is 200 while the loop goes round."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

STUCK_AFTER_S = 60.0
"""A loop that has not gone round for so long is not healthy. A flush of the largest buffer takes a few seconds."""


class Metrics:
    """Figures of one sink process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rows = Counter("playlake_sink_rows", "Rows committed", ["table"], registry=self.registry)
        self.letters = Counter(
            "playlake_sink_dead_letters", "Dead letters committed", ["topic", "reason"], registry=self.registry
        )
        self.commits = Counter("playlake_sink_commits", "Delta commits", ["table"], registry=self.registry)
        self.commit_seconds = Histogram(
            "playlake_sink_commit_seconds",
            "Time of one flush: files, commits, and everything on the disk",
            buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
            registry=self.registry,
        )
        self.lag = Gauge(
            "playlake_sink_lag", "Records behind the topic's end", ["topic", "partition"], registry=self.registry
        )
        self.position = Gauge(
            "playlake_sink_position", "Next offset to keep", ["topic", "partition"], registry=self.registry
        )
        self.last_commit = Gauge(
            "playlake_sink_last_commit_time", "Unix time of the last flush", registry=self.registry
        )
        self.claims = Counter(
            "playlake_sink_claims", "Times that partitions were taken over", ["why"], registry=self.registry
        )
        self.unannounced = Counter(
            "playlake_sink_unannounced", "Dead letters that the topic did not take", registry=self.registry
        )
        self._turned = time.monotonic()

    def flushed(self, rows: Mapping[str, int], seconds: float) -> None:
        """A flush has committed; `rows` by table."""
        for table, count in rows.items():
            self.commits.labels(table).inc()
            self.rows.labels(table).inc(count)
        self.commit_seconds.observe(seconds)
        self.last_commit.set(time.time())

    def turn(self) -> None:
        """The loop has gone round."""
        self._turned = time.monotonic()

    def seconds_since_turn(self) -> float:
        return time.monotonic() - self._turned

    def forget(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Partitions that another process has now."""
        for topic, partition in partitions:
            for gauge in (self.lag, self.position):
                gauge.remove(topic, str(partition))


def serve(metrics: Metrics, host: str, port: int) -> Callable[[], None]:
    """Answer in a thread; returns what stops it. Port 0 takes any."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/metrics"):
                self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
            elif self.path.startswith("/healthz"):
                idle_s = metrics.seconds_since_turn()
                body = json.dumps({"ready": idle_s < STUCK_AFTER_S, "idle_s": round(idle_s, 1)}).encode()
                self._answer(200 if idle_s < STUCK_AFTER_S else 503, body, "application/json")
            else:
                self._answer(404, b"expected /metrics or /healthz\n", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """A scrape is no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop
