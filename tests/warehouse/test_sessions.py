"""One session's answer against the events that it was made of."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from infra.errors import QueryError
from infra.settings import Settings
from schemas.metrics.registry import SESSION_METRICS
from tests.browser.views import BUFFER_MS, REPORTING, SICK, Views, shared
from warehouse.attach import SESSION_COLUMNS
from warehouse.dashboard import session_events
from warehouse.dashboard.limit import limit
from warehouse.dashboard.sessions import Sessions


@pytest.fixture(scope="module")
def views() -> Views:
    return shared()


@pytest.fixture(scope="module")
def sessions(views: Views) -> Iterator[Sessions]:
    opened = Sessions(views.settings)
    yield opened
    opened.close()


def told(views: Views, session_id: str) -> list[dict[str, Any]]:
    """Events of a session as the lake got them."""
    return [row for row in views.events() if row["session_id"] == session_id]


def test_phases_are_those_that_the_row_adds_up(views: Views, sessions: Sessions) -> None:
    """For every session that had ended: the timeline and the metrics are made by one fold."""
    columns = {"playing": "playing_ms", "stalled": "stall_ms", "paused": "paused_ms", "seeking": "seeking_ms"}
    seen: Counter[str] = Counter()
    for row in views.cohort():
        if row["end_reason"] == "open":
            continue
        found = sessions.view(row["session_id"])
        assert found.events_problem == ""
        spent: Counter[str] = Counter()
        for phase in found.phases:
            assert phase.start_at < phase.stop_at
            spent[phase.name] += phase.stop_at - phase.start_at
        assert {name: spent[name] for name in columns} == {name: row[column] or 0 for name, column in columns.items()}
        assert spent["ad"] + spent["ad stalled"] == row["ad_ms"]
        seen.update(spent)
    assert all(seen[name] for name in ("starting", "playing", "stalled", "paused", "ad"))


def test_events_are_those_of_the_session_in_order(views: Views, sessions: Sessions) -> None:
    row = max(views.cohort(country=SICK[0], device_type=SICK[1]), key=lambda row: row["event_count"])
    found = sessions.view(row["session_id"])
    expected = told(views, row["session_id"])
    assert {event.event_id for event in found.events} == {event["event_id"] for event in expected}
    assert [event.at for event in found.events] == sorted(event.at for event in found.events)
    assert found.bitrate.at
    assert found.position.value
    one = found.events[0]
    assert {field.name for field in one.fields} >= {"user_id", "content_id", "topic", "offset"}
    assert (found.started_at, found.ended_at) == tuple(
        round(row[name].timestamp() * 1000) for name in ("started_at", "ended_at")
    )


def test_a_player_that_reports_by_cmcd_tells_its_buffer(views: Views, sessions: Sessions) -> None:
    found = sessions.view(REPORTING)
    assert found.events_problem == "" and found.started_at is not None
    assert dict(zip(found.buffer.at, found.buffer.value, strict=True)) == {
        found.started_at + after_ms: buffer for after_ms, buffer in BUFFER_MS.items()
    }
    assert {event.table for event in found.events} == {"silver.cmcd_reports"}
    assert ("stalled", 3_000) in [(phase.name, phase.stop_at - phase.start_at) for phase in found.phases]
    other = sessions.view(views.cohort(country=SICK[0])[0]["session_id"])
    assert other.buffer.at == []


def test_every_figure_of_the_row_is_told(views: Views, sessions: Sessions) -> None:
    row = views.cohort()[0]
    figures = {figure.name: figure for figure in sessions.view(row["session_id"]).figures}
    assert set(figures) == {*SESSION_COLUMNS, *(metric.name for metric in SESSION_METRICS)}
    assert figures["watched_ms"].number == row["watched_ms"]
    assert (figures["watched_ms"].unit, figures["watched_ms"].kind) == ("ms", "time")
    assert figures["is_started"].text == ("yes" if row["is_started"] else "no")
    assert figures["country"].text == row["country"]
    assert figures["experience_score"].unit == "points"


def test_search_finds_a_session_and_all_of_a_user(views: Views, sessions: Sessions) -> None:
    users = Counter(row["user_id"] for row in views.cohort())
    user, many = users.most_common(1)[0]
    found = sessions.search(user)
    assert (found.total, len(found.hits)) == (many, many)
    assert [hit.started_at for hit in found.hits] == sorted((hit.started_at for hit in found.hits), reverse=True)
    one = found.hits[-1].session_id
    assert [hit.session_id for hit in sessions.search(one).hits] == [one]
    assert sessions.search("nobody' OR 1=1 --").total == 0


def test_a_session_that_is_not_published_is_told_from_one_without_events(views: Views, sessions: Sessions) -> None:
    missing = sessions.view("nobody")
    assert (missing.figures, missing.events, missing.events_problem) == ([], [], "")
    elsewhere = Sessions(Settings(home=views.settings.home, lake="/nonexistent"))
    found = elsewhere.view(views.cohort()[0]["session_id"])
    elsewhere.close()
    assert found.figures
    assert "no table of events" in found.events_problem


def test_the_lake_is_not_searched_for_ever(views: Views, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_events, "LIMIT_S", 0.0)
    found = sessions.view(views.cohort()[0]["session_id"])
    assert found.events_problem == "The lake was searched for 0 s and more: this session's days are large."
    assert found.figures, "the row is there all the same"


def test_a_question_is_ended_when_its_time_is_over() -> None:
    with duckdb.connect() as connection, pytest.raises(QueryError, match=r"within 0\.3 s"), limit(connection, 0.3):
        connection.execute("SELECT count(*) FROM range(10000000000) AS a(i) WHERE hash(i) = 1")


def test_an_interrupt_between_two_questions_is_not_lost() -> None:
    with duckdb.connect() as connection, pytest.raises(QueryError), limit(connection, 0.1):
        time.sleep(0.2)
        connection.execute("SELECT count(*) FROM range(10000000000) AS a(i) WHERE hash(i) = 1")
