"""The events of one session, from the lake, and its timeline by the fold that every metric is made by.

The published files hold sessions, not events: events are some fifty times as many, and one view is asked for seldom.
They are read from silver's Delta tables, of which a session's days are a partition or two; a group's rows lie anywhere
in it, so its whole column of groups is read. Of a day of 2 million events that takes 0.1 to 0.3 s, about in
proportion; beyond LIMIT_S the answer is the session without its events, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from infra.delta_scan import cursor, scan
from infra.errors import QueryError
from schemas.cmcd.order import translate
from schemas.cmcd.report import REPORT_COLUMNS, reports_of
from schemas.fact import FACT_COLUMNS, facts_of
from schemas.registry import CMCD, PLAYBACK
from schemas.session_state import IDLE, PLAYING, Fact
from schemas.sessionize import fold, no_pieces, open_session
from schemas.table import Table
from schemas.tables import SILVER_EVENTS
from warehouse.dashboard.limit import limit
from warehouse.dashboard.moments import to_ms
from warehouse.dashboard.session_shapes import Line, Phase, RawField, TimelineEvent

LIMIT_S = 10.0
MOST_EVENTS = 5_000
PHASES = ("idle", "starting", "playing", "stalled", "seeking", "paused", "ad", "ad stalled", "ended")
"""By the numbers of `schemas/session_state.py`."""
SOURCES = ((SILVER_EVENTS[PLAYBACK.name], "group_id"), (SILVER_EVENTS[CMCD.name], "session_id"))
"""Tables that sessions are made of, and the column of the group."""
_DETAILS = ("reason", "error_code", "error_category", "quality", "report_event", "player_state", "custom_event")
_OWN = ("event_id", "occurred_at", "received_at", "event_type", "seq", "position_ms", "bitrate_kbps", "event_date")


@dataclass(frozen=True)
class Wanted:
    """A session as its row tells it."""

    group_id: str
    is_derived: bool
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True)
class Timeline:
    """What the lake has of a session."""

    events: list[TimelineEvent] = field(default_factory=list)
    left_out: int = 0
    problem: str = ""
    read_ms: int = 0
    phases: list[Phase] = field(default_factory=list)
    bitrate: Line = field(default_factory=lambda: Line(at=[], value=[]))
    buffer: Line = field(default_factory=lambda: Line(at=[], value=[]))
    position: Line = field(default_factory=lambda: Line(at=[], value=[]))


def read(lake_root: str, wanted: Wanted, timeout_s: int) -> Timeline:
    """The session's timeline. What cannot be read is a problem of the answer, none of the page."""
    started = time.monotonic()
    tables: dict[str, pa.Table] = {}
    connection = cursor()
    try:
        with limit(connection, LIMIT_S):
            for table, group in SOURCES:
                found = _rows(connection, lake_root, table, group, wanted)
                if found is not None:
                    tables[table.name] = found
    except QueryError:
        return Timeline(problem=f"The lake was searched for {LIMIT_S:g} s and more: this session's days are large.")
    except duckdb.Error as error:
        return Timeline(problem=f"The lake cannot be read: {str(error).splitlines()[0]}")
    finally:
        connection.close()
    if not tables:
        return Timeline(problem=f"There is no table of events in {lake_root}/silver.")
    return _timeline(tables, timeout_s, round((time.monotonic() - started) * 1000))


def _rows(
    connection: duckdb.DuckDBPyConnection, lake_root: str, table: Table, group: str, wanted: Wanted
) -> pa.Table | None:
    """The rows of the session's group; None where the table is not there yet."""
    path = table.path(lake_root)
    if not (Path(path) / "_delta_log").is_dir():
        return None
    # A session that has no id of its client's shares its group with others, told apart by time. One that has may have
    # gone on after its row was published: what is newer belongs to it.
    days = f"event_date BETWEEN $first AND $last AND {group} = $group"
    within = " AND occurred_at BETWEEN $started AND $ended" if wanted.is_derived else ""
    values: dict[str, Any] = {
        "group": wanted.group_id,
        "first": wanted.started_at.date(),
        "last": wanted.ended_at.date() + timedelta(days=0 if wanted.is_derived else 1),
    }
    if wanted.is_derived:
        values |= {"started": wanted.started_at, "ended": wanted.ended_at + timedelta(milliseconds=1)}
    sql = f"SELECT * FROM {scan(path)} WHERE {days}{within} ORDER BY occurred_at, seq, event_id"
    return connection.execute(sql, values).to_arrow_table()


