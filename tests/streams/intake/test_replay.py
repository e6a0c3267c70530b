"""The replay of recorded sessions: every one of them, with its own conditions, in believable time."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from infra.errors import SettingsError
from infra.settings import ROOT
from schemas.event import MAX_PAST
from schemas.events.playback import PlaybackEvent
from schemas.fact import fact_of, to_ms
from schemas.registry import PLAYBACK
from schemas.session_state import Fact, SessionState
from schemas.sessionize import sessionize
from streams.intake import lumos
from streams.intake.lumos import Chunk, Recording
from streams.intake.replay import arriving, as_now, begun_hour, original_times
from streams.intake.simulation.faults import Arriving

FILE = ROOT.parent / "shared" / "data" / "lumos_abr_chunks.csv.gz"
UNTIL = datetime(2026, 1, 15, 20, tzinfo=UTC)


def recording(*chunks: tuple[int, int, bool], chunk_ms: int = 4_000) -> Recording:
    began = datetime(2021, 3, 11, 17, 2, tzinfo=lumos.GMT8)
    return Recording("one", began, chunk_ms, {"contentId": "v"}, {"cap": "5Mbps"}, tuple(Chunk(*c) for c in chunks))


def said(one: Recording) -> list[tuple[int, str]]:
    return [(at, event["eventType"]) for at, event in one.events() if event["eventType"] != "heartbeat"]


def fold(records: list[Arriving]) -> dict[str, SessionState]:
    groups: dict[str, list[Fact]] = defaultdict(list)
    for record in records:
        fact = fact_of(record.value or b"", PLAYBACK.decode(record.value), record.at_ms)
        groups[fact.group_id].append(fact)
    return {state.session_id: state for facts in groups.values() for state, _ in sessionize(facts, 1_800_000)}


def test_a_chunk_that_comes_too_late_is_a_stall_of_what_was_missing() -> None:
    one = recording((300, 500, True), (300, 1_000, False), (750, 9_000, False), (750, 1_000, False))
    assert said(one) == [
        (0, "play"),
        (500, "first_frame"),
        (8_500, "stall_start"),
        (10_500, "stall_end"),
        (10_500, "quality_change"),
        (18_500, "stop"),
    ]


def test_a_chunk_in_the_last_moment_is_in_time_and_a_steady_one_waits_for_its_turn() -> None:
    assert said(recording((300, 500, True), (1_200, 4_000, False))) == [
        (0, "play"),
        (500, "first_frame"),
        (4_500, "quality_change"),
        (8_500, "stop"),
    ]
    # Six chunks at once fill the buffer to 24 s; the seventh is asked for when it holds 16 s and takes 17.
    full = recording(*[(300, 1, False)] * 6, (300, 17_000, True))
    [start] = [at for at, event in said(full) if event == "stall_start"]
    [end] = [at for at, event in said(full) if event == "stall_end"]
    assert (start, end) == (24_001, 25_001)


def test_as_now_nothing_is_in_the_future_and_the_same_until_is_the_same_bytes() -> None:
    two = [recording((300, 500, True)), replace(recording((300, 90_000, True), (300, 1, False)), session_id="two")]
    begins = as_now(two, UNTIL, hours=1)
    records = list(arriving(two, begins))
    assert records == list(arriving(two, as_now(two, UNTIL, hours=1)))
    assert max(record.at_ms for record in records) == to_ms(UNTIL)
    assert min(record.at_ms for record in records) == to_ms(UNTIL - timedelta(hours=1))
    for other in (as_now(two, UNTIL + timedelta(hours=1), hours=1), as_now(two, UNTIL, hours=2)):
        assert not {r.key for r in records} & {r.key for r in arriving(two, other)}
    ids = [PLAYBACK.decode(record.value).event_id for record in records]
    assert len(set(ids)) == len(ids)
    with pytest.raises(SettingsError, match=r"at least 0\.03"):
        as_now(two, UNTIL, hours=0.01)
    assert begun_hour(UNTIL + timedelta(minutes=59)) == UNTIL


def test_another_file_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("session_file,bitrate\na,1\n")
    with pytest.raises(SettingsError, match="bandwidth_cap"):
        lumos.read(path)


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    if not FILE.exists():
        pytest.skip(f"the recordings are not on this machine: {FILE.name}")
    return lumos.read(FILE)


def test_the_published_counts_come_out_of_the_fold(recordings: list[Recording]) -> None:
    records = list(arriving(recordings, as_now(recordings, UNTIL, hours=3)))
    assert all(before.at_ms <= after.at_ms for before, after in pairwise(records))
    assert records[-1].at_ms <= to_ms(UNTIL)
    states = list(fold(records).values())
    assert len(states) == 392
    assert Counter(state.connection_type for state in states) == {"wifi": 237, "4g": 155}
    extras = [json.loads(state.extra or "{}") for state in states]
    assert Counter(extra["cap"] for extra in extras) == {"50Mbps": 198, "5Mbps": 194}
    assert sorted(Counter(extra["signal"] for extra in extras).items()) == [
        ("medium", 114),
        ("strong", 141),
        ("weak", 137),
    ]
    assert all(state.end_reason == "stop" and state.seq_count == state.event_count for state in states)


def test_every_recorded_chunk_is_played_once_at_its_bitrate(recordings: list[Recording]) -> None:
    with gzip.open(FILE, "rt") as lines:
        rows = list(csv.DictReader(lines))
    media_ms: Counter[str] = Counter()
    bits: Counter[str] = Counter()
    startup_ms: dict[str, int] = {}
    for row in rows:
        length = 1000 * int(row["video"].rsplit("_", 1)[1].removesuffix("s"))
        media_ms[row["session_file"]] += length
        bits[row["session_file"]] += length * int(row["bitrate"])
        startup_ms.setdefault(row["session_file"], round(float(row["delivery_time"]) * 1000))
    states = {
        s.session_id.partition("@")[0]: s
        for s in fold(list(arriving(recordings, as_now(recordings, UNTIL, 3)))).values()
    }
    assert {name: state.media_ms for name, state in states.items()} == media_ms
    assert {name: state.bits_played for name, state in states.items()} == bits
    assert {name: state.startup_ms for name, state in states.items()} == startup_ms
    downloads = {r.session_id: sum(chunk.took_ms for chunk in r.chunks) for r in recordings}
    for name, state in states.items():
        assert state.playing_ms == state.media_ms
        assert state.stall_ms <= downloads[name]


def test_original_times_are_those_of_the_file(recordings: list[Recording]) -> None:
    records = list(arriving(recordings, original_times(recordings)))
    first: PlaybackEvent = PLAYBACK.decode(records[0].value)
    assert first.timestamp == datetime(2021, 3, 11, 9, 2, tzinfo=UTC)
    assert first.session_id == "210311_1702-50Mbps-4g-strong-bbb_2s-BBA"
    assert UNTIL - first.timestamp > MAX_PAST
