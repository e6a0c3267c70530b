"""What the page Titles is told, against plain arithmetic over sessions and minutes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from infra.errors import QueryError
from tests.browser.views import Views, shared
from warehouse.dashboard import stretch
from warehouse.dashboard.titles import Titles

DAY_S = 86_400


@pytest.fixture(scope="module")
def views() -> Views:
    return shared()


@pytest.fixture(scope="module")
def titles(views: Views) -> Iterator[Titles]:
    opened = Titles(views.settings.warehouse)
    yield opened
    opened.close()


def test_the_list_is_the_minutes_of_both_sides(views: Views, titles: Titles) -> None:
    found = titles.list(DAY_S)
    watched: Counter[str] = Counter()
    plays: Counter[str] = Counter()
    for minute in views.minutes("title"):
        watched[minute["content_id"]] += minute["watched_ms"]
        plays[minute["content_id"]] += minute["plays"]
    assert found.total == len(found.titles) == len(watched)
    assert [row.watched_ms for row in found.titles] == sorted(watched.values(), reverse=True)
    for row in found.titles:
        assert (row.watched_ms, row.plays) == (watched[row.content_id], plays[row.content_id])
        assert row.viewers == pytest.approx(watched[row.content_id] / DAY_S / 1000)
        assert row.name == row.content_id.replace("-", " ").title()
    assert any(row.surge for row in found.titles)


def test_retention_is_the_share_of_plays_that_got_there(views: Views, titles: Titles) -> None:
    plays = Counter(
        row["content_id"] for row in views.cohort() if row["max_position_ms"] is not None and row["is_started"]
    )
    checked = 0
    for content_id, _ in plays.most_common(12):
        rows = [row for row in views.cohort(content_id=content_id) if row["is_started"] and row["duration_ms"]]
        rows = [row for row in rows if row["max_position_ms"] is not None and not row["is_live"]]
        found = titles.view(content_id, DAY_S).retention
        if not rows:
            assert found is None
            continue
        furthest = [min(99, 100 * row["max_position_ms"] // row["duration_ms"]) for row in rows]
        assert found is not None
        assert found.plays == len(rows)
        for percent in (0, 1, 25, 50, 99):
            assert found.reached[percent] == pytest.approx(sum(at >= percent for at in furthest) / len(rows))
        assert found.reached[0] == 1
        assert found.reached == sorted(found.reached, reverse=True)
        assert sum(found.left) == sum(row["end_reason"] != "open" for row in rows)
        assert (len(found.reached), len(found.left)) == (100, 100)
        checked += 1
    assert checked > 3


def test_a_title_counts_its_viewers_once(views: Views, titles: Titles) -> None:
    content_id = titles.list(DAY_S).titles[0].content_id
    found = titles.view(content_id, DAY_S)
    rows = views.cohort(content_id=content_id)
    assert found.viewers == len({row["user_id"] or row["session_id"] for row in rows})
    settled_s = int(views.at.timestamp()) // 60 * 60 - 60
    stop = datetime.fromtimestamp(settled_s // found.step_s * found.step_s, UTC)
    settled = [minute for minute in views.minutes("title", content_id=content_id) if minute["minute"] < stop]
    assert settled
    assert sum(found.audience.plays) == sum(minute["plays"] for minute in settled)
    watched_s = sum(minute["watched_ms"] for minute in settled) / 1000
    assert sum(found.audience.viewers) * found.step_s == pytest.approx(watched_s)


def test_a_line_is_made_of_whole_steps(views: Views, titles: Titles, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the stretch only touches would look like a fall."""
    monkeypatch.setattr(stretch, "POINTS", 12)
    content_id = titles.list(DAY_S).titles[0].content_id
    plays: Counter[int] = Counter()
    for minute in views.minutes("title", content_id=content_id):
        plays[int(minute["minute"].timestamp()) // 300 * 300_000] += minute["plays"]
    for minutes in range(50, 55):  # most of them begin within a step
        found = titles.view(content_id, 60 * minutes)
        assert found.step_s == 300
        assert found.audience.plays == [plays[at] for at in found.audience.at]
        assert len(found.audience.at) >= 8


def test_while_anything_is_known_nobody_watched_a_title_without_a_row(views: Views, titles: Titles) -> None:
    rarest = titles.list(10_800).titles[-1].content_id
    found = titles.view(rarest, 10_800)
    settled = (views.at - timedelta(minutes=1)).replace(second=0, microsecond=0)
    begin = settled - timedelta(minutes=180 - 2)
    known = {minute["minute"] for minute in views.minutes("total") if begin <= minute["minute"] < settled}
    assert (found.step_s, found.audience.at) == (60, [1000 * int(minute.timestamp()) for minute in sorted(known)])
    rows = {minute["minute"] for minute in views.minutes("title", content_id=rarest)} & known
    assert rows < known
    assert sum(viewers > 0 for viewers in found.audience.viewers) <= len(rows)


def test_what_is_not_there_is_empty_and_what_is_no_stretch_refused(titles: Titles) -> None:
    found = titles.view("nothing", DAY_S)
    assert (found.viewers, found.retention, found.audience.at) == (0, None, [])
    with pytest.raises(QueryError, match="60 to"):
        titles.list(5)
