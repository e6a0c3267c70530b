"""`/v1/cmcd`: what players send is kept and answered with 204, whatever is in it; 503 only when nobody has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from infra.errors import RequestRefused
from infra.settings import Settings
from schemas.cmcd.wire import lines as lines_of
from schemas.registry import CMCD, DEAD_LETTER_TOPIC
from streams.intake import cmcd
from streams.intake.acknowledged import Receipt, Record
from streams.intake.additions import Additions
from streams.intake.collector import Collector
from tests.schemas.cmcd.recordings import needed, requests
from tests.streams.intake.app_world import SETTINGS

NOW = datetime(2026, 11, 21, 9, 37, tzinfo=UTC)
GOOD = b'cid="t1",e=ps,sid="s1",sn=1,sta=s,ts=1795253822548,v=2'

SMALL = replace(SETTINGS, collector_max_event_bytes=100)


class Memory:
    """A sender that keeps, or (`full`) does not."""

    is_spooling, spooled_bytes, drained = False, 0, 0

    def __init__(self, full: bool = False) -> None:
        self.records: list[Record] = []
        self._full = full

    async def send(self, records: Sequence[Record]) -> list[Receipt]:
        self.records += records
        return [Receipt(error="full") if self._full else Receipt(0, n) for n, _ in enumerate(records)]

    def of(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(record.value or b"") for record in self.records if record.topic == topic]


def client(settings: Settings, memory: Memory) -> httpx.AsyncClient:
    producer: Any = memory
    app = Collector(settings, producer, producer).app()
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://collector")


async def test_every_line_is_a_record_of_its_session(settings: Settings) -> None:
    memory = Memory()
    body = GOOD + b"\n" + GOOD.replace(b"s1", b"s2").replace(b"sn=1", b"sn=2") + b"\n"
    answer = await client(settings, memory).post(
        "/v1/cmcd?t=a", content=body, headers={"content-type": "application/cmcd"}
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert [record.key for record in memory.records] == [b"s1", b"s2"]
    one, two = memory.of(CMCD.name)
    assert (one["eventId"], two["eventId"], one["target"]) == ("s1/a/1", "s2/a/2", "a")
    assert one["report"] == GOOD.decode()


async def test_what_breaks_the_contract_is_a_dead_letter_and_no_reason_to_send_again(settings: Settings) -> None:
    memory = Memory()
    without_sid, binary = b"e=ps,ts=1795253822548,v=2", b"\x00\xff{"
    answer = await client(settings, memory).post("/v1/cmcd", content=b"\n".join([without_sid, GOOD, binary]))
    assert answer.status_code == 204
    assert len(memory.of(CMCD.name)) == 1
    reasons = [(letter["reason"], letter.get("field")) for letter in memory.of(DEAD_LETTER_TOPIC.name)]
    assert reasons == [("missing_field", "sid"), ("not_cmcd", None)]


async def test_request_mode_comes_by_query_or_headers(settings: Settings) -> None:
    memory = Memory()
    there = client(settings, memory)
    assert (await there.get("/v1/cmcd", params={"CMCD": 'bl=21300,br=3200,bs,sid="s1"'})).status_code == 204
    headers = {"CMCD-Object": "br=3200", "CMCD-Session": 'sid="s2"'}
    assert (await there.get("/v1/cmcd", headers=headers)).status_code == 204
    by_query, by_headers = memory.of(CMCD.name)
    assert (by_query["eventType"], by_query["isStarved"], by_query["target"]) == ("cmcd_request", True, "request")
    assert (by_headers["sessionId"], by_headers["bitrateKbps"]) == ("s2", 3200)


async def test_nothing_to_keep_is_said(settings: Settings) -> None:
    there = client(settings, Memory())
    answer = await there.get("/v1/cmcd")
    assert (answer.status_code, answer.json()["error"]) == (400, "no_reports")
    assert (await there.post("/v1/cmcd?t=" + "x" * 65, content=GOOD)).status_code == 400
    assert (await there.put("/v1/cmcd")).status_code == 405


async def test_a_player_is_told_to_send_again_only_when_nobody_has_it(settings: Settings) -> None:
    answer = await client(settings, Memory(full=True)).post("/v1/cmcd", content=GOOD)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_the_preflight_is_answered_once_for_long(settings: Settings) -> None:
    asked = {"origin": "https://tv.example", "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "content-type"
    answer = await client(settings, Memory()).options("/v1/cmcd?t=a", headers=asked)
    assert answer.status_code == 204
    assert int(answer.headers["access-control-max-age"]) >= 600
    assert "*" in answer.headers["access-control-allow-headers"], "no credentials are sent"
    assert "POST" in answer.headers["access-control-allow-methods"]


@hypothesis(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([GOOD, b"a=1", b""]), max_size=8))
async def test_every_line_is_kept_as_a_report_or_as_a_dead_letter(sent: list[bytes]) -> None:
    memory = Memory()
    expected = [line for raw in sent for line in raw.split(b"\n") if line.strip(b" \t\r")]
    try:
        kept = await cmcd.take(cmcd.Asked(b"\n".join(sent), {}, {}, Additions(NOW)), memory.send, SMALL)
    except RequestRefused:
        assert not expected
        return
    assert len(memory.records) == kept.accepted + kept.rejected == len(expected)
    assert kept.accepted == len(memory.of(CMCD.name)) == expected.count(GOOD)


@needed
@pytest.mark.parametrize("scenario", ["a", "c", "g_503"])
async def test_a_recorded_player_is_heard_whole(settings: Settings, scenario: str) -> None:
    memory = Memory()
    there = client(settings, memory)
    lines = 0
    for request in requests(scenario):
        answer = await there.post(
            f"/v1/cmcd{request['query']}",
            content=request["body"],
            headers={name: request["headers"][name] for name in ("content-type", "origin")},
        )
        assert answer.status_code == 204
        lines += len(lines_of(request["body"].encode()))
    assert len(memory.of(CMCD.name)) == lines
    assert memory.of(DEAD_LETTER_TOPIC.name) == []


async def test_who_reports_too_fast_hears_what_players_do_not_answer_with_more(settings: Settings) -> None:
    there = client(replace(settings, collector_network_events_per_s=1), Memory())
    statuses = [(await there.post("/v1/cmcd", content=b"\n".join([GOOD] * 6))).status_code for _ in range(4)]
    assert statuses == [204, 204, 403, 403]


async def test_a_report_says_where_it_came_from_when_the_collector_knows(settings: Settings) -> None:
    memory = Memory()
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
    await client(settings, memory).post("/v1/cmcd", content=GOOD, headers={"user-agent": agent})
    (report,) = memory.of(CMCD.name)
    assert report["client"]["browser"] == "Chrome"
    assert CMCD.decode(memory.records[0].value).received_at is not None
