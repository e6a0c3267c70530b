"""The HTTP collector: events in by `POST /v1/events`, answered when Kafka has them (acks=all).

    curl -X POST localhost:8700/v1/events -d '[{"userId":"user123","contentId":"title456","eventType":"play", ...}]'

The body is a JSON array, one event or NDJSON, also gzipped. Each event goes into the topic that its eventType names,
byte for byte (`?topic=` says it where two topics know the name); one that breaks its contract becomes a dead letter.

    200  a verdict per event, in the body's order; with `Prefer: return=minimal` only those that were not accepted
    400  nothing in the body can be read; 404 unknown ?topic=; 413 too large; 415 unknown encoding: nothing was taken
    503  the broker did not acknowledge the events whose status is `unknown`: send those again, after Retry-After
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra import log as logs
from infra.errors import ContractError
from infra.kafka import producer_config
from infra.settings import Settings
from schemas.registry import DEAD_LETTER_TOPIC, EVENT_TOPICS
from schemas.topic import EventTopic
from streams.intake.acknowledged import AcknowledgedProducer
from streams.intake.bodies import split, unpack
from streams.intake.routing import Router
from streams.intake.sdk_file import SdkFile
from streams.intake.verdicts import Answer, take

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger(__name__)

PROBE_S = 1.0
GRACE_S = 6
"""How long a stopping collector waits for requests in flight, then for the broker at most FLUSH_S."""
FLUSH_S = 2.0
IN_FLIGHT_BODIES = 16
"""Largest bodies that may be in memory at once; beyond them a client is asked to come again."""

STATUS_OF = {"not_json": 400, "not_gzip": 400, "unknown_encoding": 415, "unknown_topic": 404, "too_large": 413}
CORS = {"access-control-allow-methods": "POST", "access-control-allow-headers": "*", "access-control-max-age": "86400"}


class Metrics:
    """What /metrics shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "playlake_collector_requests", "Answers to POST /v1/events", ["status"], registry=self.registry
        )
        self.events = Counter(
            "playlake_collector_events", "Events by verdict", ["topic", "status"], registry=self.registry
        )
        self.bytes = Counter("playlake_collector_body_bytes", "Bytes of bodies, unpacked", registry=self.registry)
        self.seconds = Histogram(
            "playlake_collector_answer_seconds",
            "From the whole body to the broker's acknowledgement",
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
            registry=self.registry,
        )

    def count(self, answer: Answer) -> None:
        for verdict in answer.events:
            self.events.labels(verdict.topic or "", verdict.status).inc()


