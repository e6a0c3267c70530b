"""What is generated from the contracts is up to date, and nobody is broken by a change unnoticed."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.errors import ContractError
from infra.settings import ROOT
from schemas import generate
from schemas.compatibility import breaking_changes
from schemas.derive import json_schema
from schemas.registry import PLAYBACK

Change = Callable[[dict[str, Any]], object]
EVENTS = generate.GENERATED / "events" / "user.playback.events.json"
SESSIONS = generate.GENERATED / "tables" / "silver.sessions.json"


def test_the_generated_files_are_what_the_contracts_say() -> None:
    assert generate.outdated(generate.artefacts()) == [], "run `make contracts`"


def test_no_committed_version_is_broken_by_the_contracts_of_today() -> None:
    commits = _git("log", "-n", "20", "--format=%H", "--", str(generate.GENERATED))
    if commits is None:
        pytest.skip("no git history here to compare with")
    new = generate.artefacts()
    for commit in commits.split():
        names = _git("ls-tree", "-r", "--name-only", commit, str(generate.GENERATED)) or ""
        old = {Path(name): _git("show", f"{commit}:{name}") or "" for name in names.splitlines()}
        assert generate.broken_by(new, old) == [], f"breaks who relies on {commit[:10]}"


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def _play(schema: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"]["Play"]["properties"]  # type: ignore[no-any-return]


def _first_arm(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda schema: _play(schema)[name]["anyOf"][0]  # type: ignore[no-any-return]


BREAKING: list[tuple[str, Change]] = [
    ("event seek was removed", lambda s: s["discriminator"]["mapping"].pop("seek")),
    ("play.cdn was removed", lambda s: _play(s).pop("cdn")),
    ("play.cdn no longer takes every string", lambda s: _first_arm("cdn")(s).update(type="integer")),
    ("play.fatal no longer takes every boolean", lambda s: _first_arm("fatal")(s).update(type="string")),
    ("play.cdn became required", lambda s: s["$defs"]["Play"]["required"].append("cdn")),
    ("play.cdn no longer takes every null", lambda s: _play(s)["cdn"]["anyOf"].pop()),
    ("play.deviceType no longer takes the value 'web'", lambda s: _first_arm("deviceType")(s)["enum"].remove("web")),
    ("play.cdn no longer takes every string", lambda s: _play(s).update(cdn={"enum": ["north"]})),
    ("play.cdn no longer takes every string", lambda s: _first_arm("cdn")(s).update(pattern="^c")),
    ("play.cdn no longer takes every string", lambda s: _first_arm("cdn")(s).update(minLength=1)),
    ("play.seq no longer takes every integer", lambda s: _first_arm("seq")(s).update(minimum=0)),
    ("play.timestamp no longer takes every date-time", lambda s: _play(s)["timestamp"].update(format="date")),
    (
        "play.experiments no longer takes every object",
        lambda s: _first_arm("experiments")(s)["additionalProperties"].update(type="integer"),
    ),
]
HARMLESS: list[Change] = [
    lambda s: _play(s).update(weather={"anyOf": [{"type": "string"}, {"type": "null"}]}),
    lambda s: _first_arm("deviceType")(s)["enum"].append("console"),
    lambda s: s["$defs"]["Play"]["required"].remove("contentId"),
    lambda s: _first_arm("seq")(s).pop("minimum"),
    lambda s: _first_arm("seq")(s).update(type="number"),
    lambda s: _play(s)["timestamp"].pop("format"),
    lambda s: _play(s)["cdn"].update(description="Another word for it."),
    lambda s: _play(s).update(deviceType={"type": ["string"]} and {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    lambda s: (s["$defs"].update(Jump=s["$defs"]["Seek"]), s["discriminator"]["mapping"].update(jump="#/$defs/Jump")),
]


@pytest.mark.parametrize(("said", "change"), BREAKING, ids=[said for said, _ in BREAKING])
def test_a_breaking_change_of_an_event_is_named(said: str, change: Change) -> None:
    old = json_schema(PLAYBACK)
    new = copy.deepcopy(old)
    change(new)
    [found] = [line for line in breaking_changes(old, new) if "play." in line or "event" in line.split(": ")[1]][:1]
    assert found.startswith(f"user.playback.events: {said}")


@pytest.mark.parametrize("change", HARMLESS)
def test_a_compatible_change_of_an_event_passes(change: Change) -> None:
    old = json_schema(PLAYBACK)
    new = copy.deepcopy(old)
    change(new)
    assert new != old
    assert breaking_changes(old, new) == []


def test_tables_keep_their_columns_and_types() -> None:
    old = json.loads(generate.artefacts()[SESSIONS])
    for change, said in (
        (lambda t: t["columns"].pop(0), "column session_id was removed"),
        (lambda t: t["columns"][0].update(type="long"), "column session_id changed from string to long"),
        (lambda t: t.update(grain=["user_id"]), "its grain changed from session_id to user_id"),
    ):
        new = copy.deepcopy(old)
        change(new)
        assert breaking_changes(old, new) == [f"silver.sessions: {said}"]
    more = copy.deepcopy(old)
    more["columns"].append({"name": "new", "type": "string", "nullable": True, "description": ""})
    assert breaking_changes(old, more) == []
    assert breaking_changes(old, None) == ["silver.sessions: the table was removed"]


def test_generate_refuses_a_breaking_change_until_it_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate.write, "__defaults__", (tmp_path,))
    monkeypatch.setattr(generate.outdated, "__defaults__", (tmp_path,))
    monkeypatch.setattr(generate.committed, "__defaults__", (tmp_path,))
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    then = json.loads((tmp_path / EVENTS).read_text())
    then["$defs"]["Play"]["properties"]["mood"] = {"type": "string"}
    (tmp_path / EVENTS).write_text(json.dumps(then))
    with pytest.raises(ContractError, match=r"user\.playback\.events: play\.mood was removed"):
        generate.main([])
    with pytest.raises(ContractError):
        generate.main(["--check"])
    assert generate.main(["--accept-breaking"]) == 0
    assert (tmp_path / generate.ACCEPTED).read_text() == "user.playback.events: play.mood was removed\n"
    assert generate.main(["--check"]) == 0
    (tmp_path / generate.GENERATED / "events" / "gone.json").write_text(
        (tmp_path / EVENTS).read_text().replace("user.playback.events", "gone")
    )
    with pytest.raises(ContractError, match="gone: the topic was removed"):
        generate.main([])
    assert "up to date" in capsys.readouterr().out
