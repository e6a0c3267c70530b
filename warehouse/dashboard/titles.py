"""Answers of the page Titles: what is watched, what gains viewers, how far viewers of a title get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warehouse.dashboard import questions
from warehouse.dashboard import stretch as stretches
from warehouse.dashboard.moments import stamp
from warehouse.dashboard.reader import Reader
from warehouse.dashboard.title_shapes import Audience, Retention, TitleList, TitleRow, TitleView

MOST_TITLES = 300
_MEMORY_BYTES = 96_000_000

_OF_STRETCH = "FROM metrics.quality_minute WHERE rollup = 'title' AND minute >= $start AND minute < $stop"
# Histograms are most of the work: only those of the titles that are shown, and most rows of a title have none.
_LIST = f"""
WITH watched AS (
    SELECT coalesce(content_id, '')                  AS content_id,
           average_viewers(watched_ms, $minutes)     AS viewers,
           sum(plays)::BIGINT                        AS plays,
           sum(watched_ms)::BIGINT                   AS watched_ms,
           stalled_share(stall_ms, watched_ms)       AS stalled_share,
           start_failure_rate(start_failures, plays) AS start_failure_rate
    {_OF_STRETCH} GROUP BY ALL
),
shown AS (
    SELECT *, count(*) OVER () AS total
    FROM watched ORDER BY watched_ms DESC, plays DESC, content_id LIMIT {MOST_TITLES}
),
started AS (
    SELECT coalesce(content_id, '') AS content_id, startup_histogram_sum(startup_histogram) AS startups
    {_OF_STRETCH} AND startup_histogram IS NOT NULL AND coalesce(content_id, '') IN (SELECT content_id FROM shown)
    GROUP BY ALL
)
SELECT shown.*, catalogue.name, startup_histogram_quantile_ms(startups, 0.95) AS startup_p95_ms, trending.change,
       trending.surge
FROM shown
LEFT JOIN started USING (content_id)
LEFT JOIN ({{catalogue}}) AS catalogue USING (content_id)
LEFT JOIN metrics.trending_titles AS trending USING (content_id)
ORDER BY watched_ms DESC, shown.plays DESC, content_id
"""
_STEP_AT = "CAST(epoch(minute) AS BIGINT) // $step * $step AS step_at"
# While anything is known nobody watched what has no row; a step of which nothing is known stays away.
_AUDIENCE = f"""
WITH watched AS (
    SELECT {_STEP_AT}, average_viewers(watched_ms, $step / 60.0) AS viewers, sum(plays)::BIGINT AS plays
    {_OF_STRETCH} AND content_id = $title GROUP BY step_at
),
known AS (
    SELECT DISTINCT {_STEP_AT} FROM metrics.quality_minute
    WHERE rollup = 'total' AND minute >= $start AND minute < $stop
)
SELECT step_at, coalesce(viewers, 0) AS viewers, coalesce(plays, 0) AS plays
FROM known LEFT JOIN watched USING (step_at) WHERE EXISTS (FROM watched) ORDER BY step_at
"""
_RETENTION = """
WITH days AS (
    SELECT position_percent, sum(furthest_plays) AS furthest_plays, sum(left_plays) AS left_plays
    FROM warehouse.gold.title_retention
    WHERE content_id = $title AND play_date BETWEEN CAST($start AS DATE) AND CAST($stop AS DATE) GROUP BY ALL
)
SELECT place, title_retention_at(position_percent, furthest_plays, place) AS reached,
       coalesce(sum(left_plays) FILTER (position_percent = place), 0)::BIGINT AS left_there,
       sum(furthest_plays)::BIGINT AS plays
FROM days, range(100) AS places(place) GROUP BY place ORDER BY place
"""
_SESSIONS = """
SELECT unique_viewers_exact(user_id, session_id) AS viewers, complete_play_rate(complete_plays, completable_plays)
       AS complete_play_rate, valid_play_rate(valid_plays, starts) AS valid_play_rate,
       score_average(experience_score_sum, experience_score_count) AS experience_score
