"""Every event: what its contract lets in, what it turns away and why, and who an event is."""

from __future__ import annotations

import json
import pkgutil
import random
from datetime import UTC, datetime
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import ContractError
from schemas.derive import json_schema, wire_name
from schemas.event import Event, identity, unknown_fields
from schemas.events.playback import Play
from schemas.examples import definition, fullest, rejected, smallest, typical
from schemas.reasons import CONTRACT_REASONS
from schemas.registry import EVENT_TOPICS, PLAYBACK
from schemas.topic import EventTopic

SEED = (
    b'{"userId":"user123","contentId":"title456","eventType":"play","timestamp":"2026-01-15T20:30:45Z",'
    b'"deviceType":"smart_tv","quality":"4K"}'
)
EVENTS = [(topic, event_type) for topic in EVENT_TOPICS.values() for event_type in topic.rank]
every_event = pytest.mark.parametrize(("topic", "event_type"), EVENTS, ids=[f"{t.table}-{e}" for t, e in EVENTS])
STAMPS = ("timestamp", "sentAt", "receivedAt", "effectiveAt", "availableFrom", "availableUntil")
"""JSON Schema leaves it to the validator whether a format is checked."""
VALIDATORS = {topic.name: jsonschema.Draft202012Validator(json_schema(topic)) for topic in EVENT_TOPICS.values()}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def encode(event: Any) -> bytes:
    return json.dumps(event).encode()


def refusal(topic: EventTopic, event: Any) -> tuple[str, str | None]:
    with pytest.raises(ContractError) as caught:
        topic.decode(event if isinstance(event, bytes) else encode(event))
    assert caught.value.detail
    return caught.value.reason, caught.value.field


def test_the_smallest_event_of_the_design_is_accepted_verbatim() -> None:
    event = PLAYBACK.decode(SEED)
    at = datetime(2026, 1, 15, 20, 30, 45, tzinfo=UTC)
    assert event == Play(timestamp=at, user_id="user123", content_id="title456", device_type="smart_tv", quality="4K")
    assert (event.key, event.event_type, unknown_fields(SEED, event)) == ("user123", "play", {})
    for kind in ("play", "pause", "stop"):
        for device in ("smart_tv", "mobile", "web"):
            for quality in ("4K", "1080p", "720p"):
                raw = SEED.replace(b"play", kind.encode(), 1).replace(b"smart_tv", device.encode())
                event = PLAYBACK.decode(raw.replace(b'"4K"', f'"{quality}"'.encode()))
                assert (event.event_type, event.device_type, event.quality) == (kind, device, quality)


@every_event
def test_good_examples_are_accepted_and_keep_every_field(topic: EventTopic, event_type: str) -> None:
    for example in (smallest(topic, event_type), typical(topic, event_type), fullest(topic, event_type)):
        event: Event = topic.decode(encode(example))
        assert event.event_type == event_type
        assert json.loads(msgspec.json.encode(event)) == example
        assert unknown_fields(encode(example), event) == {}
        VALIDATORS[topic.name].validate(example)
    first, *others = (wire_name(topic.events[0], name) for name in topic.key_fields)
    assert topic.decode(encode(fullest(topic, event_type))).key == fullest(topic, event_type)[first]
    for name in others:
        without_first = fullest(topic, event_type)
        del without_first[first]
        assert topic.decode(encode(without_first)).key == without_first[name]


@every_event
def test_bad_examples_are_refused_with_the_reason_and_the_field(topic: EventTopic, event_type: str) -> None:
    validator = jsonschema.Draft202012Validator(definition(topic, event_type))
    found = list(rejected(topic, event_type))
    for event, reason, field in found:
        assert refusal(topic, event) == (reason, field), event
        assert not validator.is_valid(event) or field in STAMPS, event
    required = {field for _, reason, field in found if reason == "missing_field"}
    assert required >= set(definition(topic, event_type)["required"])
    assert {field for _, _, field in found} >= set(definition(topic, event_type)["properties"])


@pytest.mark.parametrize("topic", EVENT_TOPICS.values(), ids=list(EVENT_TOPICS))
def test_what_is_no_json_object_is_refused(topic: EventTopic) -> None:
    for raw in (b"", b" ", b"{", b"nonsense", b"\xff\xfe", b'{"eventType":', b'{"a":' + b"[" * 100_000):
        assert refusal(topic, raw) == ("not_json", None)
    for raw in (b"[]", b"3", b"null", b'"play"', b"true"):
        assert refusal(topic, raw) == ("invalid_field", None)
    assert refusal(PLAYBACK, SEED + SEED) == ("not_json", None)
    assert refusal(topic, b"{}") == ("missing_field", "eventType")
    with pytest.raises(ContractError) as caught:
        topic.decode(None)
    assert caught.value.reason == "empty"


