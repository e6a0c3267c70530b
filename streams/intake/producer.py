"""Events from a back end into Kafka: typed, checked against their contract before they leave, and accounted for.

    from datetime import UTC, datetime

    from schemas.events.playback import Play
    from streams.intake.producer import EventProducer

    with EventProducer("127.0.0.1:19092") as producer:
        producer.send(Play(user_id="user123", content_id="title456", timestamp=datetime.now(UTC)))

Leaving the block waits for the brokers' acknowledgements (acks=all, idempotent, keys partitioned as Java does it) and
raises DeliveryError with the events that were not acknowledged, so that none is lost without a word.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from infra.errors import ContractError, DeliveryError, SettingsError
from infra.kafka import producer_config
from infra.settings import Settings
from schemas.event import Event
from schemas.registry import EVENT_TOPICS
from schemas.topic import EventTopic
from streams.intake.routing import Router

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

POLL_S = 0.1
_TOPIC_OF: dict[type[Event], EventTopic] = {event: topic for topic in EVENT_TOPICS.values() for event in topic.events}
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Failure:
    """An event that no broker has acknowledged. It may be there all the same: its id makes sending it again safe."""

    topic: str
    value: bytes
    error: str


class EventProducer:
    """Sends events of the contracts. One for the whole process; any thread may use it.

    `to` names the brokers (`host:port,...`), or holds the Settings of a cluster with a login. `config` holds further
    properties of librdkafka; acks, idempotence and partitioner are not open to change.
    """

    def __init__(self, to: str | Settings, config: Mapping[str, Any] | None = None) -> None:
        from confluent_kafka import Producer

        settings = Settings(kafka_bootstrap=to) if isinstance(to, str) else to
        promised = producer_config(settings)
        config = dict(config or {})
        if broken := sorted(name for name in config if name in promised and config[name] != promised[name]):
            msg = f"expected no other {', '.join(broken)} than playlake's: {[promised[name] for name in broken]}"
            raise SettingsError(msg)
        own = {"linger.ms": 20, "compression.type": "lz4", **config}
        self._producer = Producer(promised | own, logger=logging.getLogger("librdkafka"))
        self._router = Router()
        self._failures: list[Failure] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def send(self, event: Event) -> str:
        """Queue one event, e.g. `Play(...)`; returns its id. Waits only while the queue is full.

        Raises ContractError when a field breaks the contract: a struct made in Python takes any type.
        """
        topic = _TOPIC_OF.get(type(event))
        if topic is None:
            detail = f"expected an event of {', '.join(sorted(EVENT_TOPICS))}, got {type(event).__name__}"
            raise ContractError(reason="unknown_event_type", detail=detail, field="eventType")
        if event.event_id is None:
            event = msgspec.structs.replace(event, event_id=str(uuid.uuid4()))
        value = _encoded(event)
        topic.decode(value)
        self._produce(topic.name, event.key, value)
        return event.event_id or ""

    def send_raw(self, event: Mapping[str, Any] | bytes, topic: str | None = None) -> None:
        """Queue an event that is a mapping of the wire's names, or JSON bytes, which travel as they are.

        Its eventType says the topic; `topic` does where two topics know it. Raises ContractError.
        """
        value = event if isinstance(event, bytes) else _encoded(event)
        if topic is not None and topic not in EVENT_TOPICS:
            msg = f"expected a topic of the contracts, one of {', '.join(sorted(EVENT_TOPICS))}; got {topic!r}"
            raise ContractError(reason="unknown_topic", detail=msg)
        of, decoded = self._router.route(value, EVENT_TOPICS[topic] if topic else None)
        self._produce(of.name, decoded.key, value)

    def flush(self, timeout_s: float = 60.0) -> None:
        """Wait until everything that was sent is acknowledged.

        Raises DeliveryError when something was not; `error.failures` holds it, and it is forgotten here.
        """
        left = self._producer.flush(timeout_s)
        with self._lock:
            failures, self._failures = self._failures, []
        if left or failures:
            why = f"; the first: {failures[0].error}" if failures else ""
            msg = f"{len(failures)} events were not delivered, {left} not acknowledged within {timeout_s:g} s{why}"
            raise DeliveryError(msg, failures)

    def close(self, timeout_s: float = 60.0) -> None:
        """`flush`, and take nothing more."""
        self._is_closed = True
        self.flush(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.close()
        except DeliveryError as undelivered:
            if error is None:
                raise
            # The block's own error goes on; this one is not lost either.
            error.add_note(str(undelivered))

    def _produce(self, topic: str, key: str, value: bytes) -> None:
        if self._is_closed:
            msg = f"this producer is closed; an event of {topic} came after it"
            raise DeliveryError(msg, [Failure(topic, value, "closed")])
        while True:
            try:
                self._producer.produce(topic, key=key.encode(), value=value, on_delivery=self._report)
                break
            except BufferError:
                self._producer.poll(POLL_S)
        self._producer.poll(0)

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            with self._lock:
                self._failures.append(Failure(message.topic() or "", message.value() or b"", error.str()))


def _encoded(event: Any) -> bytes:
    try:
        return _encode(event)
    except (TypeError, ValueError) as error:
        raise ContractError(reason="invalid_field", detail=f"expected what JSON can hold: {error}") from None