FROM metrics.session_quality WHERE content_id = $title AND started_at >= $start AND started_at < $stop
"""
_CATALOGUE = "SELECT content_id, title AS name FROM warehouse.gold.titles"
_NO_CATALOGUE = "SELECT NULL::VARCHAR AS content_id, NULL::VARCHAR AS name WHERE false"


class Titles(Reader):
    """Not thread-safe. Every method raises QueryError: refused, or timeout for what takes too long."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the warehouse's."""
        super().__init__(folder, _MEMORY_BYTES)

    def list(self, span_s: int) -> TitleList:
        """Titles of the last so many seconds."""
        answer: TitleList = self._answer(("list", span_s))
        return answer

    def view(self, content_id: str, span_s: int) -> TitleView:
        """One of them."""
        answer: TitleView = self._answer(("view", span_s, content_id))
        return answer

    def _answer(self, question: tuple[Any, ...]) -> Any:
        kind, span_s, *_ = question
        stretches.check(span_s)
        publish = self._refresh()
        live_at: int | None = self._files.one(questions.NOW)["newest_at"]
        stop = (live_at or publish.published_at or 0) // 60_000 * 60 + 60
        make = self._list if kind == "list" else self._view
        state = publish, live_at and stretches.freshness(live_at, span_s)
        return self._kept(question, lambda: make(question, (stop - span_s, stop), (publish, live_at)), state)

    def _list(self, _question: tuple[Any, ...], stretch: tuple[int, int], made_of: tuple[Any, Any]) -> TitleList:
        start, stop = stretch
        publish, live_at = made_of
        question = _LIST.format(catalogue=_CATALOGUE if self._has("titles") else _NO_CATALOGUE)
        rows = self._files.ask(question, start=stamp(start), stop=stamp(stop), minutes=(stop - start) / 60)
        return TitleList(
            publish=publish,
            start_at=start * 1000,
            stop_at=stop * 1000,
            live_at=live_at,
            total=rows[0]["total"] if rows else 0,
            titles=[TitleRow(**{name: row[name] for name in TitleRow.__struct_fields__}) for row in rows],
        )

    def _view(self, question: tuple[Any, ...], stretch: tuple[int, int], made_of: tuple[Any, Any]) -> TitleView:
        content_id = question[2]
        start, stop = stretch
        publish, live_at = made_of
        step_s = stretches.step_s(stop - start)
        values: dict[str, Any] = {"title": content_id, "start": stamp(start), "stop": stamp(stop)}
        # Minutes that have just ended are still filling: time is known when the next heartbeat comes. Steps are whole.
        settled_s = stop if live_at is None else live_at // 60_000 * 60 - 60
        first_s = stretches.first_step(start, step_s)
        settled = values | {"start": stamp(first_s), "stop": stamp(settled_s // step_s * step_s), "step": step_s}
        rows = self._files.ask(_AUDIENCE, **settled)
        names = (
            self._files.ask(f"{_CATALOGUE} WHERE content_id = $title", title=content_id) if self._has("titles") else []
        )
        cutover = publish.cutover_minute
        ends = values | {"stop": stamp(min(stop, cutover or start))}
        return TitleView(
            content_id=content_id,
            name=names[0]["name"] if names else None,
            step_s=step_s,
            start_at=start * 1000,
            stop_at=stop * 1000,
            audience=Audience(
                at=[row["step_at"] * 1000 for row in rows],
                viewers=[row["viewers"] for row in rows],
                plays=[row["plays"] for row in rows],
            ),
            retention=self._retention(values),
            sessions_to_at=None if cutover is None else cutover * 1000,
            **self._files.one(_SESSIONS, **ends),
        )

    def _has(self, table: str) -> bool:
        """A publish of the first hour may lack one."""
        question = "SELECT DISTINCT table_name FROM duckdb_columns() WHERE schema_name = 'gold'"
        return table in self._kept("tables", lambda: {row["table_name"] for row in self._files.ask(question)})

    def _retention(self, values: dict[str, Any]) -> Retention | None:
        rows = self._files.ask(_RETENTION, **values) if self._has("title_retention") else []
        if not rows:
            return None
        return Retention(
            plays=rows[0]["plays"],
            first_day=f"{values['start']:%Y-%m-%d}",
            last_day=f"{values['stop']:%Y-%m-%d}",
            reached=[row["reached"] for row in rows],
            left=[row["left_there"] for row in rows],
        )
