"""The columns say of every record exactly what the contract does: whatever is in it, and whoever read it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.columnar import decoder as decoder_module
from schemas.columnar.decoder import ColumnDecoder
from schemas.columnar.scanner import ODD, UNNAMED
from schemas.event import MAX_FUTURE, MAX_PAST, MAX_SKEW
from schemas.examples import definition, fullest, rejected, smallest, typical
from schemas.registry import CMCD, EVENT_TOPICS, PLAYBACK
from schemas.topic import EventTopic
from tests.schemas.columnar.by_hand import assert_same

RECEIVED_MS = 1_768_509_105_000
"""A minute after the examples' timestamp."""
TOPICS = sorted(EVENT_TOPICS)
KINDS = [(topic, kind) for topic in EVENT_TOPICS.values() for kind in topic.rank]


def compact(event: Any) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def states(topic: EventTopic, values: list[bytes], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the scanner says of each."""
    seen: list[int] = []
    scan = decoder_module.scan

    def spy(*given: Any) -> int:
        used: int = scan(*given)
        seen[:] = given[-1].tolist()
        return used

    monkeypatch.setattr(decoder_module, "scan", spy)
    ColumnDecoder(topic).decode(values, np.full(len(values), RECEIVED_MS))
    return seen


@pytest.mark.parametrize(("topic", "kind"), KINDS, ids=lambda x: getattr(x, "name", x))
def test_the_examples_are_read_by_compiled_code_alone(
    topic: EventTopic, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = [make(topic, kind) | {"eventId": "e1"} for make in (smallest, typical, fullest)]
    lists = {name for name, of in definition(topic, kind)["properties"].items() if "array" in str(of)}
    plain = [{name: value for name, value in one.items() if name not in lists} for one in examples]
    values = [compact(one) for one in plain]
    values += [json.dumps(one, indent=1).replace('{\n  "', '{"').encode() for one in plain if "experiments" not in one]
    values += [compact(one | {"more": 1, "still": "x"}) for one in plain]
    assert set(states(topic, values, monkeypatch)) == {0}
    assert_same(topic, values, [RECEIVED_MS] * len(values))


@pytest.mark.parametrize("topic", EVENT_TOPICS.values(), ids=lambda topic: topic.name)
def test_every_way_to_break_an_example_has_the_same_reason(topic: EventTopic) -> None:
    values = [compact(broken.event) for kind in topic.rank for broken in rejected(topic, kind)]
    columns = assert_same(topic, values, [RECEIVED_MS] * len(values))
    assert len(columns.broken) == len(values)


def test_what_is_not_plain_goes_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    good = fullest(PLAYBACK, "heartbeat") | {"eventId": "e1"}
    nameless = {name: value for name, value in good.items() if name != "eventId"}
    found = states(PLAYBACK, [compact(good), compact(nameless), compact(good | {"cdn": "ü"})], monkeypatch)
    assert found == [0, UNNAMED, ODD]


PLAIN = compact(fullest(PLAYBACK, "error") | {"eventId": "e1", "more": 1})
SEED = compact(smallest(PLAYBACK, "play") | {"eventId": "e1"})


def with_field(text: str) -> bytes:
    return SEED[:-1] + b"," + text.encode() + b"}"


NUMBERS = (
    "0", "-0", "00", "01", "-01", "1", "-1", "+1", "1.", ".5", "0.5", "-0.5", "-0.0", "0.0", "1.0", "1.50", "-00.5",
    "1e2",
    "1E2", "1e", "0e0", "-", "- 1", "0x1", "1_0", "NaN", "Infinity", "-Infinity", "nul", "nulll", "True", "tru",
    "truee",
    "fals", "falsy", "falsee", "1a", "123456789012345678", "-123456789012345678", "1234567890123456789",
    "9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "0.1", "0.2", "0.30000000000000004", "123456789.123456", "1234567890.123456",
    "999999999999999", "9999999999999999", "9007199254740993", "99999999999999.9", "0.000000000000001",
    "0.00000000000000001", "2.2250738585072014e-308", "5e-324", "1e309", "179769313486231580793728971405303",
    '"1"', "true", "false", "null", '""', "[]", "{}", "[1]", '{"a":1}', '{"a":"b"}', '"\\u0041"', '"\t"', '"\x7f"',
    '"ü"',
)  # fmt: skip


@pytest.mark.parametrize("field", ["seq", "playbackRate", "fatal", "cdn", "quality", "experiments", "more", "sentAt"])
def test_values_of_every_shape(field: str) -> None:
    values = [with_field(f'"{field}":{number}') for number in NUMBERS]
    values += [with_field(f'"{field}": {number} ') for number in NUMBERS]
    assert_same(PLAYBACK, values, [RECEIVED_MS] * len(values))


MAPS = (
    '{}', '{ }', '{"a":"b"}', '{"a" :"b"}', '{"a": "b"}', '{"a":"b" }', '{"a":"b","a":"c"}', '{"a":"b","b":"c"}',
    '{"":""}',
    '{"":"","":""}', '{"a":1}', '{"a":null}', '{"a":"b",}', '{,"a":"b"}', '{"a":"b""c":"d"}', '{"a":"b"', '{"a"}',
    '{"a":}',
    '{"a\\n":"b"}', '{"ä":"b"}', '{"a":"\\"b"}', '[["a","b"]]', '{"a":{"b":"c"}}',
    "{" + ",".join(f'"k{i}":"v"' for i in range(16)) + "}", "{" + ",".join(f'"k{i}":"v"' for i in range(17)) + "}",
)  # fmt: skip


def test_maps_of_every_shape() -> None:
    values = [with_field(f'"{field}":{one}') for one in MAPS for field in ("experiments", "more")]
    assert_same(PLAYBACK, values, [RECEIVED_MS] * len(values))


STAMPS = (
    "2026-01-15T20:30:45Z", "2026-01-15t20:30:45Z", "2026-01-15 20:30:45Z", "2026-01-15T20:30:45z",
    "2026-01-15T20:30:45",
    "2026-01-15T20:30Z", "2026-01-15", "2026-1-15T20:30:45Z", "20260115T203045Z", "2026-01-15T20:30:45.Z",
    "2026-01-15T20:30:45.1Z", "2026-01-15T20:30:45.123456Z", "2026-01-15T20:30:45.1234567Z", "2026-01-15T20:30:45,1Z",
    "2026-01-15T20:30:45.123456789Z", "2026-01-15T20:30:45+00:00", "2026-01-15T20:30:45-00:00",
    "2026-01-15T20:30:45+0100",
    "2026-01-15T20:30:45+01", "2026-01-15T20:30:45+23:59", "2026-01-15T20:30:45-23:59", "2026-01-15T20:30:45+24:00",
    "2026-01-15T20:30:45+12:60", "2026-01-15T20:30:45.5-07:30", "2026-01-15T20:30:45.999999+05:45",
    "2026-01-15T24:00:00Z",
    "2026-01-15T23:59:60Z", "2026-01-15T23:60:00Z", "2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2000-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-00-10T00:00:00Z", "2026-13-10T00:00:00Z",
    "2026-01-00T00:00:00Z",
    "2026-01-32T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:59.999999-14:00",
    "1969-12-31T23:59:59Z",
    "1970-01-01T00:00:00Z", "1582-10-10T00:00:00Z", "2026-01-15T20:30:45Z ", " 2026-01-15T20:30:45Z",
    "2026-01-15T20:30:4/Z",
    "2026-01-15T20:30:4:Z", "2026-01-15T20:30:45.12345aZ", "2026-01-15T20:30:45ZZ", "2026-01-15T20:30:45+01:00Z", "",
    "Z",
    "-026-01-15T20:30:45Z", "2026-01-15T20:30:45.000000Z", "2026/01/15T20:30:45Z", "2026-01-15T20-30-45Z",
)  # fmt: skip


@pytest.mark.parametrize("field", ["timestamp", "sentAt", "receivedAt"])
def test_stamps_of_every_shape(field: str) -> None:
    event = smallest(PLAYBACK, "play") | {"eventId": "e1"}
    values = [compact(event | {field: one}) for one in STAMPS]
    assert_same(PLAYBACK, values, [RECEIVED_MS] * len(values))


EDGES_MS = sorted(
    {0, 1, RECEIVED_MS}
    | {
        sign * round(bound.total_seconds() * 1000) + near
        for bound in (MAX_PAST, MAX_FUTURE, MAX_SKEW)
        for sign in (-1, 1)
        for near in (-1, 0, 1)
    }
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_clocks_at_the_edges_of_belief(data: st.DataObject) -> None:
    edges = st.sampled_from(EDGES_MS)
    offset = st.sampled_from(["Z", "+00:00", "-05:30", "+14:00"])

    def text(base_ms: int) -> str:
        at = np.datetime64(base_ms + data.draw(edges) + data.draw(edges), "ms")
        micro = data.draw(st.sampled_from(["", "001", "999"]))
        return f"{at}{micro}{data.draw(offset)}"

    received = data.draw(st.sampled_from([RECEIVED_MS, 0, 1, 4_000_000_000_000, 4_000_000_000_001, 1]))
    event = smallest(PLAYBACK, "play") | {"eventId": "e", "timestamp": text(received)}
    for field in ("sentAt", "receivedAt"):
        if data.draw(st.booleans()):
            event[field] = text(received)
    assert_same(PLAYBACK, [compact(event)], [received])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(STAMPS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def records(draw: st.DrawFn) -> tuple[EventTopic, bytes]:
    """An example of some topic with a few fields changed, taken away, added or repeated, written in some way."""
    topic, kind = draw(st.sampled_from(KINDS))
    event = draw(st.sampled_from([smallest, typical, fullest]))(topic, kind)
    if draw(st.booleans()):
        event["eventId"] = draw(st.text(max_size=4))
    names = st.sampled_from([*definition(topic, kind)["properties"], "more", "extra", "eventType"]) | st.text(
        max_size=20
    )
    fields = [(name, value) for name, value in event.items() if draw(st.integers(0, 19))]
    own = st.sampled_from(list(event.values()))
    fields += draw(st.lists(st.tuples(names, JSON | own), max_size=5))
    fields = draw(st.permutations(fields))
    ascii_only = draw(st.booleans())
    colon, comma = draw(st.sampled_from([(":", ","), (" :\n", "\t,\r"), (": ", ", ")]))
    parts = [
        f"{json.dumps(n, ensure_ascii=ascii_only)}{colon}"
        f"{json.dumps(v, ensure_ascii=ascii_only, separators=draw(st.sampled_from([(',', ':'), (', ', ': ')])))}"
        for n, v in fields
    ]
    return topic, ("{" + comma.join(parts) + "}").encode("utf-8", "surrogatepass")


@settings(max_examples=200, deadline=None)
@given(records())
def test_generated_records(made: tuple[EventTopic, bytes]) -> None:
    topic, raw = made
    assert_same(topic, [raw, None, raw], [RECEIVED_MS] * 3)


BYTES = st.sampled_from([bytes([byte]) for byte in b'{}[]":,\\ntfe0.-+ \n\x00\x1f\x7f\xff'] + ["ü".encode(), b""])


CHANGES = st.tuples(st.integers(0, 2000), BYTES | st.binary(max_size=3), st.integers(0, 2))
"""Where, what is put there, and how many bytes go."""


def assert_mutants_same(made: tuple[EventTopic, bytes], changes: list[tuple[int, bytes, int]]) -> None:
    topic, raw = made
    for place, put, gone in changes:
        at = place % (len(raw) + 1)
        raw = raw[:at] + put + raw[at + gone :]
    assert_same(topic, [raw, raw[: len(raw) // 2], raw[len(raw) // 2 :], raw + raw], [RECEIVED_MS] * 4)


@settings(max_examples=200, deadline=None)
@given(records(), st.lists(CHANGES, max_size=3))
def test_mutated_records(made: tuple[EventTopic, bytes], changes: list[tuple[int, bytes, int]]) -> None:
    assert_mutants_same(made, changes)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=20_000, deadline=None)
@given(records(), st.lists(CHANGES, max_size=3))
def test_very_many_mutated_records(made: tuple[EventTopic, bytes], changes: list[tuple[int, bytes, int]]) -> None:
    assert_mutants_same(made, changes)


def test_every_prefix_and_every_lost_or_doubled_byte() -> None:
    values = [PLAIN[:size] for size in range(len(PLAIN))]
    values += [PLAIN[:at] + PLAIN[at + 1 :] for at in range(len(PLAIN))]
    values += [PLAIN[:at] + PLAIN[at : at + 1] + PLAIN[at:] for at in range(len(PLAIN))]
    values += [PLAIN[:at] + byte + PLAIN[at + 1 :] for at in range(len(PLAIN)) for byte in (b" ", b'"', b"\0", b"0")]
    assert_same(PLAYBACK, values, [RECEIVED_MS] * len(values))


def test_names_that_differ_late_or_little() -> None:
    names = [
        one for name in definition(CMCD, "cmcd_event")["properties"] for one in (name, name[:-1], name + "s", name[1:])
    ]
    event = smallest(CMCD, "cmcd_event") | {"eventId": "e1"}
    values = [compact({**event, name: value}) for name in names for value in ("x", 1, True)]
    assert_same(CMCD, values, [RECEIVED_MS] * len(values))


def test_many_unknown_fields_and_names_that_come_twice() -> None:
    values = [with_field(",".join(f'"more{i}":{i}' for i in range(count))) for count in range(1, 12)]
    values += [with_field(f'"{a}":1,"{b}":2') for a in ("x", "seq") for b in ("x", "y", "seq")]
    values += [with_field('"seq":null,"seq":1'), with_field('"eventType":"pause"')]
    assert_same(PLAYBACK, values, [RECEIVED_MS] * len(values))


def test_only_what_is_wanted_is_kept() -> None:
    wanted = ColumnDecoder(PLAYBACK, ["cdn", "seq"])
    columns = wanted.decode([PLAIN], np.array([RECEIVED_MS]))
    assert columns.text("cdn").size.tolist() == [3]
    assert columns.integer("seq").values.tolist() == [1]
    assert columns.text("event_id").size.tolist() == [2]
    with pytest.raises(LookupError, match="country; there are event_id, cdn"):
        columns.text("country")
    with pytest.raises(LookupError, match="seq; there are event_id, cdn"):
        columns.text("seq")
    with pytest.raises(LookupError, match="has colour; there are timestamp"):
        ColumnDecoder(PLAYBACK, ["colour"])
