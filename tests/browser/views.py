"""A warehouse made of views: simulated viewers, their sessions folded, their minutes on both sides of the cut-over.

Unlike `state.py`, whose parts are made up, everything here comes from the same events, so that a minute, a session and
a timeline tell one story. One cohort has an incident: its players stall.
"""

from __future__ import annotations

import atexit
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
from deltalake import write_deltalake

from infra.disk import replace_file
from infra.settings import Settings
from schemas.cmcd.wire import read_report
from schemas.derive import arrow_schema
from schemas.events.cmcd import CmcdEvent
from schemas.publication import PUBLISHED, Publish, write_record
from schemas.quality import DIMENSIONS, PARTS, ROLLUPS, STARTUP_BUCKETS
from schemas.registry import CMCD, PLAYBACK
from schemas.standing import read_standing
from schemas.tables import SILVER_EVENTS
from schemas.tables.sessions import SESSIONS
from schemas.topic import EventTopic
from streams.intake.simulation.audience import Audience
from streams.live.partition import LivePartition
from streams.message import Message
from streams.sources import PLAYBACK_SOURCE
from streams.warm import RULES
from tests.batch.world import expected_events, expected_sessions, numbered
from warehouse import attach, build
from warehouse.live_seconds import LastHour
from warehouse.publication import LIVE

SICK = ("BR", "smart_tv")
"""Country and device of the viewers whose players stall."""
STALL_MS = 4_000
REPORTING = "reporting-player"
"""The one session whose player tells CMCD, and so its buffer."""
BUFFER_MS = {900: 4_000, 10_900: 12_000, 20_900: 2_500, 24_000: 0, 27_000: 3_000, 37_000: 9_000}
"""Ms after its start → what it tells; at 24 s it stalls, for 3 s."""
AT = datetime(2026, 11, 20, 20, 30, 17, tzinfo=UTC)
"""When the shared world stands still: an evening, and the same for every run."""


