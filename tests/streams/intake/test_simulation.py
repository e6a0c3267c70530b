"""The simulated audience: same seed same bytes, and its events tell exactly what its players went through."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from infra.errors import ContractError
from schemas.fact import fact_of
from schemas.registry import CMCD, EVENT_TOPICS, PLAYBACK
from schemas.session_state import ABSENT, Fact, SessionState
from schemas.sessionize import sessionize
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
            found = getattr(state, column)
            assert (None if found == ABSENT else found) == getattr(truth, field), (truth.session_id, field)
        # Media at other speeds has fractions of a ms, which the fold rounds at each event.
        assert abs(state.media_ms - truth.media_ms) <= truth.event_count / 2
        assert state.bits_played == pytest.approx(truth.bits, rel=1e-3, abs=16_000 * truth.event_count)
    back_end = [state for state in folded.values() if state.is_derived_id]
    assert len(folded) == len(truths) + len(back_end)
    assert back_end and all(state.end_reason == "stop" and state.playing_ms > 0 for state in back_end)


def test_everything_that_can_happen_happens(everything: tuple[list[Sent], list[Truth]]) -> None:
    sent, truths = everything
    kinds = Counter(EVENT_TOPICS[event.topic].decode(event.value).event_type for event in sent)
    announced = Counter(EVENT_TOPICS[event.topic].decode(event.value).event_type for event in audience().catalogue())
    # Too rare for so few viewers; and players' reports are no events of an app.
    rare = {"ad_error", "skip", "purchase", "game_error", "sign_up", "plan_change", "cancellation", *CMCD.rank}
    known = {kind for topic in EVENT_TOPICS.values() for kind in topic.rank}
    assert known - rare <= set(kinds | announced) <= known
    assert kinds["impression"] > kinds["click"] > kinds["search"] > kinds["rating"] > 0
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


def by_topic(sent: list[Sent], topic: str) -> list[tuple[int, Any]]:
    return [(event.at_ms, EVENT_TOPICS[topic].decode(event.value)) for event in sent if event.topic == topic]


@pytest.fixture(scope="module")
def many() -> tuple[list[Sent], list[Truth]]:
    truths: list[Truth] = []
    return list(audience(500).events(truths, to_the_end=True)), truths


def test_what_is_billed_of_ads_is_what_the_session_waited_for(many: tuple[list[Sent], list[Truth]]) -> None:
    sent, truths = many
    ads: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for at_ms, event in by_topic(sent, "ads.events"):
        ads[event.session_id].append((at_ms, event))
    kinds = Counter(event.event_type for events in ads.values() for _, event in events)
    assert set(kinds) == set(EVENT_TOPICS["ads.events"].rank), "all of it happens among so many"
    billed = {session_id: _played_ms(events) for session_id, events in ads.items()}
    for truth in truths:
        failed = sum(event.event_type == "error" for _, event in ads.get(truth.session_id, ()))
        waited = truth.ad_ms - billed.get(truth.session_id, 0)
        assert (waited == 0) if not failed else (0 < waited <= 3_000 * failed), truth
    playback = Counter(event.event_type for _, event in by_topic(sent, PLAYBACK.name))
    assert playback["ad_error"] == kinds["error"]
    assert playback["ad_end"] == kinds["complete"] + kinds["skip"]


def _played_ms(events: list[tuple[int, Any]]) -> int:
    """Of one break: each ad that was shown has its quartiles and one end; how long they ran, ms."""
    [request] = [event for _, event in events if event.event_type == "request"]
    assert {event.ad_request_id for _, event in events} == {request.ad_request_id}
    shown = [(at_ms, event) for at_ms, event in events if event.event_type == "impression"]
    ended = [(at_ms, event) for at_ms, event in events if event.event_type in ("complete", "skip")]
    assert len(ended) + sum(event.event_type == "error" for _, event in events) == request.ad_count
    for (at_ms, impression), (end_ms, end) in zip(shown, ended, strict=True):
        assert (impression.ad_id, end_ms - at_ms) == (end.ad_id, end.position_ms)
        passed = [e.quartile for at, e in events if e.event_type == "quartile" and at_ms <= at < end_ms]
        assert passed == ["first_quartile", "midpoint", "third_quartile"][: len(passed)]
        assert len(passed) == 3 or end.event_type == "skip"
    return sum(end.position_ms for _, end in ended)


def test_each_session_begins_with_an_exposure_to_the_arm_that_its_events_name(
    many: tuple[list[Sent], list[Truth]],
) -> None:
    sent, truths = many
    plays = {e.session_id: (at, e) for at, e in by_topic(sent, PLAYBACK.name) if e.event_type == "play"}
    exposures = by_topic(sent, "experiment.exposures")
    assert sorted(event.session_id for _, event in exposures) == sorted(truth.session_id for truth in truths)
    for at_ms, event in exposures:
        began_ms, play = plays[event.session_id]
        assert at_ms == began_ms
        assert play.experiments == {event.experiment: event.arm} == event.experiments
    assert len({(event.user_id, event.arm) for _, event in exposures}) == len({e.user_id for _, e in exposures})


def test_a_game_is_started_played_and_left(many: tuple[list[Sent], list[Truth]]) -> None:
    games: dict[str, list[Any]] = defaultdict(list)
    for _, event in by_topic(many[0], "game.events"):
        games[event.session_id].append(event)
    assert len(games) > 5
    for events in games.values():
        kinds = [event.event_type for event in events]
        assert (kinds[0], kinds[-1] in ("game_end", "game_error")) == ("game_start", True)
        beats = [event for event in events if event.event_type == "game_heartbeat"]
        assert all((event.round_trip_ms is None) == (event.delivery == "native") for event in beats)
        if kinds[-1] == "game_end":
            assert beats and events[-1].played_ms == 30_000 * len(beats)


def test_every_title_that_is_watched_was_announced_and_is_still_there(many: tuple[list[Sent], list[Truth]]) -> None:
    sent, truths = many
    catalogue = list(audience().catalogue())
    assert catalogue == list(audience().catalogue())
    assert all(before.at_ms <= after.at_ms for before, after in pairwise(catalogue))
    state = {event.content_id: event for _, event in by_topic(catalogue, "catalog.titles")}
    titles = {name for name, event in state.items() if event.event_type == "title_upsert"}
    gone = state.keys() - titles
    changed = len(catalogue) - len(state) - len(gone)
    assert len(titles) > 2_500 and len(gone) == 6 and 5 < changed < 100
    mentioned = {getattr(EVENT_TOPICS[e.topic].decode(e.value), "content_id", None) for e in sent}
    assert mentioned - {None} <= titles
    assert {event.game_id for _, event in by_topic(sent, "game.events")} <= titles
    episodes = [event for event in state.values() if event.event_type == "title_upsert" and event.parent_id]
    assert episodes and all(state[event.parent_id].kind == "series" for event in episodes)
    for truth in truths:
        assert (state[truth.content_id].duration_ms is None) == truth.content_id.startswith("live-")


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
    sent = sorted([*audience(60).events(), *audience().catalogue()], key=lambda one: one.at_ms)
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
