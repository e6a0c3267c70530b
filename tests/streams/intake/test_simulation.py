"""The simulated audience: same seed same bytes, and its events tell exactly what its players went through."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from infra.errors import ContractError
from schemas.registry import CMCD, EVENT_TOPICS, PLAYBACK
from streams.intake.simulation.audience import Audience, Sent
from streams.intake.simulation.faults import Faults, spoil
from streams.intake.simulation.truth import Truth

END_MS = 1_763_726_400_000
HOUR_MS = 3_600_000


def audience(viewers: int = 40, seed: int = 7) -> Audience:
    return Audience(seed, viewers, END_MS - HOUR_MS, END_MS)


@pytest.fixture(scope="module")
def everything() -> tuple[list[Sent], list[Truth]]:
    truths: list[Truth] = []
    return list(audience(150).events(truths, to_the_end=True)), truths


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
    breaks: dict[tuple[str, str], list[tuple[int, Any]]] = defaultdict(list)
    for at_ms, event in by_topic(sent, "ads.events"):
        breaks[event.session_id, event.ad_request_id].append((at_ms, event))
    kinds = Counter(event.event_type for events in breaks.values() for _, event in events)
    assert set(kinds) == set(EVENT_TOPICS["ads.events"].rank), "all of it happens among so many"
    assert {events[0][1].break_position for events in breaks.values()} == {"pre_roll", "mid_roll"}
    billed: Counter[str] = Counter()
    abandoned, failed = set(), Counter[str]()
    for (session_id, _), events in breaks.items():
        played_ms, is_whole = _played_ms(events)
        billed[session_id] += played_ms
        failed[session_id] += sum(event.event_type == "error" for _, event in events)
        if not is_whole:
            abandoned.add(session_id)
    for truth in truths:
        name = f"{truth.session_id}"
        waited = truth.ad_ms - truth.ad_stall_ms - billed[name]
        # The player looks at its clock every 4 ms; an ad takes up to 3 s to fail; who leaves an ad saw some of it.
        most = 4 * truth.ad_count + 3_000 * failed[name] + 15_000 * (name in abandoned)
        assert 0 <= waited <= most, truth
    playback = Counter(event.event_type for _, event in by_topic(sent, PLAYBACK.name))
    assert playback["ad_error"] == kinds["error"]
    assert playback["ad_end"] == kinds["complete"] + kinds["skip"]
    assert 0 < len(abandoned) == playback["ad_start"] - playback["ad_end"] - playback["ad_error"]
    assert sum(truth.ad_impressions for truth in truths) == kinds["impression"]
    assert sum(truth.ad_stall_ms for truth in truths) > 0


def _played_ms(events: list[tuple[int, Any]]) -> tuple[int, bool]:
    """Of one break: each ad that was shown has its quartiles and one end, unless the viewer left it.

    How long they ran, ms, without the one that was left; and whether none was.
    """
    [request] = [event for _, event in events if event.event_type == "request"]
    failed = sum(event.event_type == "error" for _, event in events)
    ads: dict[int, list[tuple[int, Any]]] = defaultdict(list)
    for at_ms, event in events:
        if event.event_type not in ("request", "error"):
            ads[event.sequence].append((at_ms, event))
    played, whole = 0, failed
    for (began_ms, impression), *others in ads.values():
        assert impression.event_type == "impression"
        passed = [event.quartile for _, event in others if event.event_type == "quartile"]
        assert passed == ["first_quartile", "midpoint", "third_quartile"][: len(passed)]
        if others and others[-1][1].event_type in ("complete", "skip"):
            ended_ms, end = others[-1]
            assert ended_ms - began_ms >= end.position_ms, "an ad that stands still takes longer"
            assert len(passed) == 3 or end.event_type == "skip"
            played += end.position_ms
            whole += 1
    return played, whole == request.ad_count


def test_each_session_begins_with_an_exposure_to_the_arm_that_its_events_name(
    many: tuple[list[Sent], list[Truth]],
) -> None:
    sent, truths = many
    plays = {e.session_id: (at, e) for at, e in by_topic(sent, PLAYBACK.name) if e.event_type == "play"}
    exposures = by_topic(sent, "experiment.exposures")
    assert sorted(event.session_id for _, event in exposures) == sorted(
        truth.session_id for truth in truths if truth.session_id
    )
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
    arriving = list(spoil(sent, 7, Faults(broken=0.1, duplicates=0.05)))
    assert arriving == list(spoil(sent, 7, Faults(broken=0.1, duplicates=0.05)))
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
    assert [r[:4] for r in spoil(sent, 7, Faults())] == [tuple(event) for event in sent]