@dataclass
class Views:
    """Viewers of the last hours. `at` is the clock of the live numbers."""

    settings: Settings
    at: datetime
    viewers: int = 140
    hours: float = 2.0
    live_minutes: int = 20

    def __post_init__(self) -> None:
        self.at = self.at.astimezone(UTC)
        self.cutover = self.at.replace(second=0, microsecond=0) - timedelta(minutes=self.live_minutes)
        start = self.at - timedelta(hours=self.hours)
        audience = Audience(11, self.viewers, to_ms(start), to_ms(self.at), scale=0.4)
        arrivals = [
            (at_ms, 0, raw)
            for sent in audience.events()
            if sent.topic == PLAYBACK.name
            for at_ms, raw in _with_stalls(sent.at_ms, sent.value)
        ]
        self.sent: list[Message] = numbered(arrivals)
        self.reported = _reports(to_ms(self.cutover - timedelta(minutes=20)))
        self.sessions: list[dict[str, Any]] = expected_sessions(self.settings, self.sent, self.reported)

    def publish(self, publish_id: str = "20261121T1200-7f3a") -> None:
        """Silver's sessions and events as Delta tables, and the published file with gold's minutes."""
        lake = self.settings.lake_root
        told = [row for row in self.sessions if row["started_at"] < self.cutover]
        rows = pa.Table.from_pylist(told, schema=arrow_schema(SESSIONS.columns))
        write_deltalake(f"{lake}/silver/sessions", rows, mode="overwrite", partition_by=["start_date"])
        for topic in (PLAYBACK, CMCD):
            table = SILVER_EVENTS[topic.name]
            rows = pa.Table.from_pylist(self.events(topic), schema=arrow_schema(table.columns))
            write_deltalake(f"{lake}/silver/{table.name}", rows, mode="overwrite", partition_by=["event_date"])
        minutes = self._minutes(before=True)
        write_deltalake(f"{lake}/gold/quality_minute", minutes, mode="overwrite")
        write_deltalake(f"{lake}/gold/title_retention", self._retention(), mode="overwrite")
        write_deltalake(f"{lake}/gold/titles", self._titles(), mode="overwrite")
        self.settings.warehouse.mkdir(parents=True, exist_ok=True)
        record = Publish(
            publish_id=publish_id,
            published_at=self.at - timedelta(minutes=9),
            cutover_minute=self.cutover,
            versions=dict.fromkeys(
                ("gold.quality_minute", "gold.title_retention", "gold.titles", "silver.sessions"), 0
            ),
        )
        write_record(self.settings.warehouse / PUBLISHED, record)
        build.build(self.settings)

    def write_live(self) -> None:
        """The live file as of `at`."""
        rows, seconds = self._minutes(before=False), self._seconds
        watching = sum(row["end_reason"] == "open" for row in self.sessions)

        def write(path: Any) -> None:
            with duckdb.connect(str(path)) as con:
                con.execute("SET TimeZone = 'UTC'")
                catalog = con.execute("SELECT current_database()").fetchall()[0][0]
                attach.create_live_tables(con, f'"{catalog}"')
                con.register("fresh", rows)
                con.execute("INSERT INTO quality_minute BY NAME SELECT * FROM fresh")
                con.register("fresh", seconds)
                con.execute("INSERT INTO quality_second BY NAME SELECT * FROM fresh")
                fates = (watching, watching, len(self.sent), 0, 0, 0, len(self.sent), len(self.sent))
                con.execute(
                    "INSERT INTO now VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [PLAYBACK.name, 0, self.at, *fates]
                )
                con.execute("INSERT INTO meta VALUES (?, ?, NULL, NULL)", [self.at, self.cutover])

        replace_file(self.settings.warehouse / LIVE, write)

    def _minutes(self, *, before: bool) -> pa.Table:
        """The sessions' minutes of one side of the cut-over, rolled up."""
        cells: dict[tuple[Any, ...], dict[str, Any]] = {}
        for rollup, minute, kept in self._pieces():
            if (minute["minute"] < self.cutover) is not before:
                continue
            names = {name: minute[name] if name in kept else None for name in DIMENSIONS}
            key = (rollup, minute["minute"], *names.values())
            new = {"rollup": rollup, "minute": minute["minute"], **names, **dict.fromkeys(PARTS, 0)}
            cell = cells.setdefault(key, new | {"startup_histogram": [0] * STARTUP_BUCKETS})
            for part in PARTS:
                cell[part] += minute[part] or 0
            if minute["startup_bucket"] is not None:
                cell["startup_histogram"][minute["startup_bucket"]] += 1
        schema = pa.schema(
            [("rollup", pa.string()), ("minute", pa.timestamp("us", tz="UTC"))]
            + [(name, pa.string()) for name in DIMENSIONS]
            + [(name, pa.int64()) for name in PARTS]
            + [("startup_histogram", pa.list_(pa.int64()))]
        )
        return pa.Table.from_pylist(list(cells.values()), schema=schema)

    @cached_property
    def _seconds(self) -> pa.Table:
        """The last hour by second, as a stream worker that takes the events one second after another says it."""
        live, hour = LivePartition(0, {}, "views", 1, RULES), LastHour()
        for second, came in groupby(self.sent, lambda message: message.received_ms // 1000):
            batch, now_ms = list(came), second * 1000 + 999
            live.apply(batch[0].at, batch[-1].at + 1, PLAYBACK_SOURCE.prepare(batch))
            hour.take((PLAYBACK.name, 0), read_standing(live.say(now_ms, live.concurrent(now_ms))[1]))
        return hour.table()

    def _pieces(self) -> Iterator[tuple[str, dict[str, Any], tuple[str, ...]]]:
        for session in self.sessions:
            for minute in session["minutes"]:
                for rollup, kept in ROLLUPS.items():
                    yield rollup, minute, kept

    def _retention(self) -> pa.Table:
        """As batch/gold/title_retention.sql has it."""
        found: Counter[tuple[Any, str, int, str]] = Counter()
        for row in self.cohort():
            if not row["is_started"] or not row["duration_ms"] or row["max_position_ms"] is None or row["is_live"]:
                continue
            end = row["max_position_ms"] if row["end_position_ms"] is None else row["end_position_ms"]
            for part, at in (("furthest_plays", row["max_position_ms"]), ("left_plays", end)):
                if part == "furthest_plays" or row["end_reason"] != "open":
                    found[row["start_date"], row["content_id"], min(99, 100 * at // row["duration_ms"]), part] += 1
        places = sorted({key[:3] for key in found})
        return pa.table(
            {
                "play_date": [day for day, _, _ in places],
                "content_id": [title for _, title, _ in places],
                "position_percent": pa.array([percent for _, _, percent in places], pa.int32()),
                "furthest_plays": [found[*place, "furthest_plays"] for place in places],
                "left_plays": [found[*place, "left_plays"] for place in places],
            }
        )

    def _titles(self) -> pa.Table:
        names = sorted({row["content_id"] for row in self.sessions})
        return pa.table({"content_id": names, "title": [name.replace("-", " ").title() for name in names]})

    def events(self, topic: EventTopic = PLAYBACK) -> list[dict[str, Any]]:
        """Rows of silver's events: those of published sessions are whole, as if read a moment later."""
        rows = expected_events(self.sent if topic is PLAYBACK else self.reported, topic).values()
        return [row | {"event_date": row["occurred_at"].date()} for row in rows]

    def cohort(self, **values: str | None) -> list[dict[str, Any]]:
        """Published sessions that have these values."""
        told = (row for row in self.sessions if row["started_at"] < self.cutover)
        return [row for row in told if all(row[name] == value for name, value in values.items())]

    def minutes(self, rollup: str, **values: str | None) -> list[dict[str, Any]]:
        """Minutes of both sides, as the sessions have them, that such a row of a rollup is made of."""
        return [
            minute
            for name, minute, _ in self._pieces()
            if name == rollup and all(minute[dimension] == value for dimension, value in values.items())
        ]


@cache
def shared() -> Views:
    """One world for the tests of a run that only look at it: folding its events is most of what they cost."""
    home = Path(mkdtemp(prefix="playlake-views-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    made = Views(Settings(home=home), AT, viewers=70, hours=1.2)
    made.publish()
    made.write_live()
    return made


def _with_stalls(at_ms: int, raw: bytes) -> Iterator[tuple[int, bytes]]:
    """An event; after every fourth one or so of the sick cohort, where it is a heartbeat, a stall as well."""
    yield at_ms, raw
    event = msgspec.json.decode(raw)
    is_sick = (event.get("country"), event.get("deviceType")) == SICK
    if event["eventType"] != "heartbeat" or not is_sick or event.get("seq", 0) % 4:
        return
    moment = datetime.fromisoformat(event["timestamp"])
    for kind, late_ms in (("stall_start", 500), ("stall_end", 500 + STALL_MS)):
        at = moment + timedelta(milliseconds=late_ms)
        kept = {name: value for name, value in event.items() if name not in ("eventId", "seq", "positionMs")}
        changed = kept | {"eventType": kind, "timestamp": at.isoformat().replace("+00:00", "Z")}
        yield at_ms + late_ms, msgspec.json.encode(changed)


def _reports(start_ms: int) -> list[Message]:
    """Those of the session REPORTING, as a collector hands them on."""
    states = {0: "ps,sta=s", 900: "ps,sta=p", 24_000: "ps,sta=r", 27_000: "ps,sta=p", 40_000: "ps,sta=e"}
    arrivals = []
    for seq, after_ms in enumerate(sorted({*states, *BUFFER_MS})):
        buffer = f"bl=({BUFFER_MS[after_ms]};v)," if after_ms in BUFFER_MS else ""
        said, at = states.get(after_ms, "t,sta=p"), start_ms + after_ms
        line = f'{buffer}br=(3000;v),cid="film-0001",e={said},sid="{REPORTING}",sn={seq},ts={at},v=2'
        report = read_report(line.encode(), CmcdEvent, "a", datetime.fromtimestamp((at + 40) / 1000, UTC))
        arrivals.append((at + 40, 0, msgspec.json.encode(report)))
    return numbered(arrivals, CMCD.name)


def to_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
