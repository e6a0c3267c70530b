"""Keys, limits and the audit log, without a server."""

from __future__ import annotations

import base64
import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from infra.errors import RequestRefused, SettingsError
from infra.settings import Settings
from tests.warehouse.test_commands import playlake
from warehouse.access import pace, query_log
from warehouse.access.door import LOCAL, Door
from warehouse.access.keys import KeyFile, Scope
from warehouse.access.pace import Pace
from warehouse.access.query_log import QueryLog

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(settings: Settings, clock: Clock) -> KeyFile:
    return KeyFile(settings.server_keys_file, clock)


def test_a_key_is_known_and_only_its_hash_is_kept(keys: KeyFile, settings: Settings) -> None:
    key, text = keys.add("ana", Scope.query)
    assert keys.find(text) == key
    stored = settings.server_keys_file.read_text()
    assert text not in stored and text.rpartition("_")[2] not in stored
    assert stat.S_IMODE(settings.server_keys_file.stat().st_mode) == 0o600
    other, other_text = keys.add("bert", Scope.view)
    assert keys.find(other_text) == other
    mixed = f"plq_{key.id}_{other_text.rpartition('_')[2]}"
    no_secret, no_such = f"plq_{key.id}_", "plq_ffffffff_00"
    for wrong in ("", "plq", "plq__", text[:-1], f"{text}0", mixed, no_secret, no_such, text.upper(), "ä€"):
        assert keys.find(wrong) is None, wrong


def test_a_key_expires(keys: KeyFile, clock: Clock) -> None:
    key, text = keys.add("ana", Scope.query, timedelta(days=2))
    clock.now = NOON + timedelta(days=2, seconds=-1)
    assert keys.find(text) == key
    clock.now = NOON + timedelta(days=2)
    assert keys.find(text) is None
    assert keys.valid() == []
    assert keys.add("ana", Scope.query)[0].id != key.id, "the name is free again"


def test_a_revoked_key_is_refused_by_whoever_has_the_file_open(keys: KeyFile, settings: Settings, clock: Clock) -> None:
    _, text = keys.add("ana", Scope.query)
    assert keys.find(text) is not None
    assert KeyFile(settings.server_keys_file, clock).revoke("ana") == 1
    assert keys.find(text) is None
    with pytest.raises(SettingsError, match="no valid key is called ana; there are: none"):
        keys.revoke("ana")


def test_a_name_has_one_key(keys: KeyFile) -> None:
    keys.add("ana", Scope.query)
    with pytest.raises(SettingsError, match="there is a key ana already"):
        keys.add("ana", Scope.admin)
    with pytest.raises(SettingsError, match="expected a name of letters"):
        keys.add("a b", Scope.query)


def test_a_broken_file_lets_nobody_new_in_and_nobody_out(keys: KeyFile, settings: Settings) -> None:
    _, text = keys.add("ana", Scope.query)
    assert keys.find(text) is not None
    settings.server_keys_file.write_text("[{")
    assert keys.find(text) is not None
    with pytest.raises(SettingsError, match="expected the list of keys that `playlake key add` writes"):
        Door(replace(settings, host="0.0.0.0"))


def bearer(text: str) -> Headers:
    return Headers({"authorization": f"Bearer {text}"})


def test_loopback_needs_no_key_and_a_wrong_one_opens_nothing(settings: Settings) -> None:
    door = Door(settings)
    assert door.visitor(Headers()) == LOCAL
    for wrong in (bearer("plq_a_b"), Headers({"authorization": "Digest a"}), Headers({"authorization": "Basic ***"})):
        with pytest.raises(RequestRefused, match="not known"):
            door.visitor(wrong)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "lake.example"])
def test_beyond_loopback_keys_are_needed(settings: Settings, host: str) -> None:
    elsewhere = replace(settings, host=host)
    with pytest.raises(SettingsError, match="make one with `playlake key add NAME`, or set PLAYLAKE_SERVER_KEYS=none"):
        Door(elsewhere)
    assert Door(replace(elsewhere, server_keys="none")).visitor(Headers()) == LOCAL
    _, text = KeyFile(settings.server_keys_file).add("ana", Scope.query, at_once=1)
    door = Door(elsewhere)
    with pytest.raises(RequestRefused, match="an API key is needed") as caught:
        door.visitor(Headers())
    assert caught.value.reason == "unknown_key"
    visitor = door.visitor(bearer(text))
    assert (visitor.name, visitor.scope, visitor.per_minute, visitor.at_once) == ("ana", Scope.query, 300, 1)
    basic = base64.b64encode(f"anything:{text}".encode()).decode()
    assert door.visitor(Headers({"authorization": f"Basic {basic}"})) == visitor


