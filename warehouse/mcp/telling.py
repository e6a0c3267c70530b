"""What the tools tell an agent: names with units and meanings, never more than it can read at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec

from infra.errors import QueryError
from schemas.metrics.metric import SOURCES, Metric
from schemas.metrics.page import TABLES
from schemas.metrics.registry import FUNCTIONS, METRICS
from warehouse.catalog import Catalog
from warehouse.dashboard.session_shapes import Line, SessionFigure, SessionSearch, SessionView, TimelineEvent

MOST_EVENTS, MOST_PHASES = 120, 120
"""Of a timeline; the events of an hour of smooth viewing without its heartbeats are fewer."""
MOST_POINTS = 40
"""Changes of bitrate that are told."""

Told = dict[str, Any]


def tables(catalog: Catalog) -> Told:
    """A line a table, and the publish that they are of."""
    return {
        "publish_id": catalog.publish_id,
        "tables": [
            {"table": table.full_name, "what": table.comment, "columns": len(table.columns)}
            | _known(msgspec.to_builtins(table.freshness))
            for table in catalog.tables
        ],
    }


def table(catalog: Catalog, name: str) -> Told:
    """One table with its columns. Raises QueryError with the names near it."""
    found = catalog.table(name)
    if found is None:
        _none_is_called(name, "table", [table.full_name for table in catalog.tables], "list_tables")
    return {
        "table": found.full_name,
        "what": found.comment,
        "freshness": _known(msgspec.to_builtins(found.freshness)),
        "columns": [_known(msgspec.to_builtins(column)) for column in found.columns],
    }


def metrics(word: str = "") -> Told:
    """A line a metric that has the word in its name, title or meaning; then the helpers that metrics are made of."""
    sought = word.lower()
    found = [
        {"metric": metric.name, "call": metric.call(), "unit": metric.unit, "meaning": metric.meaning}
        for metric in METRICS.values()
        if sought in f"{metric.name} {metric.title} {metric.meaning}".lower()
    ]
    if not found:
        _none_is_called(word, "metric", METRICS, "list_metrics without a word")
    helpers = [{"function": f.signature, "what": f.comment} for f in FUNCTIONS]
    return {"metrics": found} | ({} if word else {"functions": helpers})


def metric(name: str) -> Told:
    """A metric's definition, its sources, the tables that it can be asked of, and how. Raises QueryError."""
    found = METRICS.get(name.strip().lower().partition("(")[0])
    if found is None:
        _none_is_called(name, "metric", METRICS, "list_metrics", _that_mention(name))
    told = {
        "metric": found.name,
        "title": found.title,
        "meaning": found.meaning,
        "formula": found.formula,
        "unit": found.unit,
        "worse": found.worse,
        "of": "a session" if found.level == "session" else "a group of rows: it adds their parts up",
        "counted": found.counted,
        "left_out": found.left_out,
        "elsewhere": found.elsewhere or None,
        "sources": [f"{SOURCES[source][0]}, {SOURCES[source][1]}" for source in found.sources],
        "signature": found.signature,
        "ask": _example(found),
        "tables": _tables_of(found),
    }
    return _known(told)


def sessions(found: SessionSearch) -> Told:
    """Sessions by their own or their user's id, newest first."""
    hits = [
        _known(msgspec.to_builtins(hit) | {"started_at": _stamp(hit.started_at), "ended_at": _stamp(hit.ended_at)})
        for hit in found.hits
    ]
    told: Told = {"found": found.total, "sessions": hits}
    if not hits:
        told["note"] = (
            "no published session has this session or user id"
            + (f"; the oldest published one began {_stamp(found.first_at)}" if found.first_at is not None else "")
            + "; one that is younger than the last publish is not among them yet"
        )
    return told


