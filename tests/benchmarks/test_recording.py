"""The recorded input: what is said to come out of it is what the platform's fold makes of it, and the peers' too."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import recording
from benchmarks.fold import PARTS
from schemas.fact import fact_of
from schemas.registry import PLAYBACK
from schemas.sessionize import sessionize

TIMEOUT_MS = 1_800_000


@given(seed=st.integers(0, 2**32), share=st.floats(0.05, 1))
@settings(max_examples=15, deadline=None)
def test_totals_are_those_of_the_platforms_fold(seed: int, share: float) -> None:
    made = recording.record(400, seed)
    events = max(1, int(400 * share))
    facts = defaultdict(list)
    for _, value in made.records(events):
        fact = fact_of(value, PLAYBACK.decode(value), int(made.at_ms[-1]))
        facts[fact.group_id].append(fact)
    sums = dict.fromkeys(PARTS, 0)
    for group in facts.values():
        for state, _ in sessionize(group, TIMEOUT_MS):
            found = (state.event_count, state.stall_count, state.stall_ms, state.playing_ms, state.bits_played)
            for name, amount in zip(PARTS, found, strict=True):
                sums[name] += amount
    assert sums == made.totals(events)
    assert len(facts) == made.sessions(events)


def test_totals_are_those_of_the_peers_fold(work: Any) -> None:
    made = recording.record(3000)
    sessions: dict[str, Any] = {}
    rows: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(PARTS))
    for _, value in made.records(3000):
        event = work.decode(value)
        sessions[event.session_id], brought = work.fold(sessions.get(event.session_id), event)
        rows[brought.place] = [a + b for a, b in zip(rows[brought.place], brought.parts, strict=True)]
    expected = list(made.totals(3000).values())
    assert [sum(column) for column in zip(*rows.values(), strict=True)] == expected
    assert [sum(column) for column in zip(*(session[2:7] for session in sessions.values()), strict=True)] == expected


def test_events_come_in_the_order_of_time_and_keep_what_no_contract_knows() -> None:
    made = recording.record(2000)
    raw = [value for _, value in made.records(2000)]
    events = [PLAYBACK.decode(value) for value in raw]
    assert all(a.timestamp <= b.timestamp for a, b in itertools.pairwise(events))
    assert {len(fact_of(value, event, 0).extra or "") for value, event in zip(raw, events, strict=True)} == {12}
    assert 270 < sum(map(len, raw)) / len(raw) < 350
    assert {event.event_type for event in events} == set(recording.KINDS)
    assert [key for key, _ in made.records(2000)] == [event.key.encode() for event in events]


def test_a_part_of_the_recording_may_happen_now() -> None:
    made = recording.record(100)
    at_ms = 1_800_000_000_123
    values = [msgspec.json.decode(value) for _, value in made.records(30, 10, at_ms)]
    assert [value["timestamp"] for value in values] == ["2027-01-15T08:00:00.123Z"] * 20
    assert [value["seq"] for value in values] == made.seq[10:30].tolist()