def test_settings_of_the_door_are_checked(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="expected always, none or nothing, got 'never'"):
        Door(replace(settings, server_keys="never"))
    with pytest.raises(SettingsError, match="there is no API key"):
        Door(replace(settings, server_keys="always"))


def test_scopes_include_each_other() -> None:
    covered = [[one.covers(needed) for needed in Scope] for one in Scope]
    assert covered == [[True, False, False], [True, True, False], [True, True, True]]


def test_requests_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Pace()
    for _ in range(3):
        kept.take("ana", 3, 0)
    with pytest.raises(RequestRefused) as caught:
        kept.take("ana", 3, 0)
    assert caught.value.reason == "too_fast"
    assert 55 <= (caught.value.retry_after_s or 0) <= 60
    kept.take("bert", 3, 0)
    moment = pace.time.time() + 61
    monkeypatch.setattr("time.time", lambda: moment)
    kept.take("ana", 3, 0)


def test_queries_at_once() -> None:
    kept = Pace()
    kept.take("ana", 0, 2)
    kept.take("ana", 0, 2)
    with pytest.raises(RequestRefused) as caught:
        kept.take("ana", 0, 2)
    assert (caught.value.reason, caught.value.retry_after_s) == ("too_many", 1.0)
    kept.take("bert", 0, 2)
    kept.leave("ana")
    kept.take("ana", 0, 2)


@pytest.mark.parametrize(
    ("parameters", "secret", "expected"),
    [
        (None, True, None),
        ([1, "a"], False, [1, "a"]),
        ([1, "a"], True, ["(secret)", "(secret)"]),
        ([1, "a"], [2], [1, "(secret)"]),
        ({"day": "x", "user": "u1"}, ["user"], {"day": "x", "user": "(secret)"}),
        ({"day": "x", "user": "u1"}, True, {"day": "(secret)", "user": "(secret)"}),
    ],
)
def test_secret_parameters_are_hidden(parameters: Any, secret: query_log.Secret, expected: Any) -> None:
    assert query_log.shown(parameters, secret) == expected


def test_long_parameters_are_cut() -> None:
    text = query_log.shown(["x" * 10_000], False)
    assert text.endswith("… (10,004 characters)") and len(text) < 5100


def write(log: QueryLog, number: int) -> None:
    log.write(key="ana", query_id=f"q{number}", sql="SELECT 'ü %s %d'\n;", parameters=[1], outcome="answered", rows=1)


def test_the_log_is_a_line_a_query_and_is_rotated(settings: Settings) -> None:
    settings = replace(settings, query_log_bytes=2000, query_log_files=2)
    log = QueryLog(settings)
    for number in range(40):
        write(log, number)
    log.close()
    files = sorted(settings.query_log.parent.iterdir())
    assert [file.name for file in files] == ["queries.jsonl", "queries.jsonl.1", "queries.jsonl.2"]
    assert all(file.stat().st_size <= 2000 and stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    lines = [json.loads(line) for file in (files[2], files[1], files[0]) for line in file.read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"q{number}" for number in range(40 - len(lines), 40)]
    assert (lines[-1]["sql"], lines[-1]["rows"], lines[-1]["outcome"]) == ("SELECT 'ü %s %d'\n;", 1, "answered")


def test_a_log_that_cannot_be_written_is_counted(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    log = QueryLog(replace(settings, query_log_bytes=0))
    before = query_log.UNWRITTEN._value.get()
    full = Path("/dev/full").open("a")  # noqa: SIM115 - the log closes it
    log._handler.setStream(full)
    write(log, 1)
    assert query_log.UNWRITTEN._value.get() == before + 1
    assert "could not be written" in caplog.text


def test_keys_on_the_command_line(settings: Settings) -> None:
    made = playlake(settings, "key", "add", "ana", "--scope", "admin", "--days", "30")
    key = KeyFile(settings.server_keys_file).find(made.stdout.strip())
    assert key is not None and (key.name, key.scope) == ("ana", Scope.admin)
    assert "it is not shown again" in made.stderr
    listed = playlake(settings, "key", "list").stdout
    assert "ana" in listed and "admin" in listed and "valid" in listed
    assert made.stdout.strip().rpartition("_")[2] not in listed
    assert playlake(settings, "key", "revoke", "ana").stdout == "1 key of ana revoked\n"
    assert "no valid key is called ana" in playlake(settings, "key", "revoke", "ana").stderr
