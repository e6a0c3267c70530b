"""Which topic an event belongs to: its `eventType` says it, since the contracts name every event.

Where several topics know the name (a click on a row, a click on an ad), the marker of a contract decides: a field that
all events of its topic have and those of the others have not. A batch may so hold events of all topics.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from infra.errors import ContractError
from schemas.event import Event, decode
from schemas.registry import EVENT_TOPICS
from schemas.topic import EventTopic


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
        markers = {topic.marker for topic in topics.values() if topic.marker}
        fields: list[tuple[str, Any, Any]] = [(name, msgspec.Raw, msgspec.Raw(b"null")) for name in sorted(markers)]
        self._tag = msgspec.json.Decoder(msgspec.defstruct("Tagged", [("eventType", str), *fields]))

    def route(self, raw: bytes, topic: EventTopic | None = None) -> tuple[EventTopic, Event]:
        """The record's topic and the event in it. `topic` is the one the client named, if it did.

        Raises ContractError, also when nothing but `?topic=` could tell which of two topics is meant.
        """
        if topic is None:
            topic = self._topic_of(decode(raw, self._tag))
        return topic, topic.decode(raw)

    def _topic_of(self, tagged: Any) -> EventTopic:
        event_type: str = tagged.eventType
        topics = self._by_event_type.get(event_type, ())
        if len(topics) > 1:
            marked = [topic for topic in topics if topic.marker and bytes(getattr(tagged, topic.marker)) != b"null"]
            topics = tuple(marked or (topic for topic in topics if not topic.marker))
        match topics:
            case (topic,):
                return topic
            case ():
                known = ", ".join(sorted(self._by_event_type))
                detail = f"Invalid value {json.dumps(event_type[:60])}; expected one of {known}"
            case several:
                names = " and ".join(topic.name for topic in several)
                detail = f"{event_type} is an event of {names}: say which by ?topic="
        raise ContractError(reason="unknown_event_type", detail=detail, field="eventType")
