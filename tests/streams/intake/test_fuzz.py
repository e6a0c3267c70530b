"""Random requests, built with the structure of real ones: no 500, no status that is not documented, and every byte
accounted for: an event is accepted (and in Kafka as it was sent), a repetition, or a dead letter with its bytes.

`make fuzz` does for ten minutes what `make test` does for seconds.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.examples import smallest
from schemas.refusals import REASONS, REFUSALS
from schemas.registry import CMCD, EVENT_TOPICS
from streams.intake.openapi import document
from tests.streams.intake.app_world import SETTINGS, Answered, App

FUZZ_S = 600.0
DOCUMENTED = document(SETTINGS)["paths"]
STATUSES = {
    (method.upper(), path): {int(status) for status in description["responses"]}
    for path, methods in DOCUMENTED.items()
    for method, description in methods.items()
}

VALID = [smallest(topic, event_type) for topic in EVENT_TOPICS.values() for event_type in topic.rank]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("2026-01-15T20:30:45Z"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
NAMES = sorted({name for event in VALID for name in event} | {"eventId", "sentAt", "receivedAt", "country", "client"})


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """One record: a valid event, one with changed fields, JSON that is none, or bytes. Without line ends."""
    kind = draw(
        st.sampled_from(["valid", "valid", "valid", "changed", "changed", "json", "bytes", "cut", "large", "deep"])
    )
    event: dict[str, Any] = dict(draw(st.sampled_from(VALID)))
    event["seq"] = draw(st.integers(0, 10**6))
    if kind == "changed":
        event |= draw(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), ODD, max_size=3))
        for name in draw(st.sets(st.sampled_from(sorted(event)), max_size=2)):
            del event[name]
    if kind == "large":
        event["note"] = "x" * SETTINGS.collector_max_event_bytes
    raw = json.dumps(event, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    match kind:
        case "json":
            raw = json.dumps(draw(ODD)).encode("utf-8", "surrogatepass")
        case "bytes":
            raw = draw(st.binary(max_size=60)).replace(b"\n", b"")
        case "cut":
            raw = raw[: draw(st.integers(0, len(raw)))]
        case "deep":
            depth = draw(st.sampled_from([30, 33, 200, 900]))
            raw = raw[:-1] + b',"d":' + b"[" * depth + b"]" * depth + b"}"
    return raw


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, list[bytes] | None]:
    """A body, and the records in it where that is certain."""
    records = draw(st.lists(events(), max_size=60))
    form = draw(st.sampled_from(["lines", "lines", "lines", "array", "array", "mutated", "bytes"]))
    match form:
        case "lines":
            found = [stripped for raw in records if (stripped := raw.strip(b" \t\r"))]
            return b"\n".join(records), found if len(found) > 1 and not found[0].startswith(b"[") else None
        case "array":
            return b"[" + b",".join(records) + b"]", None
        case "mutated":
            body = bytearray(b"\n".join(records) if draw(st.booleans()) else b"[" + b",".join(records) + b"]")
            for _ in range(draw(st.integers(1, 4))):
                at = draw(st.integers(0, len(body)))
                body[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
            return bytes(body), None
        case _:
            return draw(st.binary(max_size=300)), None


@st.composite
def packed(draw: st.DrawFn, body: bytes) -> tuple[bytes, bytes, bool]:
    """A body as it is sent, its Content-Encoding, and whether the one is what the other says."""
    match draw(st.sampled_from(["plain", "plain", "plain", "gzip", "zstd", "wrong", "cut", "unknown"])):
        case "gzip":
            return gzip.compress(body, 1), b"gzip", True
        case "zstd":
            return zstandard.ZstdCompressor().compress(body), b"zstd", True
        case "wrong":
            return body, draw(st.sampled_from([b"gzip", b"zstd"])), False
        case "cut":
            whole = gzip.compress(body, 1)
            return whole[: draw(st.integers(0, len(whole) - 1))], b"gzip", False
        case "unknown":
            return body, draw(st.binary(min_size=1, max_size=8)), False
        case _:
            return body, b"", True


TEXT = st.binary(max_size=40)
HEADERS = st.lists(
    st.tuples(st.just(b"origin"), st.sampled_from([b"https://tv.example", b"https://evil.example"]) | TEXT)
    | st.tuples(st.just(b"prefer"), st.sampled_from([b"return=minimal", b"x"]) | TEXT)
    | st.tuples(st.just(b"authorization"), TEXT | TEXT.map(lambda key: b"Bearer " + key))
    | st.tuples(
        st.sampled_from([b"user-agent", b"x-forwarded-for", b"cf-ipcountry", b"content-type", b"cookie"]), TEXT
    ),
    max_size=3,
)
QUERIES = st.sampled_from([b"", b"", b"", b"topic=user.ui.events", b"topic=nowhere", b"key=x"]) | TEXT
PEERS = st.sampled_from(["192.0.2.1", "2001:db8::1", "10.0.0.1", "", "not an address"])


class World:
    """One collector for many requests."""

    def __init__(self) -> None:
        self.app = App(collector_trusted_proxies="10.0.0.0/8", collector_country_header="cf-ipcountry")
        self.kafka = self.app.kafka
        self.runner = asyncio.Runner()
        self.tally: Counter[str] = Counter()

    def post(self, body: bytes, headers: list[tuple[bytes, bytes]], query: bytes, peer: str, chunk: int) -> Answered:
        asked = self.app.request("POST", "/v1/events", body, headers, query=query, peer=peer, chunk=chunk)
        return self.runner.run(asked)

    def close(self) -> None:
        self.runner.close()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def check_post(world: World, data: st.DataObject) -> None:
    """One request, and all that must hold after it."""
    body, records = data.draw(bodies())
    sent, encoding, is_true = data.draw(packed(body))
    headers = data.draw(HEADERS) + ([(b"content-encoding", encoding)] if encoding else [])
    kafka = world.kafka
    kafka.full = data.draw(st.sampled_from([False, False, False, False, True]))
    kafka.refuses = b'"seq":1' if data.draw(st.integers(0, 9)) == 7 else None
    kafka.records.clear()
    answer = world.post(sent, headers, data.draw(QUERIES), data.draw(PEERS), data.draw(st.sampled_from([7, 65_536])))

    assert answer.status in STATUSES["POST", "/v1/events"], answer
    world.tally[str(answer.status)] += 1
    said = answer.json()
    letters = kafka.of("dead.letters")
    others = [record for record in kafka.records if record.topic != "dead.letters"]
    assert all(letter["reason"] in REASONS for letter in letters)
    if "error" in said:
        assert others == []
        if answer.status == 400:
            assert [base64.b64decode(letter.get("value", "")) for letter in letters] == [
                sent[: SETTINGS.collector_max_event_bytes]
            ]
        else:
            assert letters == []
            assert said["error"] == "unknown" or REFUSALS[said["error"]][0] == answer.status
        return
    counts = Counter({status: said[status] for status in ("accepted", "duplicate", "rejected", "unknown")})
    world.tally.update(counts)
    assert answer.status == (503 if said["unknown"] else 200)
    assert counts["accepted"] == len(others) and counts["rejected"] == len(letters)
    assert bool(counts["unknown"]) <= kafka.full
    for record in others:
        EVENT_TOPICS[record.topic].decode(record.value)
    if records is not None and is_true:
        assert sum(counts.values()) == len(records), "every record that was sent has a verdict"
        assert all(any((record.value or b"").startswith(raw[:-1] + b",") for raw in records) for record in others)
        whole = Counter(base64.b64decode(letter.get("value", "")) for letter in letters)
        limit = SETTINGS.collector_max_event_bytes
        assert not whole - Counter(raw[:limit] for raw in records), "a dead letter has the bytes of a record"


def check_pixel(world: World, data: st.DataObject) -> None:
    parts = data.draw(
        st.lists(st.one_of(events().map(lambda raw: b"e=" + quote_from_bytes(raw).encode()), TEXT), max_size=4)
    )
    world.kafka.full = world.kafka.refuses = None  # type: ignore[assignment]
    world.kafka.records.clear()
    asked = world.app.request("GET", "/v1/pixel", headers=data.draw(HEADERS), query=b"&".join(parts))
    answer = world.runner.run(asked)
    assert answer.status in STATUSES["GET", "/v1/pixel"], answer
    world.tally[f"pixel {answer.status}"] += 1
    assert (answer.body[:3] == b"GIF") == (answer.status == 200)


@st.composite
def reports(draw: st.DrawFn) -> bytes:
    """One line of a player, whole or not. Without line ends."""
    pairs = draw(
        st.lists(
            st.sampled_from(
                [b'sid="s1"', b'cid="t"', b"e=ps", b"e=t", b"sta=p", b"sn=1", b"ts=1795253822548", b"v=2", b"bs"]
            )
            | st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"")),
            max_size=8,
        )
    )
    return b",".join(pairs)


def check_cmcd(world: World, data: st.DataObject) -> None:
    """A player's request: 204, and each line is a report or a dead letter."""
    sent = data.draw(st.lists(reports() | st.just(b'e=t,sid="s1",sn=3,sta=p,ts=1795253822548,v=2'), max_size=30))
    body, encoding, is_true = data.draw(packed(b"\n".join(sent)))
    headers = data.draw(HEADERS) + ([(b"content-encoding", encoding)] if encoding else [])
    headers += data.draw(st.lists(st.tuples(st.sampled_from([b"cmcd-object", b"cmcd-session"]), reports()), max_size=2))
    query = data.draw(QUERIES | reports().map(lambda raw: b"t=a&CMCD=" + quote_from_bytes(raw).encode()))
    kafka = world.kafka
    kafka.full, kafka.refuses = data.draw(st.integers(0, 9)) == 7, None
    kafka.records.clear()
    answer = world.runner.run(world.app.request("POST", "/v1/cmcd", body, headers, query=query))

    assert answer.status in STATUSES["POST", "/v1/cmcd"], answer
    world.tally[f"cmcd {answer.status}"] += 1
    if answer.status != 204 or not is_true:
        return
    letters = [base64.b64decode(letter.get("value", "")) for letter in kafka.of("dead.letters")]
    taken = [record.value or b"" for record in kafka.records if record.topic == CMCD.name]
    for value in taken:
        CMCD.decode(value)
    lines = [stripped for raw in sent if (stripped := raw.strip(b" \t\r"))]
    beside = len(letters) + len(taken) - len(lines)
    assert 0 <= beside <= 2, "every line is kept, and what came in query and headers"
    assert len(Counter(letters) - Counter(lines)) <= beside, "a dead letter has the bytes of a line"


