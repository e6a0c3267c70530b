"""Every event finds its topic by itself; where a name is not enough, the refusal says what is."""

from __future__ import annotations

import json

import pytest

from infra.errors import ContractError
from schemas.event import ViewerEvent
from schemas.examples import fullest, smallest, typical
from schemas.registry import EVENT_TOPICS
from schemas.topic import EventTopic
from streams.intake.routing import Router

ROUTER = Router()
EVENTS = [(topic, event_type) for topic in EVENT_TOPICS.values() for event_type in topic.rank]


@pytest.mark.parametrize(("topic", "event_type"), EVENTS, ids=[f"{t.table}-{e}" for t, e in EVENTS])
def test_every_event_goes_to_its_topic_without_being_told(topic: EventTopic, event_type: str) -> None:
    for example in (smallest, typical, fullest):
        raw = json.dumps(example(topic, event_type)).encode()
        found, event = ROUTER.route(raw)
        assert (found, event.event_type) == (topic, event_type)
        assert ROUTER.route(raw, topic) == (topic, event)


def test_a_shared_name_with_the_marker_is_judged_by_the_contract_that_it_marks() -> None:
    click = {"eventType": "click", "userId": "u", "timestamp": "2026-01-15T20:30:45Z"}
    assert ROUTER.route(json.dumps(click).encode())[0].name == "user.ui.events"
    assert ROUTER.route(json.dumps({**click, "adRequestId": None}).encode())[0].name == "user.ui.events"
    with pytest.raises(ContractError) as caught:
        ROUTER.route(json.dumps({**click, "adRequestId": "r"}).encode())
    assert (caught.value.reason, caught.value.field) == ("missing_field", "adId")


class Ping(ViewerEvent, frozen=True, kw_only=True):
    """Known to two topics that nothing tells apart."""


def test_what_is_unknown_or_could_be_either_is_refused_with_what_to_do() -> None:
    one, other = (EventTopic(name=name, table=name, events=(Ping,)) for name in ("one", "other"))
    router = Router({"one": one, "other": other})
    raw = b'{"eventType":"ping","userId":"u","timestamp":"2026-01-15T20:30:45Z"}'
    with pytest.raises(ContractError, match="ping is an event of one and other: say which by"):
        router.route(raw)
    assert router.route(raw, other)[0] is other
    with pytest.raises(ContractError, match='Invalid value "pong"; expected one of ping'):
        router.route(raw.replace(b"ping", b"pong"))
