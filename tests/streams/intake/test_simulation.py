"""The simulated audience: same seed same bytes, and its events tell exactly what its players went through."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from infra.errors import ContractError
from schemas.fact import fact_of
from schemas.registry import EVENT_TOPICS, PLAYBACK
from schemas.session import sessionize
from schemas.session_state import Fact, SessionState
from streams.intake.simulation.audience import Audience, Sent
from streams.intake.simulation.faults import spoil
from streams.intake.simulation.truth import Truth

END_MS = 1_763_726_400_000
HOUR_MS = 3_600_000
TIMEOUT_MS = 1_800_000


def audience(viewers: int = 40, seed: int = 7) -> Audience:
    return Audience(seed, viewers, END_MS - HOUR_MS, END_MS)


@pytest.fixture(scope="module")
def everything() -> tuple[list[Sent], list[Truth]]:
    truths: list[Truth] = []
    return list(audience(150).events(truths, to_the_end=True)), truths


def sessions(sent: list[Sent]) -> dict[str, SessionState]:
    groups: dict[str, list[Fact]] = defaultdict(list)
    for event in sent:
        if event.topic == PLAYBACK.name:
            fact = fact_of(event.value, PLAYBACK.decode(event.value), event.at_ms)
            groups[fact.group_id].append(fact)
    return {state.session_id: state for facts in groups.values() for state, _ in sessionize(facts, TIMEOUT_MS)}


def test_the_fold_of_the_events_finds_what_the_players_went_through(everything: tuple[list[Sent], list[Truth]]) -> None:
    sent, truths = everything
    folded = sessions(sent)
    for truth in truths:
        state = folded[truth.session_id]
        for field, column in (
            ("startup_ms", "startup_ms"),
            ("playing_ms", "playing_ms"),
            ("stall_ms", "stall_ms"),
            ("seeking_ms", "seeking_ms"),
            ("paused_ms", "paused_ms"),
            ("ad_ms", "ad_ms"),
            ("stall_count", "stall_count"),
            ("pause_count", "pause_count"),
            ("seek_count", "seek_count"),
            ("switch_count", "bitrate_switch_count"),
            ("event_count", "event_count"),
            ("end_reason", "end_reason"),
            ("error_code", "error_code"),
        ):
            assert getattr(state, column) == getattr(truth, field), (truth.session_id, field)
        # Media at other speeds has fractions of a ms, which the fold rounds at each event.
        assert abs(state.media_ms - truth.media_ms) <= truth.event_count / 2
        assert state.bits_played == pytest.approx(truth.bits, rel=1e-3, abs=16_000 * truth.event_count)
    back_end = [state for state in folded.values() if state.is_derived_id]
    assert len(folded) == len(truths) + len(back_end)
    assert back_end and all(state.end_reason == "stop" and state.playing_ms > 0 for state in back_end)


def test_everything_that_can_happen_happens(everything: tuple[list[Sent], list[Truth]]) -> None:
    sent, truths = everything
    kinds = Counter(EVENT_TOPICS[event.topic].decode(event.value).event_type for event in sent)
    silent = {"ad_error", "sign_up", "plan_change", "cancellation"}
    assert set(kinds) == {kind for topic in EVENT_TOPICS.values() for kind in topic.rank} - silent
    assert {truth.end_reason for truth in truths} >= {"stop", "exit_before_start"}
    assert any(truth.stall_ms for truth in truths)
    startups = sorted(truth.startup_ms for truth in truths if truth.startup_ms is not None)
    assert 300 < startups[len(startups) // 2] < 3_000
    watched = sum(truth.playing_ms + truth.stall_ms for truth in truths)
    assert 0.0001 < sum(truth.stall_ms for truth in truths) / watched < 0.03
    plays = Counter(truth.content_id for truth in truths)
    assert len(plays) > len(truths) / 4, "the tail is long"
    assert max(plays.values()) >= 3, "and the head is high"
    bitrates = {EVENT_TOPICS[e.topic].decode(e.value).bitrate_kbps for e in sent if e.topic == PLAYBACK.name}
    assert max(b for b in bitrates if b) == 16_000


def test_same_seed_and_window_same_bytes_and_ids_that_no_other_run_has() -> None:
    first = list(audience().events())
    assert first == list(audience().events())
    assert first != list(audience(seed=8).events())
    assert all(before.at_ms <= after.at_ms for before, after in pairwise(first))
    assert all(END_MS - HOUR_MS <= event.at_ms < END_MS for event in first)
    later = Audience(7, 40, END_MS, END_MS + HOUR_MS).events()

    def ids(sent: list[Sent]) -> Counter[str]:
        named = [EVENT_TOPICS[event.topic].decode(event.value).event_id for event in sent]
        return Counter(event_id for event_id in named if event_id)

    assert set(ids(first).values()) == {1}
    assert not ids(first).keys() & ids(list(later)).keys()


def test_faults_are_as_many_as_said_and_every_broken_record_breaks_every_contract() -> None:
    sent = list(audience(60).events())
    arriving = list(spoil(sent, 7, broken=0.1, duplicates=0.05))
    assert arriving == list(spoil(sent, 7, broken=0.1, duplicates=0.05))
    kinds = Counter(record.kind for record in arriving)
    assert kinds["valid"] + kinds["broken"] == len(sent)
    assert 0.08 < kinds["broken"] / len(sent) < 0.12
    assert 0.04 < kinds["duplicate"] / len(sent) < 0.06
    reasons = set()
    for record in arriving:
        if record.kind == "broken":
            for topic in EVENT_TOPICS.values():
                with pytest.raises(ContractError) as caught:
                    topic.decode(record.value)
            reasons.add(caught.value.reason)
    assert reasons == {"not_json", "empty", "missing_field", "unknown_event_type", "invalid_field"}
    valid = Counter(record.value for record in arriving if record.kind == "valid")
    doubled = Counter(record.value for record in arriving if record.kind == "duplicate")
    assert doubled and all(valid[value] >= count for value, count in doubled.items())
    assert all(before.at_ms <= after.at_ms for before, after in pairwise(arriving))
    assert [r[:4] for r in spoil(sent, 7, broken=0, duplicates=0)] == [tuple(event) for event in sent]