def check_anything(world: World, data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "TRACE"]))
    path = data.draw(st.sampled_from([*DOCUMENTED, "/", "/v1/", "/v1/events/"]) | st.text(max_size=9).map("/".__add__))
    if path in ("/healthz", "/v1/events", "/v1/cmcd"):
        return
    answer = world.runner.run(world.app.request(method, path, data.draw(TEXT), data.draw(HEADERS)))
    assert answer.status in STATUSES.get((method, path), {307, 404, 405, *STATUSES.get(("GET", path), ())}), answer


def fuzz(world: World, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check = data.draw(st.sampled_from([check_post] * 8 + [check_cmcd] * 3 + [check_pixel, check_anything]))
        check(world, data)

    run()


def test_random_requests(world: World) -> None:
    fuzz(world, 600)
    print(dict(world.tally))
    assert {"200", "400", "415", "cmcd 204"} <= set(world.tally), "the requests reach all branches"
    assert min(world.tally[status] for status in ("accepted", "duplicate", "rejected", "unknown")) > 0


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_random_requests_for_ten_minutes(world: World) -> None:
    began, requests = time.monotonic(), 0
    while time.monotonic() - began < FUZZ_S:
        fuzz(world, 2000)
        requests += 2000
        figures = msgspec.json.encode(world.tally).decode()
        print(f"{requests:,} requests in {time.monotonic() - began:.0f} s: {figures}", flush=True)


def test_the_description_is_of_the_routes_that_there_are() -> None:
    routes = {(method, route.path) for route in App().collector.app().routes for method in route.methods - {"HEAD"}}  # type: ignore[attr-defined]
    assert set(STATUSES) == routes


async def test_the_description_is_served_and_its_schemas_are_whole() -> None:
    answer = await App().request("GET", "/openapi.json")
    said = answer.json()
    names = set(said["components"]["schemas"])
    text = answer.body.decode()
    used = {part.split('"')[0] for part in text.split('"$ref":"#/components/schemas/')[1:]}
    assert used <= names
    assert "#/$defs/" not in text
    assert said["openapi"].startswith("3.1")
