"""Who may send, how fast, and what is known of them: keys, origins, rates, networks, countries, browsers."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import netaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter

from infra.errors import SettingsError
from infra.settings import Settings
from streams.intake.access import Keys, Origins, keys_of
from streams.intake.clients import Clients, agent
from streams.intake.rates import BURST_S, Buckets
from streams.intake.recent import RecentIds
from tests.streams.intake.app_world import App

PLAYBACK, UI = "user.playback.events", "user.ui.events"
PLAY = b'{"userId":"u1","contentId":"t1","eventType":"play","timestamp":"2026-01-15T20:30:45Z"}'
CHROME = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Mobile Safari/537.36"
)


def numbered(count: int, first: int = 0) -> bytes:
    return b"\n".join(PLAY[:-1] + b',"seq":%d}' % n for n in range(first, first + count))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text(
        f'[web]\nkeys = ["wk_web_new", "wk_web_old"]\nevents_per_second = 5\n\n[ads]\nkeys = ["wk_ads_1"]\n'
        f'topics = ["{UI}"]\n'
    )
    return path


async def test_without_a_known_key_nothing_is_taken(keys_file: Path) -> None:
    app = App(collector_keys_file=str(keys_file))
    for query, headers in ((b"", {}), (b"key=wk_web_newer", {}), (b"", {"authorization": "Bearer nobody"})):
        refused = await app.post(PLAY, query, **headers)
        assert (refused.status, refused.json()["error"]) == (401, "unknown_key")
    assert (await app.post(PLAY, b"key=wk_web_new")).status == 200
    assert (await app.post(numbered(1), authorization="Bearer wk_web_old")).status == 200
    assert len(app.kafka.records) == 2


async def test_a_key_is_for_its_topics(keys_file: Path) -> None:
    app = App(collector_keys_file=str(keys_file))
    (verdict,) = (await app.post(PLAY, b"key=wk_ads_1")).json()["events"]
    assert (verdict["status"], verdict["reason"]) == ("rejected", "topic_not_allowed")
    assert [letter["reason"] for letter in app.kafka.of("dead.letters")] == ["topic_not_allowed"]


def test_keys_are_read_again_when_the_file_changes_and_stay_when_it_is_broken(keys_file: Path) -> None:
    clock = Clock()
    keys = Keys(keys_file, clock)
    assert keys.holder("wk_web_old") and not keys.holder("wk_web_2026")
    keys_file.write_text('[web]\nkeys = ["wk_web_2026"]\n')
    os.utime(keys_file, ns=(1, 1))
    assert keys.holder("wk_web_old"), "the file is looked at once a second"
    clock.now += 1
    assert keys.holder("wk_web_2026") and not keys.holder("wk_web_old")
    keys_file.write_text("[web")
    clock.now += 1
    assert keys.holder("wk_web_2026")
    keys_file.unlink()
    clock.now += 1
    assert keys.holder("wk_web_2026")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[web", "at end of document"),
        ('[web]\nkeys = ["short"]', "length >= 8"),
        ("[web]\nkey = 3", "unknown field"),
        ('[a]\nkeys=["wk_12345"]\n[b]\nkeys=["wk_12345"]', "stands there twice"),
        ('[a]\nkeys=["wk_12345"]\ntopics=["x"]', "names topics that are not there: x"),
    ],
)
def test_a_file_that_breaks_its_form_says_what_was_expected(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match="expected \\[name\\] sections") as caught:
        Keys(path)
    assert said in str(caught.value)


def test_the_world_may_send_without_a_key_only_if_that_is_said() -> None:
    keys_of(Settings())
    with pytest.raises(SettingsError, match="for anybody"):
        keys_of(Settings(host="0.0.0.0"))
    keys_of(Settings(host="0.0.0.0", collector_keys_file="none"))


async def test_pages_of_other_origins_may_not_send() -> None:
    app = App(collector_allow_origins="https://tv.example, https://m.tv.example:8443")
    taken = await app.post(PLAY, origin="https://tv.example")
    assert (taken.status, taken.headers["access-control-allow-origin"]) == (200, "https://tv.example")
    assert taken.headers["vary"] == "origin"
    for other in ("https://tv.example.evil", "http://tv.example", "https://m.tv.example", "null", ""):
        refused = await app.post(PLAY, origin=other)
        assert (refused.status, refused.json()["error"]) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in refused.headers
        assert (await app.request("OPTIONS", "/v1/events", headers=[(b"origin", other.encode())])).status == 403
    asked = await app.request("OPTIONS", "/v1/events", headers=[(b"origin", b"https://tv.example")])
    assert (asked.status, asked.headers["access-control-max-age"]) == (204, "86400")
    assert (await app.post(numbered(1))).status == 200, "no page at all"
    assert (await App(collector_allow_origins="").post(PLAY, origin="https://tv.example")).status == 403


@pytest.mark.parametrize("setting", ["tv.example", "https://tv.example/", "https://*.tv.example", "ftp://x"])
def test_what_is_no_origin(setting: str) -> None:
    with pytest.raises(SettingsError, match="expected origins like"):
        Origins(setting)


async def test_too_many_events_are_told_when_to_come_again(keys_file: Path) -> None:
    app = App(collector_keys_file=str(keys_file))
    assert (await app.post(numbered(50), b"key=wk_web_new")).status == 200
    assert (await app.post(numbered(50, 50), b"key=wk_web_new")).status == 429 or app.kafka.records
    statuses = [(await app.post(numbered(20, n * 20), b"key=wk_web_new")).status for n in range(5, 9)]
    assert statuses[-1] == 429
    refused = await app.post(PLAY, b"key=wk_web_new")
    assert 1 <= int(refused.headers["retry-after"]) <= 40
    assert (await app.post(PLAY, b"key=wk_web_old")).status == 200, "the other key has a bucket of its own"


async def test_a_network_has_its_rate_and_its_neighbour_another() -> None:
    app = App(collector_network_events_per_s=1)
    assert (await app.post(numbered(40), peer="198.51.100.7")).status == 200
    assert (await app.post(PLAY, peer="198.51.100.200")).status == 429, "the same /24"
    assert (await app.post(PLAY, peer="198.51.101.7")).status == 200


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 100)), max_size=40), st.floats(0.5, 50))
def test_no_bucket_lets_more_through_than_its_rate_its_burst_and_one_batch(
    steps: list[tuple[float, int]], rate: float
) -> None:
    clock = Clock()
    buckets, passed, largest = Buckets(clock), 0, 0
    for pause, size in steps:
        clock.now += pause
        if not buckets.wait_s("a", rate):
            buckets.charge("a", rate, size)
            passed, largest = passed + size, max(largest, size)
    assert passed <= rate * (BURST_S + clock.now - 100) + largest + 0.001


def test_who_waits_as_long_as_told_may_send() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    buckets.charge("a", 2, 50)
    wait = buckets.wait_s("a", 2)
    clock.now += wait
    assert wait == pytest.approx(15.5) and buckets.wait_s("a", 2) == 0


@given(st.lists(st.integers(0, 50)), st.integers(1, 20))
def test_the_last_ids_are_remembered_and_no_more_than_asked(ids: list[int], size: int) -> None:
    recent = RecentIds(size)
    for one in ids:
        recent.add(one)
    kept = max(1, size // 2) - 1
    assert all(one in recent for one in ids[len(ids) - kept :])
    assert sum(one in recent for one in range(51)) <= max(2, size)


PROXIES = Settings(collector_trusted_proxies="10.0.0.0/8, ::1/128", collector_country_header="CF-IPCountry")


@pytest.mark.parametrize(
    ("peer", "forwarded", "network"),
    [
        ("203.0.113.9", None, "203.0.113.0"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.0"),  # not a proxy of ours: what it says does not count
        ("10.1.2.3", "198.51.100.1", "198.51.100.0"),
        ("10.1.2.3", "6.6.6.6, 198.51.100.1, 10.9.9.9", "198.51.100.0"),  # the first is the client's own claim
        ("10.1.2.3", None, "10.1.2.0"),
        ("10.1.2.3", "nonsense", "unknown"),
        ("2001:db8:1:2:3::4", None, "2001:db8:1::"),
        ("::ffff:203.0.113.9", None, "203.0.113.0"),
        (None, None, "unknown"),
    ],
)
def test_a_client_is_known_by_its_network_alone(peer: str | None, forwarded: str | None, network: str) -> None:
    assert Clients(PROXIES).network(peer, forwarded) == network


@pytest.fixture
def countries(tmp_path: Path) -> str:
    writer = MMDBWriter(6, "Test", languages=["en"], ipv4_compatible=True)
    writer.insert_network(netaddr.IPSet(["203.0.113.0/24"]), {"country": {"iso_code": "DE"}})
    writer.insert_network(netaddr.IPSet(["198.51.100.0/24"]), {"country_code": "FR"})
    writer.insert_network(netaddr.IPSet(["192.0.2.0/24"]), {"country": {"iso_code": "EU"}})
    writer.to_db_file(str(tmp_path / "countries.mmdb"))
    return str(tmp_path / "countries.mmdb")


async def test_country_is_the_events_else_the_proxys_else_the_databases_else_none(countries: str) -> None:
    app = App(
        collector_trusted_proxies="10.0.0.0/8",
        collector_country_header="CF-IPCountry",
        collector_country_file=countries,
    )
    for number, (peer, headers, own) in enumerate(
        [
            ("10.0.0.1", {"cf-ipcountry": "SE", "x-forwarded-for": "203.0.113.9"}, b',"country":"NO"'),
            ("10.0.0.1", {"cf-ipcountry": "SE", "x-forwarded-for": "203.0.113.9"}, b""),
            ("10.0.0.1", {"cf-ipcountry": "XX", "x-forwarded-for": "203.0.113.9"}, b""),
            ("198.51.100.9", {"cf-ipcountry": "SE"}, b""),
            ("192.0.2.1", {}, b""),
            ("100.64.0.1", {}, b""),
            ("2001:db8::1", {}, b""),
        ]
    ):
        await app.post(PLAY[:-1] + b',"seq":%d' % number + own + b"}", peer=peer, **headers)
    found = [value.get("country") for value in app.kafka.of(PLAYBACK)]
    assert found == ["NO", "SE", "DE", "FR", None, None, None]


async def test_a_client_can_not_put_a_header_before_the_proxys_own() -> None:
    app = App(collector_trusted_proxies="10.0.0.0/8", collector_network_events_per_s=1)
    headers = [(b"x-forwarded-for", b"6.6.6.%d"), (b"x-forwarded-for", b"198.51.100.7")]
    for number in range(12):
        mine = [(name, value.replace(b"%d", b"%d" % number)) for name, value in headers]
        answer = await app.request("POST", "/v1/events", numbered(1, number), mine, peer="10.0.0.1")
    assert answer.status == 429


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(SettingsError, match="expected networks"):
        Clients(Settings(collector_trusted_proxies="10.0.0.0/99"))
    with pytest.raises(SettingsError, match="believed of a trusted proxy only"):
        Clients(Settings(collector_country_header="x"))
    with pytest.raises(SettingsError, match="expected an mmdb file"):
        Clients(Settings(collector_country_file="nowhere.mmdb"))
    assert replace(PROXIES).collector_country_header


def test_a_browser_is_named_and_a_program_is_not() -> None:
    assert json.loads(agent(CHROME) or b"") == {
        "browser": "Chrome Mobile", "browserVersion": "126", "os": "Android", "osVersion": "14", "device": "Pixel 8",
    }  # fmt: skip
    assert agent("") is None
    assert agent("backend/1.0") is None


async def test_what_is_added_stands_behind_what_was_sent_and_changes_no_id() -> None:
    app, plain = App(), App()
    await app.post(PLAY, user_agent=CHROME)
    await plain.post(PLAY)
    (record,) = app.kafka.records
    assert (record.value or b"").startswith(PLAY[:-1] + b',"eventId":"')
    (value,), (other,) = app.kafka.of(PLAYBACK), plain.kafka.of(PLAYBACK)
    assert value["client"]["browser"] == "Chrome Mobile"
    assert value.keys() - other.keys() == {"client"}
    assert value["eventId"] == other["eventId"]
    await app.post(PLAY.replace(b"t1", b"t2")[:-1] + b',"client":"mine","eventId":"e"}', user_agent=CHROME)
    assert app.kafka.of(PLAYBACK)[1]["client"] == "mine"


async def test_an_address_is_in_no_record(countries: str) -> None:
    app = App(collector_country_file=countries)
    await app.post(PLAY, peer="203.0.113.99")
    await app.post(b"broken", peer="203.0.113.99")
    assert len(app.kafka.records) == 2
    assert not any(b"203.0.113" in (record.value or b"") for record in app.kafka.records)


async def test_a_repetition_is_known_within_a_body_and_after_it() -> None:
    app = App()
    first = (await app.post(b"\n".join([PLAY, PLAY, numbered(1)]))).json()
    assert [verdict["status"] for verdict in first["events"]] == ["accepted", "duplicate", "accepted"]
    again = (await app.post(PLAY)).json()
    assert (again["accepted"], again["duplicate"]) == (0, 1)
    assert len(app.kafka.records) == 2


async def test_what_was_not_kept_is_no_repetition_when_it_comes_again() -> None:
    app = App()
    app.kafka.full = True
    full = await app.post(b"\n".join([PLAY, PLAY, b"{"]))
    assert full.status == 503 and full.headers["retry-after"] == "1"
    assert [verdict["status"] for verdict in full.json()["events"]] == ["unknown"] * 3
    unreadable = await app.post(b"what")
    assert (unreadable.status, unreadable.json()["error"]) == (503, "unknown")
    app.kafka.full = False
    assert (await app.post(PLAY)).json()["accepted"] == 1


async def test_what_kafka_refuses_for_good_is_a_dead_letter() -> None:
    app = App()
    app.kafka.refuses = b'"contentId":"t2"'
    said = (await app.post(b"\n".join([PLAY, PLAY.replace(b"t1", b"t2")]))).json()
    assert [verdict.get("reason") for verdict in said["events"]] == [None, "refused_by_kafka"]
    assert [letter["reason"] for letter in app.kafka.of("dead.letters")] == ["refused_by_kafka"]


async def test_a_pixel_takes_events_from_its_address() -> None:
    app = App()
    query = b"e=" + quote(PLAY).encode() + b"&e=" + quote('{"broken":"ü"').encode()
    answer = await app.request("GET", "/v1/pixel", query=query)
    assert (answer.status, answer.headers["content-type"], answer.body[:6]) == (200, "image/gif", b"GIF89a")
    assert answer.headers["cache-control"] == "no-store"
    assert [value["userId"] for value in app.kafka.of(PLAYBACK)] == ["u1"]
    assert [letter["reason"] for letter in app.kafka.of("dead.letters")] == ["not_json"]


async def test_too_deep(keys_file: Path) -> None:
    deep = PLAY[:-1] + b',"x":' + b"[" * 32 + b"]" * 32 + b"}"
    assert (await App().post(deep)).json()["events"][0]["reason"] == "too_deep"
    assert (await App(collector_max_depth=33).post(deep)).json()["accepted"] == 1


async def test_bodies_that_fill_the_memory_are_refused_for_their_own_network_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.intake.gate.ALL_BODIES", 2)
    app = App()
    assert (await app.post(b" " * 15_000 + PLAY, peer="198.51.100.7")).status == 503
    assert (await app.post(PLAY, peer="198.51.100.7")).status == 200, "and what they took is given back"
