"""However the events of a viewer are delivered, the rows of their sessions are the same."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.registry import PLAYBACK
from schemas.session_row import session_row
from schemas.session_state import Fact
from schemas.sessionize import sessionize

TIMEOUT_MS = 1_800_000
START_MS = 1_768_509_000_000
NOW_MS = START_MS + 10 * TIMEOUT_MS

_SOMETIMES = st.none() | st.integers(-2, 50)


@st.composite
def viewers(draw: st.DrawFn) -> list[Fact]:
    """The events of one viewer of one title: with a session id, or without (then gaps split them)."""
    session_id = draw(st.sampled_from(["s1", None]))
    times = draw(st.lists(st.integers(0, 4 * TIMEOUT_MS) | st.integers(0, 5).map(lambda n: n * 1000), min_size=1))
    return [
        Fact(
            at_ms=START_MS + at,
            received_ms=START_MS + at + draw(st.integers(0, 5000)),
            kind=kind,
            rank=PLAYBACK.rank[kind],
            event_id=f"e{number}",
            session_id=session_id,
            user_id="u",
            seq=draw(_SOMETIMES),
            position_ms=draw(_SOMETIMES),
            bitrate_kbps=draw(_SOMETIMES),
            dropped_frames=draw(_SOMETIMES),
            playback_rate=draw(st.sampled_from([None, -1.0, 0.5, 1.0, 40.0])),
            fatal=draw(st.booleans()),
            cdn=draw(st.sampled_from([None, "a", "b"])),
        )
        for number, at in enumerate(times)
        for kind in (draw(st.sampled_from(sorted(PLAYBACK.rank))),)
    ]


def rows(events: list[Fact]) -> list[dict[str, Any]]:
    return [session_row(state, minutes, NOW_MS, TIMEOUT_MS) for state, minutes in sessionize(events, TIMEOUT_MS)]


def deliveries(events: list[Fact], order: random.Random) -> list[list[Fact]]:
    """The events in batches of any size and order; some come again, in the same batch or in another."""
    sent = events + order.choices(events, k=order.randrange(len(events) + 1))
    order.shuffle(sent)
    cuts = sorted(order.choices(range(len(sent) + 1), k=order.randrange(5)))
    return [sent[first:last] for first, last in zip([0, *cuts], [*cuts, len(sent)], strict=True)]


@settings(max_examples=150, deadline=None)
@given(viewers(), st.randoms(use_true_random=False))
def test_split_merged_repeated_and_shuffled_deliveries_give_the_same_rows(
    events: list[Fact], order: random.Random
) -> None:
    expected = rows(events)
    batches = deliveries(events, order)
    order.shuffle(batches)
    found = rows([fact for batch in batches for fact in batch])
    again = sum(map(len, batches)) - len(events)
    assert sum(row.pop("duplicate_event_count") for row in found) == again
    assert not sum(row.pop("duplicate_event_count") for row in expected)
    assert found == expected


@settings(max_examples=100, deadline=None)
@given(viewers(), st.randoms(use_true_random=False))
def test_what_comes_batch_by_batch_and_is_folded_anew_ends_where_one_fold_ends(
    events: list[Fact], order: random.Random
) -> None:
    """A late batch recomputes its group whole: no state of the runs before may show in the result."""
    known: dict[str, Fact] = {}
    latest: list[dict[str, Any]] = []
    for batch in deliveries(events, order):
        known |= {fact.event_id: fact for fact in batch}
        latest = rows(list(known.values()))
    assert latest == rows(events)