class Collector:
    """The endpoints, around one producer."""

    def __init__(self, settings: Settings, producer: AcknowledgedProducer) -> None:
        self._settings = settings
        self._producer = producer
        self._router = Router()
        self._metrics = Metrics()
        self._in_flight = 0

    def app(self, lifespan: Callable[[Any], Any] | None = None) -> Starlette:
        routes = [
            Route("/v1/events", self.post, methods=["POST"]),
            Route("/v1/events", self.preflight, methods=["OPTIONS"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
            SdkFile().route(),
        ]
        return Starlette(routes=routes, lifespan=lifespan)

    async def post(self, request: Request) -> Response:
        limit = self._settings.collector_max_body_bytes
        reserved = min(limit, int(request.headers.get("content-length") or limit))
        if self._in_flight + reserved > IN_FLIGHT_BODIES * limit:
            return self._respond(503, {"error": "too_busy", "detail": "too many bodies in flight"}, request)
        self._in_flight += reserved
        try:
            return await self._take(request, limit)
        except ContractError as error:
            wrong = {"error": error.reason, "detail": error.detail}
            return self._respond(STATUS_OF.get(error.reason, 400), wrong, request)
        finally:
            self._in_flight -= reserved

    async def _take(self, request: Request, limit: int) -> Response:
        topic = self._topic(request.query_params.get("topic"))
        body = unpack(await _read(request, limit), request.headers.get("content-encoding", "").lower(), limit)
        records = split(body)
        if len(records) > self._settings.collector_max_events:
            msg = f"expected at most {self._settings.collector_max_events} events, got {len(records)}"
            raise ContractError(reason="too_large", detail=msg)
        began = time.monotonic()
        answer = await take(records, topic, self._router, self._producer.send, self._settings.collector_max_event_bytes)
        self._metrics.seconds.observe(time.monotonic() - began)
        self._metrics.bytes.inc(len(body))
        self._metrics.count(answer)
        if "return=minimal" in request.headers.get("prefer", ""):
            answer.events = [verdict for verdict in answer.events if verdict.status != "accepted"]
        return self._respond(503 if answer.unknown else 200, answer, request)

    async def preflight(self, request: Request) -> Response:
        return Response(status_code=204, headers=self._cors() | CORS)

    async def healthz(self, request: Request) -> Response:
        """200 when the broker answers and has every topic that events may go to."""
        from confluent_kafka import KafkaException

        try:
            known = await asyncio.to_thread(self._producer.topics, PROBE_S)
        except KafkaException as error:
            return _json(503, {"ready": False, "detail": f"no broker at {self._settings.bootstrap}: {error.args[0]}"})
        missing = sorted({*EVENT_TOPICS, DEAD_LETTER_TOPIC.name} - known)
        if missing:
            return _json(503, {"ready": False, "detail": f"topics are missing: {', '.join(missing)}"})
        return _json(200, {"ready": True})

    async def metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)

    def _topic(self, name: str | None) -> EventTopic | None:
        if name is None:
            return None
        if name not in EVENT_TOPICS:
            msg = f"?topic= must be one of {', '.join(sorted(EVENT_TOPICS))}, got {name!r}"
            raise ContractError(reason="unknown_topic", detail=msg)
        return EVENT_TOPICS[name]

    def _respond(self, status: int, content: Any, request: Request) -> Response:
        self._metrics.requests.labels(str(status)).inc()
        return _json(status, content, self._cors() | ({"retry-after": "1"} if status == 503 else {}))

    def _cors(self) -> dict[str, str]:
        origin = self._settings.collector_allow_origin
        return {"access-control-allow-origin": origin} if origin else {}


async def _read(request: Request, limit: int) -> bytes:
    """The body. One over the limit is read on for a while, and thrown away, so that its sender sees the answer."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > 8 * limit:
            break
    if size > limit:
        msg = f"expected at most {limit} bytes, the body has more"
        raise ContractError(reason="too_large", detail=msg)
    return b"".join(chunks)


def _json(status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def _server(config: uvicorn.Config) -> uvicorn.Server:
    """uvicorn without its own signal handling, which would end the process by the signal and not with exit code 0."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return Server(config)


async def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    import uvicorn

    loop = asyncio.get_running_loop()
    failed = asyncio.Event()

    def on_fatal(error: str) -> None:
        log.critical("the producer can't go on; stopping to be started again", extra={"error": error})
        loop.call_soon_threadsafe(stop, True)

    def stop(broken: bool = False) -> None:
        if broken:
            failed.set()
        server.should_exit = True

    producer = AcknowledgedProducer(producer_config(settings, _tuning(settings)), on_fatal)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        left = await asyncio.to_thread(producer.close, FLUSH_S)
        log.info("stopped", extra={"unacknowledged": left})

    app = Collector(settings, producer).app(lifespan)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.collector_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.serve()
    return 1 if failed.is_set() or not server.started else 0


def _tuning(settings: Settings) -> dict[str, Any]:
    return {
        "message.timeout.ms": round(settings.collector_ack_timeout_s * 1000),
        # Base64 and a few words around the largest event that is let in.
        "message.max.bytes": 2 * settings.collector_max_event_bytes + 10_000,
        "queue.buffering.max.kbytes": 2 * IN_FLIGHT_BODIES * settings.collector_max_body_bytes // 1024,
        "queue.buffering.max.messages": 1_000_000,
        # A broker that is back is found soon.
        "reconnect.backoff.max.ms": 1000,
        "linger.ms": 5,
        "compression.type": "lz4",
    }


def main() -> None:
    logs.setup("collector")
    sys.exit(asyncio.run(serve(Settings.from_env())))


if __name__ == "__main__":
    main()
