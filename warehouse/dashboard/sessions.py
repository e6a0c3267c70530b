"""Answers of the page Session: search among the published sessions, and everything about one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from infra.settings import Settings
from schemas.metrics.registry import SESSION_METRICS
from schemas.tables.sessions import SESSIONS
from schemas.units import COUNT, UTC, unit_of
from warehouse.attach import SESSION_COLUMNS
from warehouse.dashboard import session_events
from warehouse.dashboard.files import Row
from warehouse.dashboard.moments import known_ms, to_ms
from warehouse.dashboard.reader import LIMIT_S, Reader
from warehouse.dashboard.session_shapes import SessionFigure, SessionHit, SessionSearch, SessionView

MOST_HITS = 200
_MEMORY_BYTES = 64_000_000

_FOUND = f"""
SELECT {", ".join(SessionHit.__struct_fields__)} FROM metrics.session_quality
WHERE session_id = $wanted OR user_id = $wanted ORDER BY started_at DESC, session_id LIMIT {MOST_HITS}
"""
_COUNTED = """
SELECT count(*) FILTER (session_id = $wanted OR user_id = $wanted) AS total, min(started_at) AS first
FROM metrics.session_quality
"""
_ROW = "SELECT * FROM metrics.session_quality WHERE session_id = $wanted LIMIT 1"
_SHOWN_UNITS = {COUNT: "", UTC: "stamp"}


class Sessions(Reader):
    """Not thread-safe. Every method raises QueryError (timeout) for what takes too long."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.warehouse, _MEMORY_BYTES)
        self._settings = settings

    def search(self, wanted: str) -> SessionSearch:
        """Published sessions by session id or user id."""
        publish = self._refresh()
        with self._files.limit(LIMIT_S):
            counted = self._files.one(_COUNTED, wanted=wanted)
            rows = self._files.ask(_FOUND, wanted=wanted) if counted["total"] else []
        return SessionSearch(
            publish=publish,
            first_at=known_ms(counted["first"]),
            total=counted["total"],
            hits=[SessionHit(**{name: _plain(row[name]) for name in SessionHit.__struct_fields__}) for row in rows],
        )

    def view(self, session_id: str) -> SessionView:
        """One session with its events."""
        publish = self._refresh()
        with self._files.limit(LIMIT_S):
            row = self._files.one(_ROW, wanted=session_id)
        timeline = session_events.Timeline()
        if row:
            wanted = session_events.Wanted(row["group_id"], row["is_derived_id"], row["started_at"], row["ended_at"])
            timeline = session_events.read(self._settings.lake_root, wanted, self._settings.session_timeout_s)
        return SessionView(
            publish=publish,
            session_id=session_id,
            figures=_figures(row),
            started_at=known_ms(row.get("started_at")),
            ended_at=known_ms(row.get("ended_at")),
            events=timeline.events,
            events_left_out=timeline.left_out,
            events_problem=timeline.problem,
            read_ms=timeline.read_ms,
            phases=timeline.phases,
            bitrate=timeline.bitrate,
            buffer=timeline.buffer,
            position=timeline.position,
        )


def _figures(row: Row) -> list[SessionFigure]:
    """Every column of the row, and every metric of a session."""
    if not row:
        return []
    columns = [
        SessionFigure(
            name=column.name,
            title=column.name.replace("_", " "),
            kind=_kind(column.name),
            unit=_unit(column.name),
            doc=column.doc,
            **_told(row[column.name]),
        )
        for column in SESSIONS.columns
        if column.name in SESSION_COLUMNS
    ]
    metrics = [
        SessionFigure(
            name=metric.name,
            title=metric.title,
            kind="score",
            unit="" if metric.unit == "true or false" else metric.unit.partition(",")[0],
            doc=f"{metric.meaning} {metric.formula}",
            **_told(row[metric.name]),
        )
        for metric in SESSION_METRICS
    ]
    return [*columns, *metrics]


def _told(value: Any) -> dict[str, Any]:
    """A value as number or as text."""
    if value is None:
        return {"number": None, "text": None}
    if isinstance(value, bool):
        return {"number": None, "text": "yes" if value else "no"}
    plain = _plain(value)
    return {"number": plain, "text": None} if isinstance(plain, int | float) else {"number": None, "text": plain}


def _kind(name: str) -> Literal["who", "time", "count"]:
    if SESSION_COLUMNS[name] in {"VARCHAR", "BOOLEAN", "DATE"}:
        return "who"
    return "time" if name.endswith(("_ms", "_at")) else "count"


def _unit(name: str) -> str:
    """Counts are named after what they count."""
    unit = "" if name.endswith("_count") else unit_of(name) or ""
    return _SHOWN_UNITS.get(unit, unit)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_ms(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)
