"""The HTTP collector: events in, answered when they are kept, by Kafka (acks=all) or by the fsynced spool.

    curl -X POST localhost:8700/v1/events -d '[{"userId":"user123","contentId":"title456","eventType":"play", ...}]'

`POST /v1/events` takes a JSON array, one event or NDJSON, also packed with gzip or zstd, whatever its Content-Type
(`navigator.sendBeacon` sends text/plain); `GET /v1/pixel?e=<event>` takes events in its address. Each event goes into
the topic that its eventType names (`?topic=` says it where two topics know the name), with what the collector adds
(`additions.py`); one that breaks its contract becomes a dead letter.

Players report to `/v1/cmcd` (`streams/intake/cmcd.py`): 204, and what is not 200 of these.

    200  a verdict per event, in the body's order; with `Prefer: return=minimal` only those that were not accepted
    400  nothing in the body can be read: it is kept as one dead letter, as it came
    4xx  nothing is taken (`schemas/refusals.py`); 429 after Retry-After again
    503  Kafka is away and the spool full: send the events whose status is `unknown` again, after Retry-After

All of it as OpenAPI: `/openapi.json`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from infra import garbage
from infra import log as logs
from infra.errors import ContractError, RequestRefused, SettingsError
from infra.kafka import producer_config
from infra.settings import Settings
from schemas.refusals import REFUSALS
from schemas.registry import CMCD, DEAD_LETTER_TOPIC, EVENT_TOPICS
from schemas.topic import EventTopic
from streams.intake import cmcd
from streams.intake.acknowledged import AcknowledgedProducer
from streams.intake.bodies import split
from streams.intake.collector_metrics import Metrics
from streams.intake.durable import DurableProducer
from streams.intake.gate import Gate, Visitor
from streams.intake.openapi import document
from streams.intake.sdk_file import SdkFile
from streams.intake.spool import Spool
from streams.intake.verdicts import Answer, Judge, Origin

log = logging.getLogger(__name__)

PROBE_S = 1.0
GRACE_S = 6
"""How long a stopping collector waits for requests in flight, then for the broker at most FLUSH_S."""
FLUSH_S = 2.0
PREFLIGHT = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "*, authorization",
    "access-control-max-age": "86400",
}
EXPOSED = {"access-control-expose-headers": "retry-after"}
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b")
"""One transparent pixel."""

Handler = Callable[["Collector", Request], Awaitable[Response]]


def way_in(name: str) -> Callable[[Handler], Handler]:
    """An endpoint that takes events: whatever is refused becomes an answer, and every answer is counted."""

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def answer(self: Collector, request: Request) -> Response:
            try:
                response = await handler(self, request)
            except RequestRefused as refused:
                self.metrics.refused(refused.reason)
                wrong = {"error": refused.reason, "detail": refused.detail}
                response = _json(REFUSALS[refused.reason][0], wrong, _retry(refused.retry_after_s))
            except ClientDisconnect:
                self.metrics.refused("gone")
                response = Response(status_code=400)
            self.metrics.answered(name, response.status_code)
            response.headers.update(self.gate.origins.headers(request.headers.get("origin")) | EXPOSED)
            return response

        return answer

    return decorate


class Collector:
    """The endpoints, around one producer."""

    def __init__(self, settings: Settings, kafka: AcknowledgedProducer, producer: DurableProducer) -> None:
        """Raises SettingsError."""
        self._settings = settings
        self._kafka = kafka
        self._producer = producer
        self._judge = Judge(settings, producer.send)
        self._openapi = msgspec.json.encode(document(settings))
        self.gate = Gate(settings)
        self.metrics = Metrics(producer)

    def app(self, lifespan: Callable[[Any], Any] | None = None) -> Starlette:
        routes = [
            Route("/v1/events", self.post, methods=["POST"]),
            Route("/v1/events", self.preflight, methods=["OPTIONS"]),
            Route("/v1/pixel", self.pixel, methods=["GET"]),
            Route("/v1/cmcd", self.cmcd, methods=["GET", "POST"]),
            Route("/v1/cmcd", self.preflight, methods=["OPTIONS"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/metrics", self.page_of_metrics, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
            SdkFile().route(),
        ]
        return Starlette(routes=routes, lifespan=lifespan)

    @way_in("events")
    async def post(self, request: Request) -> Response:
        visitor = self.gate.admit(request)
        topic = _topic(request)
        with self.gate.room(visitor) as room:
            try:
                body = await room.body(request)
                records = split(body, self._settings.collector_max_events)
            except ContractError as error:
                return await self._unreadable(room.packed, error, topic, visitor)
            answer = await self._take(records, topic, visitor, len(body))
        if "return=minimal" in request.headers.get("prefer", ""):
            answer.events = [verdict for verdict in answer.events if verdict.status not in ("accepted", "duplicate")]
        return _json(503, answer, _retry(1)) if answer.unknown else _json(200, answer)

    @way_in("pixel")
    async def pixel(self, request: Request) -> Response:
        """Events in the address, `?e=<JSON>` once or several times; an image when they are kept."""
        visitor = self.gate.admit(request)
        topic = _topic(request)
        records = [event.encode("utf-8", "replace").strip() for event in request.query_params.getlist("e")]
        answer = await self._take(records, topic, visitor, sum(map(len, records)))
        if answer.unknown:
            return _json(503, answer, _retry(1))
        return Response(GIF, headers={"cache-control": "no-store"}, media_type="image/gif")

    @way_in("cmcd")
    async def cmcd(self, request: Request) -> Response:
        """Reports of players, answered without content: `streams/intake/cmcd.py`."""
        visitor = self._admit_player(request)
        with self.gate.room(visitor) as room:
            try:
                body = await room.body(request)
            except ContractError as error:
                return await self._unreadable(room.packed, error, CMCD, visitor)
            asked = cmcd.Asked(body, request.query_params, request.headers, visitor.additions())
            began = time.monotonic()
            answer = await cmcd.take(asked, self._producer.send, self._settings)
        self.gate.charge(visitor, len(answer.events))
        self.metrics.taken(answer, len(body), time.monotonic() - began)
        return _json(503, answer, _retry(1)) if answer.unknown else Response(status_code=204)

    def _admit_player(self, request: Request) -> Visitor:
        """Who it is. Not 429 for who is too fast: a player answers that by sending everything again."""
        try:
            visitor = self.gate.admit(request)
        except RequestRefused as refused:
            if refused.reason == "too_fast":
                raise RequestRefused(reason="reports_too_fast", detail=refused.detail) from None
            raise
        if CMCD.name not in visitor.holder.topics:
            raise RequestRefused(reason="not_for_reports", detail=f"the write key is not for {CMCD.name}")
        return visitor

    @way_in("preflight")
    async def preflight(self, request: Request) -> Response:
        if not self.gate.origins.allows(request.headers.get("origin")):
            raise RequestRefused(reason="origin_not_allowed", detail="pages of this origin may not send here")
        return Response(status_code=204, headers=PREFLIGHT)

    async def healthz(self, request: Request) -> Response:
        """200 while events are taken: the broker has every topic, or is away and the spool has room."""
        from confluent_kafka import KafkaException

        room = self._settings.collector_spool_bytes - self._producer.spooled_bytes
        state = {"spooling": self._producer.is_spooling, "spoolRoomBytes": max(0, room)}
        try:
            known = await asyncio.to_thread(self._kafka.topics, PROBE_S)
        except KafkaException as error:
            ready = room > self._settings.collector_max_body_bytes
            detail = f"no broker at {self._settings.bootstrap}: {error.args[0]}"
            return _json(200 if ready else 503, {"ready": ready, **state, "detail": detail})
        missing = sorted({*EVENT_TOPICS, DEAD_LETTER_TOPIC.name} - known)
        if missing:
            return _json(503, {"ready": False, **state, "detail": f"topics are missing: {', '.join(missing)}"})
        return _json(200, {"ready": True, **state})

    async def page_of_metrics(self, request: Request) -> Response:
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def openapi(self, request: Request) -> Response:
        return Response(self._openapi, media_type="application/json")

    async def _take(self, records: list[bytes], topic: EventTopic | None, visitor: Visitor, size: int) -> Answer:
        self.gate.charge(visitor, len(records))
        began = time.monotonic()
        answer = await self._judge.take(records, Origin(topic, visitor.holder.topics, visitor.additions()))
        self.metrics.taken(answer, size, time.monotonic() - began)
        return answer

    async def _unreadable(
        self, body: bytes, error: ContractError, topic: EventTopic | None, visitor: Visitor
    ) -> Response:
        self.gate.charge(visitor, 1)
        receipt = await self._judge.keep_unreadable(body, error, topic)
        if receipt.error is not None:
            return _json(503, {"error": "unknown", "detail": receipt.error}, _retry(1))
        self.metrics.unreadable(error.reason)
        return _json(400, {"error": error.reason, "detail": error.detail})


def _topic(request: Request) -> EventTopic | None:
    """The topic that the client names. Raises RequestRefused."""
    name = request.query_params.get("topic")
    if name is None:
        return None
    if name not in EVENT_TOPICS:
        msg = f"?topic= must be one of {', '.join(sorted(EVENT_TOPICS))}, got {name[:60]!r}"
        raise RequestRefused(reason="unknown_topic", detail=msg)
    return EVENT_TOPICS[name]


def _retry(after_s: float | None) -> dict[str, str]:
    return {} if after_s is None else {"retry-after": str(max(1, math.ceil(after_s)))}


def _json(status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")


async def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code. Raises SettingsError."""
    from streams.intake.http_server import server as make_server

    loop = asyncio.get_running_loop()
    failed = asyncio.Event()

    def on_fatal(error: str) -> None:
        log.critical("the collector can't go on; stopping to be started again", extra={"error": error})
        stop(True)

    def stop(broken: bool = False) -> None:
        if broken:
            failed.set()
        server.should_exit = True

    kafka = AcknowledgedProducer(producer_config(settings, _tuning(settings)), on_fatal)
    spool = Spool(settings.collector_spool, settings.collector_spool_bytes)
    producer = DurableProducer(kafka, spool, settings.collector_spool_after_s, on_fatal)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        left = await producer.close(FLUSH_S)
        log.info("stopped", extra={"unacknowledged": left})

    server = make_server(Collector(settings, kafka, producer).app(lifespan), settings, GRACE_S)
    # What is there now stays: the collector of garbage need not look at it again with every thousand verdicts.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.serve()
    return 1 if failed.is_set() or not server.started else 0


def _tuning(settings: Settings) -> dict[str, Any]:
    return {
        # What librdkafka was given it keeps trying to deliver: the spool's copy waits for it.
        "message.timeout.ms": 0,
        # Base64 and a few words around the largest event that is let in.
        "message.max.bytes": 2 * settings.collector_max_event_bytes + 10_000,
        # What does not fit goes to the spool.
        "queue.buffering.max.kbytes": 65_536,
        "queue.buffering.max.messages": 500_000,
        # A broker that is back is found soon.
        "reconnect.backoff.max.ms": 1000,
        "linger.ms": 5,
        "compression.type": "lz4",
    }


def main() -> None:
    import uvloop

    logs.setup("collector")
    settings = Settings.from_env()
    garbage.look_less_often()
    try:
        sys.exit(uvloop.run(serve(settings)))
    except SettingsError as error:
        log.critical("%s", error)
        sys.exit(2)


if __name__ == "__main__":
    main()