def timeline(view: SessionView) -> Told:
    """One session: what the metrics made of it, and from what. Times are seconds since its first event."""
    if not view.figures and not view.events:
        return {"session_id": view.session_id, "note": "no published session has this id; find_sessions looks for one"}
    began = view.started_at if view.started_at is not None else view.events[0].at
    told = [event for event in view.events if event.event_type != "heartbeat"]
    events = [
        _known(
            {
                "at_s": _since(event.at, began),
                "event": event.event_type,
                "position_ms": event.position_ms,
                "bitrate_kbps": event.bitrate_kbps,
                "detail": event.detail or None,
                "received_late_s": _late_s(event),
            }
        )
        for event in told[:MOST_EVENTS]
    ]
    return _known(
        {
            "session_id": view.session_id,
            "started_at": _stamp(began),
            "figures": _known({figure.name: _figure(figure) for figure in view.figures}),
            "phases [name, from_s, for_s]": [
                [phase.name, _since(phase.start_at, began), _since(phase.stop_at, phase.start_at)]
                for phase in view.phases[:MOST_PHASES]
            ],
            "phases_not_told": max(0, len(view.phases) - MOST_PHASES) or None,
            "bitrate_kbps [at_s, value]": _points(view.bitrate, began),
            "events": events,
            "heartbeats_not_told": len(view.events) - len(told) or None,
            "events_not_told": view.events_left_out + max(0, len(told) - MOST_EVENTS) or None,
            "events_problem": view.events_problem or None,
        }
    )


def _that_mention(word: str) -> list[str]:
    """Metrics whose definition has the word, such as another product's name for them."""
    return [name for name, metric in METRICS.items() if word.lower() in f"{metric.title} {metric.elsewhere}".lower()]


def _tables_of(metric: Metric) -> list[str]:
    """Where all of its parts are."""
    if metric.level == "session":
        return ["metrics.session_quality"]
    return [name for name, parts in TABLES.items() if set(metric.parts) <= parts]


def _example(metric: Metric) -> str:
    """A query that can be asked as it stands."""
    if metric.level == "session":
        return f"SELECT session_id, {metric.name} FROM metrics.session_quality ORDER BY started_at DESC LIMIT 20"
    arguments = next((example.call for example in metric.examples if example.call), "")
    source = next(iter(_tables_of(metric)), "")
    group = "WHERE rollup = 'country_device' GROUP BY country" if source == "metrics.quality_minute" else ""
    columns = "country, " if group else ""
    return f"SELECT {columns}{metric.call(arguments)} AS {metric.name} FROM {source} {group}".strip()


def _points(line: Line, began: int) -> list[list[float]]:
    """`[second, value]` of each change."""
    points = [[_since(at, began), value] for at, value in zip(line.at, line.value, strict=True)]
    changes = [point for place, point in enumerate(points) if place == 0 or points[place - 1][1] != point[1]]
    return changes[:MOST_POINTS]


def _figure(figure: SessionFigure) -> float | str | None:
    """The value; its name has the unit."""
    if figure.number is None:
        return figure.text
    return _stamp(int(figure.number)) if figure.unit == "stamp" else figure.number


def _late_s(event: TimelineEvent) -> int | None:
    """How long after it happened it was received, where that is more than a minute."""
    late_ms = event.received_at - event.at
    return round(late_ms / 1000) if late_ms > 60_000 else None


def _since(at: int, began: int) -> float:
    return round((at - began) / 1000, 3)


def _stamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _known(told: Told) -> Told:
    """Without what is not known: an agent pays for every word."""
    return {name: value for name, value in told.items() if value is not None}


def _none_is_called(name: str, kind: str, names: Iterable[str], lister: str, more: Iterable[str] = ()) -> NoReturn:
    near = difflib.get_close_matches(name.lower(), list(names), 3, 0.5) or list(more)[:3]
    hint = f"did you mean {', '.join(near)}?" if near else f"{lister} names them all"
    msg = f"no {kind} is called {name!r}; {hint}"
    raise QueryError(msg)
