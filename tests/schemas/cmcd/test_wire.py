"""What players put on the wire becomes reports with units; what deviates is told, what can not be used is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import ContractError
from schemas.cmcd.keys import KEYS, VERSION_1, VOCABULARY
from schemas.cmcd.wire import lines, of_headers, read_report
from schemas.event import identity
from schemas.events.cmcd import CmcdEvent, CmcdReport, CmcdRequest
from schemas.registry import CMCD
from tests.schemas.cmcd.recordings import SCENARIOS, needed, reports, requests

NOW = datetime(2026, 11, 21, 9, 37, 2, 548000, tzinfo=UTC)
FULL = (
    b'ab=(1000;v 64;a),bl=(7000;v 6900;a),br=(1000;v 64;a),cid="t1",com.example-x="y",e=e,ec=27,msd=3,mtp=(300;v 20;a),'
    b'sf=d,sid="s1",sn=4,st=v,sta=p,ts=1795253822548,v=2'
)


def event(text: bytes, target: str = "") -> CmcdReport:
    return read_report(text, CmcdEvent, target, NOW)


def test_a_report_has_its_keys_under_names_with_units() -> None:
    report = event(FULL, "a")
    assert (report.session_id, report.content_id, report.seq, report.event_id) == ("s1", "t1", 4, "s1/a/4")
    assert report.timestamp == datetime(2026, 11, 21, 9, 37, 2, 548000, tzinfo=UTC)
    assert (report.bitrate_kbps, report.buffer_length_ms, report.throughput_kbps) == (1064, 6900, 300)
    assert (report.report_event, report.player_state, report.stream_type) == ("e", "p", "v")
    assert (report.error_code, report.startup_delay_ms) == ("27", 3)
    assert report.custom_keys == {"com.example-x": "y"}
    assert report.deviations == "ec: expected a list of strings, got int '27'"
    assert report.report == FULL.decode()


def test_it_goes_through_kafka_as_it_is() -> None:
    raw = msgspec.json.encode(event(FULL, "a"))
    back = CMCD.decode(raw)
    assert back == event(FULL, "a")
    assert (back.key, identity(raw, back)) == ("s1", "s1/a/4")
    assert json.loads(raw)["eventType"] == "cmcd_event"


def test_lines_end_as_they_like() -> None:
    assert lines(b"a=1\nb=2") == lines(b"a=1\nb=2\n") == lines(b"\r\na=1\r\n\n b=2\r\n") == [b"a=1", b"b=2"]
    assert lines(b"\n") == lines(b"") == []


def test_request_mode_has_a_target_and_a_time_of_its_own() -> None:
    report = read_report(
        b'bl=21300,br=3200,bs,d=4004,mtp=25400,ot=v,rtp=15000,sid="s",st=l,tb=6000', CmcdRequest, "", NOW
    )
    assert (report.timestamp, report.target, report.event_id, report.version) == (NOW, "request", None, None)
    assert (report.buffer_length_ms, report.bitrate_kbps, report.is_starved, report.object_type) == (
        21300,
        3200,
        True,
        "v",
    )
    assert report.deviations is None
    again = read_report(b'sid="s",sn=1,v=2', CmcdRequest, "", NOW)
    assert again.event_id == "s/request/1", "not the number 1 of the events"


def test_headers_make_one_report() -> None:
    headers = {"cmcd-object": "br=3200,ot=v", "cmcd-session": 'sid="s"', "cmcd-status": "bs", "accept": "*/*"}
    raw = of_headers(headers)
    assert raw == b'br=3200,ot=v,sid="s",bs'
    assert read_report(raw, CmcdRequest, "", NOW).is_starved
    assert of_headers({"accept": "*/*"}) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'e=ps,sid="s",sn=1,ts=1.5,v=2', "ts: expected Unix time in ms, got '1.5'"),
        (b'e=ps,sid="s",sn=1,v=2', "ts: expected in event mode, got none"),
        (b'sid="s",sn=1,ts=1,v=2', "e: expected in event mode, got none"),
        (b'e=ps,sid="s",ts=1,v=2', "sn: expected in event mode, got none"),
        (b'br=fast,e=ps,sid="s",sn=1,ts=1,v=2', "br: expected a list of integers, got token 'fast'"),
        (b'e="ps",sid="s",sn=1,ts=1,v=2', "e: expected a token, got str 'ps'"),
        (b'e=zz,sid="s",sn=1,ts=1,v=2', "e: expected one of ps, t, e,"),
        (b'bg=1,e=b,sid="s",sn=1,ts=1,v=2', "bg: expected a boolean, got int '1'"),
        (b'e=t,sid="' + b"x" * 65 + b'",sn=1,ts=1,v=2', "sid: expected at most 64 characters, got 65"),
        (b'e=t,sid="s",sn=1,ts=1,v=2,zoom=3', "zoom: expected a key of the specification, or a custom one"),
        (b'e=t,sid="s",sn=1,ts=1', "e: expected v=2 for this key, got version 1"),
    ],
)
def test_what_is_not_as_specified_is_told_and_let_in(text: bytes, told: str) -> None:
    report = event(text)
    assert told in (report.deviations or "")
    assert report.timestamp.tzinfo is not None


def test_a_report_without_a_session_is_refused() -> None:
    """What dash.js sends as long as no keys are enabled."""
    with pytest.raises(ContractError, match="enabledKeys") as caught:
        event(b"e=ps,ts=1795253822548,v=2")
    assert (caught.value.reason, caught.value.field) == ("missing_field", "sid")
    with pytest.raises(ContractError, match="UTF-8"):
        event(b'sid="\xff"')


def test_the_table_of_keys_is_whole() -> None:
    assert KEYS.keys() >= VERSION_1
    assert VOCABULARY.keys() <= KEYS.keys()
    assert len(KEYS) == 50
    assert len({key.field for key in KEYS.values()}) == len(KEYS)
    assert all(key.meaning.endswith(".") for key in KEYS.values())


VALUES = st.sampled_from(
    ["1", "-1.5", '"x"', "tok", "?0", "(1;v 2;a)", '("a" "b")', "()", ":aGk=:", "@1", "9" * 15, "()"]
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*KEYS, "ts", "x-y", "zoom"]), VALUES, max_size=12))
def test_no_value_of_a_key_can_break_a_report(members: dict[str, str]) -> None:
    text = ",".join(f"{name}={value}" for name, value in members.items() if name != "sid")
    report = event((text + "," if text else "").encode() + b'sid="s"')
    assert CMCD.decode(msgspec.json.encode(report)) == report


@needed
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_everything_that_dash_js_sent_is_read(scenario: str) -> None:
    sent = sum(body.count("\n") + (not body.endswith("\n")) for body in (r["body"] for r in requests(scenario)))
    found = reports(scenario)
    assert len(found) == sent
    assert all(report.report_event and report.seq is not None and report.at_ms > 1_795_000_000_000 for report in found)
