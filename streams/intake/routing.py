"""Which topic an event belongs to: its `eventType` says it, since the contracts name every event."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from infra.errors import ContractError
from schemas.event import Event, decode
from schemas.registry import EVENT_TOPICS
from schemas.topic import EventTopic


class _Tagged(msgspec.Struct, rename="camel"):
    event_type: str


_TAG = msgspec.json.Decoder(_Tagged)


def _by_event_type(topics: Mapping[str, EventTopic]) -> dict[str, tuple[EventTopic, ...]]:
    found: dict[str, tuple[EventTopic, ...]] = {}
    for topic in topics.values():
        for event_type in topic.rank:
            found[event_type] = (*found.get(event_type, ()), topic)
    return found


class Router:
    """Bytes → topic and event, for any topic of the contracts."""

    def __init__(self, topics: Mapping[str, EventTopic] = EVENT_TOPICS) -> None:
        self.topics = topics
        self._by_event_type = _by_event_type(topics)

    def route(self, raw: bytes, topic: EventTopic | None = None) -> tuple[EventTopic, Event]:
        """The record's topic and the event in it. `topic` is the one the client named, if it did.

        Raises ContractError, also when two topics know the event type and the client named neither.
        """
        if topic is None:
            topic = self._topic_of(decode(raw, _TAG).event_type)
        return topic, topic.decode(raw)

    def _topic_of(self, event_type: str) -> EventTopic:
        match self._by_event_type.get(event_type, ()):
            case (topic,):
                return topic
            case ():
                known = ", ".join(sorted(self._by_event_type))
                detail = f"Invalid value {json.dumps(event_type[:60])}; known are {known}"
            case several:
                names = " or ".join(topic.name for topic in several)
                detail = f"{event_type} is an event of {names}: say which by ?topic="
        raise ContractError(reason="unknown_event_type", detail=detail, field="eventType")
