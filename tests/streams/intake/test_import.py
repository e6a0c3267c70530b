"""Bulk import: rows of anybody's form as events, sent once whatever happens on the way."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import SettingsError
from infra.settings import ROOT, Settings
from schemas.fact import fact_of, to_ms
from schemas.registry import PLAYBACK
from schemas.session_state import Fact, SessionState
from schemas.sessionize import sessionize
from schemas.topic import Topic
from streams.intake import lumos
from streams.intake.bulk import importing
from streams.intake.bulk.importing import Window
from streams.intake.bulk.mapping import load
from streams.intake.bulk.shipped import _shares, find
from streams.intake.replay import arriving, original_times
from streams.intake.targets import ToKafka
from tests.streams.intake.collector_world import read_all

DATA = ROOT.parent / "shared" / "data"
MAPPING = """
delimiter = ";"

[all]
userId = { column = "account" }
contentId = { column = "video" }
deviceType = { column = "box", map = { TV = "smart_tv", Phone = "mobile" } }
positionMs = { column = "pos_s", scale = 1000, missing = ["-1"] }
timestamp = { column = "at", time = "%d.%m.%Y %H:%M:%S", zone = "Europe/Berlin" }

[[event]]
type = "play"

[[event]]
type = "stop"
when = { column = "watched_s", not = ["0"] }
[event.timestamp]
column = "at"
time = "%d.%m.%Y %H:%M:%S"
zone = "Europe/Berlin"
plus = [{ column = "watched_s", scale = 1000 }]
[event.reason]
value = "ended"
"""
ROWS = """account;video;box;pos_s;at;watched_s
u1;v1;TV;1.5;15.01.2026 21:30:45;60
u2;v2;Phone;-1;15.07.2026 21:30:45;0
u3;v3;Toaster;x;15.01.2026 21:30:45;5
;v4;TV;2;15.01.2026 21:30:45;0
u5;v5;TV;2;yesterday;0
"""  # fmt: skip


class Taken:
    """A target that keeps what it is sent, and may break after so many."""

    def __init__(self, breaks_after: int | None = None) -> None:
        self.acknowledged: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.values: list[dict[str, Any]] = []
        self.settled = 0
        self._breaks_after = breaks_after

    def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        if len(self.values) == self._breaks_after:
            raise ConnectionError
        self.values.append(json.loads(value or b""))

    def pause(self) -> None: ...

    def settle(self) -> None:
        self.settled = len(self.values)

    def finish(self) -> None:
        self.settle()


def written(folder: Path, rows: str = ROWS, mapping: str = MAPPING) -> tuple[Path, Path]:
    (folder / "rows.csv").write_text(rows)
    (folder / "mapping.toml").write_text(mapping)
    return folder / "rows.csv", folder / "mapping.toml"


def test_a_row_becomes_events_and_what_can_not_is_told(tmp_path: Path) -> None:
    rows, mapping = written(tmp_path)
    target = Taken()
    done = importing.run(rows, load(mapping), "m", target, tmp_path / "position.json")
    assert [(e["eventType"], e["userId"], e["timestamp"]) for e in target.values] == [
        ("play", "u1", "2026-01-15T20:30:45Z"),
        ("stop", "u1", "2026-01-15T20:31:45Z"),
        ("play", "u2", "2026-07-15T19:30:45Z"),
    ]
    first, _, third = target.values
    assert (first["positionMs"], first["deviceType"]) == (1500, "smart_tv")
    assert "positionMs" not in third
    why = [json.loads(line) for line in (tmp_path / "position.json.rejected.ndjson").read_text().splitlines()]
    assert [(w["row"], w["reason"], w["field"]) for w in why] == [
        (3, "invalid_field", "positionMs"),
        (3, "invalid_field", "positionMs"),
        (4, "missing_field", "userId"),
        (5, "invalid_field", "timestamp"),
    ]
    assert (done.rows, done.rejected) == (5, 4)


def test_an_import_that_broke_goes_on_and_what_was_sent_twice_has_the_same_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "SAVE_S", 0.0)
    body = "account;video;box;pos_s;at;watched_s\n" + "".join(
        f"u{i};v;TV;1;15.01.2026 21:30:45;{i % 3}\n" for i in range(50)
    )
    rows, mapping = written(tmp_path, body)
    position, whole = tmp_path / "position.json", Taken()
    importing.run(rows, load(mapping), "m", whole, tmp_path / "other.json")
    broken, rest = Taken(breaks_after=40), Taken()
    with pytest.raises(ConnectionError):
        importing.run(rows, load(mapping), "m", broken, position)
    done = importing.run(rows, load(mapping), "m", rest, position)
    assert done.skipped_rows > 20
    ids = {e["eventId"] for e in broken.values} | {e["eventId"] for e in rest.values}
    assert ids == {e["eventId"] for e in whole.values}
    assert len(ids) == len(whole.values)
    # Nothing that was not settled was passed over.
    assert [e["eventId"] for e in whole.values[broken.settled :]] == [e["eventId"] for e in rest.values]
    again = Taken()
    importing.run(rows, load(mapping), "m", again, position)
    assert again.values == []
    importing.run(rows, load(mapping), "m", again, position, restart=True)
    assert again.values == whole.values
    with pytest.raises(SettingsError, match="by another mapping"):
        importing.run(rows, load(mapping), "another", again, position)
    rows.write_text(body + "u;v;TV;1;15.01.2026 21:30:45;0\n")
    with pytest.raises(SettingsError, match="of another file"):
        importing.run(rows, load(mapping), "m", again, position)


@pytest.mark.parametrize("form", ["csv.gz", "ndjson", "jsonl.gz", "parquet"])
def test_every_form_of_a_file_gives_the_same_events(tmp_path: Path, form: str) -> None:
    mapping = tmp_path / "m.toml"
    mapping.write_text(
        'id = "id"\n[all]\nsessionId = { column = "s" }\ncontentId = { value = "v" }\n'
        'timestamp = { column = "t", time = "unix_ms" }\nisLive = { column = "live" }\n[[event]]\ntype = "play"\n'
    )
    table = [{"id": f"r{i}", "s": f"s{i}", "t": 1_768_509_045_000 + i, "live": i % 2 == 0} for i in range(3)]
    path = tmp_path / f"rows.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(table), path)
    else:
        lines = [json.dumps(row) for row in table] if "json" in form else ["id,s,t,live"]
        if form == "csv.gz":
            lines += [f"{row['id']},{row['s']},{row['t']},{str(row['live']).lower()}" for row in table]
        text = ("\n".join(lines) + "\n").encode()
        path.write_bytes(gzip.compress(text) if form.endswith(".gz") else text)
    target = Taken()
    done = importing.run(path, load(mapping), "m", target, tmp_path / "p.json")
    assert (done.rows, done.rejected) == (3, 0)
    assert [(e["sessionId"], e["isLive"]) for e in target.values] == [("s0", True), ("s1", False), ("s2", True)]
    assert target.values[1]["timestamp"] == "2026-01-15T20:30:45.001000Z"


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ("[all]\n", "at least one"),
        ('[[event]]\ntype = "teleport"\n', "known are"),
        ('[[event]]\ntype = "play"\ncontentId = "video"\n', "contentId: expected { column"),
        ('[[event]]\ntype = "play"\ncontentId = { column = "a", unit = "s" }\n', "beside it only"),
        ('[[event]]\ntype = "play"\ntimestamp = { column = "a", zone = "Moon/Base" }\n', "Moon/Base"),
        ('[[event]]\ntype = "play"\nwhen = { column = "a" }\n', "expected when"),
        ("[[event]\n", "in TOML"),
        ('rate = 1\n[[event]]\ntype = "play"\n', "unknown rate"),
    ],
)
def test_a_mapping_that_can_not_be_is_refused_with_the_place(tmp_path: Path, mapping: str, says: str) -> None:
    _, path = written(tmp_path, mapping=mapping)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert says in str(caught.value)
    assert "mapping.toml" in str(caught.value)


def test_a_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    rows, mapping = written(tmp_path, "account;video\nu;v\n")
    with pytest.raises(SettingsError, match="asks for columns at, box, pos_s, watched_s"):
        importing.run(rows, load(mapping), "m", Taken(), tmp_path / "p.json")


def test_as_now_everything_has_happened_and_is_another_session(tmp_path: Path) -> None:
    rows, mapping = written(tmp_path)
    until = datetime(2026, 11, 21, 12, tzinfo=UTC)
    now, later = Taken(), Taken()
    importing.run(rows, load(mapping), "m", now, tmp_path / "a.json", window=Window(until, 2))
    importing.run(rows, load(mapping), "m", later, tmp_path / "b.json", window=Window(until + timedelta(hours=1), 2))
    stamps = [datetime.fromisoformat(e["timestamp"]) for e in now.values]
    assert until - timedelta(hours=2) <= min(stamps) <= max(stamps) <= until
    assert stamps[1] - stamps[0] == timedelta(seconds=60), "distances within a row are kept"
    assert not {e["eventId"] for e in now.values} & {e["eventId"] for e in later.values}


@given(st.integers(0, 10**9), st.integers(1, 50))
def test_shares_add_up(whole: int, count: int) -> None:
    shares = _shares(whole, count)
    assert sum(shares) == whole
    assert max(shares) - min(shares) <= 1


def states(values: list[dict[str, Any]]) -> list[SessionState]:
    groups: dict[str, list[Fact]] = defaultdict(list)
    for value in values:
        raw = json.dumps(value).encode()
        event = PLAYBACK.decode(raw)
        fact = fact_of(raw, event, to_ms(event.timestamp))
        groups[fact.group_id].append(fact)
    return [state for facts in groups.values() for state, _ in sessionize(facts, 1_800_000)]


def test_lumos_is_what_its_replay_sends(tmp_path: Path) -> None:
    path = DATA / "lumos_abr_chunks.csv.gz"
    if not path.exists():
        pytest.skip(f"the recordings are not on this machine: {path.name}")
    target = Taken()
    importing.run(path, find("lumos"), "lumos", target, tmp_path / "p.json")
    recordings = lumos.read(path)
    replayed = [json.loads(one.value or b"") for one in arriving(recordings, original_times(recordings))]

    def known(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return sorted((e["sessionId"], e["seq"], e["eventType"], e["timestamp"]) for e in events)

    assert known(target.values) == known(replayed)


def test_youtube_2015_keeps_its_published_identities(tmp_path: Path) -> None:
    path = DATA / "yt_ifip2016_sessions.csv.gz"
    if not path.exists():
        pytest.skip(f"the recordings are not on this machine: {path.name}")
    with gzip.open(path, "rt") as lines:
        rows = {row["run_id"]: row for row in csv.DictReader(lines)}
    target = Taken()
    done = importing.run(path, find("youtube-2015"), "youtube-2015", target, tmp_path / "p.json")
    assert (done.rows, done.rejected) == (12_472, 0)
    sessions = states(target.values)
    assert len(sessions) == len(rows)
    assert round(100 * sum(state.stall_count > 0 for state in sessions) / len(sessions), 2) == 55.84
    for state in sessions:
        row = rows[state.session_id]
        assert state.stall_count == int(row["pl_buffering_events"])
        assert (state.stall_count > 0) == (row["pl_buffering_boolean"] == "True")
        assert abs(state.last_ms - state.first_ms - 1000 * float(row["run_length"])) <= 1
        per_minute = 60_000 * state.stall_count / (state.duration_ms or 0)
        assert per_minute == pytest.approx(float(row["pl_norm_buf_events"]), abs=0.001)
        assert state.playing_ms == min(round(1000 * float(row["vid_length"])), round(1000 * float(row["run_length"])))
        assert state.end_reason == "stop"


@pytest.mark.kafka
def test_what_is_imported_is_in_kafka(kafka: Settings, topics: dict[str, Topic], tmp_path: Path) -> None:
    rows, mapping = written(tmp_path)
    target = ToKafka(kafka)
    done = importing.run(rows, load(mapping), "m", target, tmp_path / "p.json", rate=100)
    target.finish()
    records = read_all(kafka, PLAYBACK.name)
    assert done.sent == {PLAYBACK.name: 3} == target.acknowledged
    assert sorted((key, json.loads(value or b"")["eventType"]) for _, _, key, value in records) == [
        (b"u1", "play"), (b"u1", "stop"), (b"u2", "play"),
    ]  # fmt: skip