def _timeline(tables: dict[str, pa.Table], timeout_s: int, read_ms: int) -> Timeline:
    (playback, _), (cmcd, _) = SOURCES
    facts: list[Fact] = []
    if (rows := tables.get(playback.name)) is not None and rows.num_rows:
        facts += facts_of(_batch(rows, FACT_COLUMNS))
    if (rows := tables.get(cmcd.name)) is not None and rows.num_rows:
        facts += translate(reports_of(_batch(rows, REPORT_COLUMNS))).facts
    facts.sort(key=lambda fact: fact.order)
    phases, after = _fold(facts, timeout_s)
    events = sorted(
        (event for name, rows in tables.items() for event in _events(name, rows, after)), key=lambda one: one.at
    )
    reports = tables.get(cmcd.name)
    return Timeline(
        events=events[:MOST_EVENTS],
        left_out=max(0, len(events) - MOST_EVENTS),
        read_ms=read_ms,
        phases=phases,
        bitrate=_line([(fact.at_ms, fact.bitrate_kbps) for fact in facts]),
        buffer=_line([] if reports is None else _pairs(reports, "buffer_length_ms")),
        position=_line([(fact.at_ms, fact.position_ms) for fact in facts]),
    )


def _fold(facts: Sequence[Fact], timeout_s: int) -> tuple[list[Phase], dict[str, str]]:
    """What the time between the events was counted as, and the phase after each event.

    An event may show that content had gone on although nobody had said so: the fold counts that time, up to the event,
    as playing. Silence beyond the time-out counts as nothing.
    """
    phases: list[Phase] = []
    after: dict[str, str] = {}
    if not facts:
        return phases, after
    timeout_ms = timeout_s * 1000
    state, pieces = open_session(facts[0]), no_pieces(timeout_ms)
    for fact in facts:
        before, played, start_at = state.phase, state.playing_ms, state.last_ms
        fold(state, fact, timeout_ms, pieces)
        unheard = 0 if before == PLAYING else state.playing_ms - played
        counted_to = min(fact.at_ms, start_at + timeout_ms)
        for place, start, stop in (
            (before, start_at, counted_to - unheard),
            (PLAYING, counted_to - unheard, counted_to),
            (IDLE, counted_to, fact.at_ms),
        ):
            _add(phases, PHASES[place], start, stop)
        after[fact.event_id] = PHASES[state.phase]
    return phases, after


def _add(phases: list[Phase], name: Any, start: int, stop: int) -> None:
    """One more stretch; the one before goes on where it is of the same kind."""
    if start >= stop:
        return
    last = phases[-1] if phases else None
    if last is not None and last.name == name and last.stop_at == start:
        phases[-1] = Phase(name=name, start_at=last.start_at, stop_at=stop)
    else:
        phases.append(Phase(name=name, start_at=start, stop_at=stop))


def _events(table: str, rows: pa.Table, after: dict[str, str]) -> list[TimelineEvent]:
    return [
        TimelineEvent(
            event_id=row["event_id"],
            at=to_ms(row["occurred_at"]),
            received_at=to_ms(row["received_at"]),
            event_type=row["event_type"],
            table=f"silver.{table}",
            seq=row["seq"],
            position_ms=row["position_ms"],
            bitrate_kbps=row["bitrate_kbps"],
            detail=" · ".join(str(row[name]) for name in _DETAILS if row.get(name) is not None)
            + (" · fatal" if row.get("fatal") else ""),
            phase=after.get(row["event_id"], ""),
            fields=[
                RawField(name=name, value=_text(value))
                for name, value in row.items()
                if value is not None and name not in _OWN
            ],
        )
        for row in rows.to_pylist()
    ]


def _batch(rows: pa.Table, columns: Sequence[str]) -> pa.RecordBatch:
    return rows.select(list(columns)).combine_chunks().to_batches()[0]


def _pairs(rows: pa.Table, column: str) -> list[tuple[int, int | None]]:
    stamps = rows.column("occurred_at").to_pylist()
    return [(to_ms(at), value) for at, value in zip(stamps, rows.column(column).to_pylist(), strict=True)]


def _line(pairs: Sequence[tuple[int, int | None]]) -> Line:
    told = [(at, value) for at, value in pairs if value is not None]
    return Line(at=[at for at, _ in told], value=[value for _, value in told])


def _text(value: Any) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
