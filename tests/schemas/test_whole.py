"""The fold over columns says of every sequence of events what the plain fold says of them one by one."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import LakeDamaged
from schemas.derive import arrow_schema
from schemas.fact import FACT_COLUMNS, facts_of, rows_of
from schemas.quality import MINUTE_MS
from schemas.registry import PLAYBACK
from schemas.session_row import session_row
from schemas.session_state import Fact
from schemas.sessionize import sessionize
from schemas.tables import SILVER_EVENTS
from schemas.tables.sessions import SESSIONS
from schemas.whole import fold
from schemas.whole.rows import Grouping, sessions_of

TIMEOUT_MS = 300_000
START_MS = 1_768_521_300_000  # 23:55, so that some sessions end tomorrow
NOW_MS = START_MS + 4 * TIMEOUT_MS

COLUMNS = {field.name: field for field in arrow_schema(SILVER_EVENTS[PLAYBACK.name].columns)}
SCHEMA = pa.schema([COLUMNS.get(name, pa.field(name, pa.string())) for name in ("group_id", *FACT_COLUMNS)])

_TEXT = st.sampled_from([None, "a", "b", "ü"])
_NUMBER = st.none() | st.integers(-2, 50) | st.sampled_from([1_000_000, 10**12, 2 * 10**12])


@st.composite
def events(draw: st.DrawFn) -> Fact:
    kind = draw(st.sampled_from(sorted(PLAYBACK.rank)))
    at_ms = START_MS + draw(st.integers(0, 5).map(lambda n: n * 1000) | st.integers(0, 4 * TIMEOUT_MS))
    return Fact(
        at_ms=at_ms,
        received_ms=at_ms + draw(st.integers(0, 5000)),
        kind=kind,
        rank=PLAYBACK.rank[kind],
        event_id=draw(st.sampled_from(["", "e", "é", "e0", "f"]) | st.integers(0, 500).map("e{}".format)),
        session_id=draw(st.sampled_from(["s1", "s2", None])),
        seq=draw(st.none() | st.integers(-2, 5)),
        playback_rate=draw(st.sampled_from([None, -1.0, 0.5, 1.0, 1.0, 2.0, 40.0])),
        fatal=draw(st.sampled_from([None, False, True, True])),
        is_live=draw(st.sampled_from([None, False, True])),
        error_category=draw(st.sampled_from([None, "business", "network"])),
        **{
            name: draw(_TEXT)
            for name in (
                "user_id", "profile_id", "content_id", "device_type", "country", "region", "app_version",
                "player_version", "cdn", "connection_type", "error_code", "extra",
            )
        },
        **{
            name: draw(_NUMBER)
            for name in ("position_ms", "duration_ms", "bitrate_kbps", "dropped_frames", "live_latency_ms")
        },
    )  # fmt: skip


def of_columns(groups: dict[str, list[Fact]], copies: list[int]) -> list[dict[str, Any]]:
    facts = [fact for group in groups.values() for fact in group]
    numbers = [number for number, group in enumerate(groups.values()) for _ in group]
    rows = rows_of(facts, [fact.group_id for fact in facts], SCHEMA)
    assert facts_of(rows) == facts
    # As a slice of a larger batch: its columns have an offset.
    sliced = pa.concat_batches([rows.slice(0, 1), rows]).slice(1)
    grouping = Grouping(np.array(numbers, np.int32), np.array(copies, np.int32), {})
    return sessions_of(sliced, grouping, NOW_MS, TIMEOUT_MS).to_pylist()


def of_facts(groups: dict[str, list[Fact]], copies: list[int]) -> list[dict[str, Any]]:
    left = iter(copies)
    found = []
    for group in groups.values():
        received = [fact for fact in group for _ in range(next(left))]
        found += [
            session_row(state, minutes, NOW_MS, TIMEOUT_MS) for state, minutes in sessionize(received, TIMEOUT_MS)
        ]
    return found


def grouped(facts: list[Fact]) -> dict[str, list[Fact]]:
    groups = defaultdict(list)
    for fact in facts:
        groups[fact.group_id].append(fact)
    return groups


@settings(max_examples=100, deadline=None)
@given(st.lists(events(), min_size=1, max_size=40), st.data())
def test_columns_and_facts_fold_to_the_same_rows(facts: list[Fact], data: st.DataObject) -> None:
    groups = grouped(facts)
    copies = data.draw(st.lists(st.sampled_from([1, 1, 1, 2, 3]), min_size=len(facts), max_size=len(facts)))
    found, expected = of_columns(groups, copies), of_facts(groups, copies)
    assert [{name: row[name] for name in found[0]} for row in expected] == found
    assert all(row.keys() == set(arrow_schema(SESSIONS.columns).names) for row in expected)


def test_a_session_of_many_minutes_makes_room_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(count: int) -> dict[str, list[Fact]]:
        kinds = ["play", "first_frame"] + ["heartbeat"] * count
        return grouped(
            [
                Fact(START_MS + n * TIMEOUT_MS, START_MS, kind, f"e{n}", PLAYBACK.rank[kind], session_id=f"s{s}")
                for s in range(3)
                for n, kind in enumerate(kinds)
            ]
        )

    grown = []
    real = fold._doubled
    monkeypatch.setattr(fold, "_doubled", lambda rows: grown.append(len(rows)) or real(rows))
    groups = few(50)
    copies = [1] * sum(map(len, groups.values()))
    found = of_columns(groups, copies)
    assert grown
    assert found == [{name: row[name] for name in found[0]} for row in of_facts(groups, copies)]
    assert sum(len(row["minutes"]) for row in found) >= 3 * 50 * TIMEOUT_MS // MINUTE_MS


def test_a_kind_that_the_contract_does_not_know_is_told() -> None:
    rows = rows_of([Fact(START_MS, START_MS, "dance", "e1", 0, session_id="s1")], ["s1"], SCHEMA)
    with pytest.raises(LakeDamaged, match="expected event types of the contract, got dance"):
        sessions_of(rows, Grouping(np.zeros(1, np.int32), np.ones(1, np.int32), {}), NOW_MS, TIMEOUT_MS)