def test_a_topic_with_one_kind_of_event_asks_for_it_all_the_same() -> None:
    exposures = EVENT_TOPICS["experiment.exposures"]
    event = smallest(exposures, "exposure")
    for other in ("never", "play", ""):
        assert refusal(exposures, {**event, "eventType": other}) == ("unknown_event_type", "eventType")


def test_a_refusal_says_what_was_expected() -> None:
    for field, value, said in (
        ("deviceType", "fridge", "Invalid enum value 'fridge'; expected smart_tv, mobile, web"),
        ("eventType", "teleport", f"Invalid value 'teleport'; expected {', '.join(PLAYBACK.rank)}"),
        ("seq", "one", "Expected `int | null`, got `str`"),
    ):
        with pytest.raises(ContractError) as caught:
            PLAYBACK.decode(encode({**PLAY, field: value}))
        assert (caught.value.detail, caught.value.field) == (said, field)


def test_a_title_has_no_viewer_and_its_key_is_the_content_id() -> None:
    catalog = EVENT_TOPICS["catalog.titles"]
    event = smallest(catalog, "title_upsert")
    assert not {"userId", "sessionId", "deviceType"} & definition(catalog, "title_upsert")["properties"].keys()
    assert (catalog.decode(encode(event)).key, catalog.is_compacted) == ("title456", True)
    assert refusal(catalog, {**event, "contentId": ""}) == ("missing_field", "contentId")


def test_a_topic_with_a_marker_is_told_by_it_from_all_that_share_its_event_types() -> None:
    shared = 0
    for topic in EVENT_TOPICS.values():
        for other in EVENT_TOPICS.values():
            for event_type in topic.rank.keys() & other.rank.keys() if topic is not other else ():
                shared += 1
                marked = [one for one in (topic, other) if one.marker in definition(one, event_type)["required"]]
                assert len(marked) == 1, f"{event_type} of {topic.name} and {other.name}"
                [plain] = {topic, other} - set(marked)
                assert marked[0].marker not in definition(plain, event_type)["properties"]
    assert shared


PLAY = fullest(PLAYBACK, "play")
GOOD = [encode(fullest(topic, event_type)) for topic, event_type in EVENTS]


def _damaged(rng: random.Random) -> bytes:
    """A good event with a few bytes changed, so that the damage is deep inside."""
    raw = bytearray(rng.choice(GOOD))
    for _ in range(rng.randint(1, 3)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


@settings(deadline=None)
@given(st.binary() | JSON.map(encode) | st.randoms().map(_damaged))
def test_nothing_but_a_contract_error_comes_of_any_bytes(raw: bytes) -> None:
    for topic in EVENT_TOPICS.values():
        try:
            event = topic.decode(raw)
        except ContractError as error:
            assert error.reason in CONTRACT_REASONS
        else:
            assert isinstance(event, topic.events)
            assert event.key
            assert identity(raw, event)
            for value in unknown_fields(raw, event).values():
                assert bytes(value).decode()


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1), JSON, max_size=4), st.randoms(), st.sampled_from([None, 0, 3]), st.data())
def test_an_event_is_the_same_in_any_order_and_dress(
    more: dict[str, Any], rng: random.Random, indent: int | None, data: st.DataObject
) -> None:
    event = {**{name: value for name, value in more.items() if name not in PLAY}, **json.loads(SEED)}
    raw = encode(event)
    own = identity(raw, PLAYBACK.decode(raw))
    shuffled = list(event.items())
    rng.shuffle(shuffled)
    stamps = dict.fromkeys(("sentAt", "receivedAt"), "2026-01-15T20:31:00Z") if data.draw(st.booleans()) else {}
    dressed = json.dumps(dict(shuffled) | stamps, indent=indent, ensure_ascii=data.draw(st.booleans()))
    again = dressed.encode("utf-8", "surrogatepass")
    assert identity(again, PLAYBACK.decode(again)) == own
    other = encode({**event, "timestamp": "2026-01-15T20:30:46Z"})
    assert identity(other, PLAYBACK.decode(other)) != own
    named = encode({**event, "eventId": "mine"})
    assert identity(named, PLAYBACK.decode(named)) == "mine"


def test_an_unknown_field_makes_another_event_and_is_kept() -> None:
    raw = SEED[:-1] + b',"cap":"5Mbps","big":1e999}'
    event = PLAYBACK.decode(raw)
    assert {name: bytes(value) for name, value in unknown_fields(raw, event).items()} == {
        "cap": b'"5Mbps"',
        "big": b"1e999",
    }
    assert identity(raw, event) != identity(SEED, PLAYBACK.decode(SEED))


def test_every_file_of_events_is_a_topic_with_a_table_of_its_own() -> None:
    from schemas import events

    files = {info.name for info in pkgutil.iter_modules(events.__path__)}
    modules = {topic.events[0].__module__.rpartition(".")[2] for topic in EVENT_TOPICS.values()}
    assert modules == files
    assert len({topic.table for topic in EVENT_TOPICS.values()}) == len(EVENT_TOPICS)
