"""Every metric of the registry, asked of two sides: the platform's sessions, and the truth.

The truth's columns come from the simulated players; what is shared is the SQL of the metrics, which worked examples
prove (`schemas/metrics`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from schemas.derive import arrow_schema
from schemas.fact import from_ms
from schemas.metrics.macros import ad_part, metrics_sql
from schemas.metrics.metric import Metric
from schemas.metrics.parts import AD_PARTS, SCORES, VIEW_PARTS
from schemas.metrics.registry import METRICS
from schemas.metrics.relations import histogram_sql, registers, views_sql
from schemas.piece import startup_bucket
from schemas.quality import HEARD_WITHIN_MS, MINUTE_MS
from schemas.tables.sessions import SESSIONS
from streams.intake.accuracy.platform import AD_FIELDS, Measured
from streams.intake.simulation.truth import Truth

_AS_MEASURED = arrow_schema(SESSIONS.columns)
_LEFT_OUT = {"minutes"}
BY_MINUTE = ("watched_ms", "playing_ms", "stall_ms", "active_sessions")
"""Parts of minutes that are compared minute by minute: time, which a session spreads over many."""


class Asked(NamedTuple):
    """A question of the report: a metric, with the arguments or the parts it is asked with."""

    name: str
    metric: Metric
    call: str


def _questions() -> Iterator[Asked]:
    for metric in METRICS.values():
        if metric.level == "session":
            continue
        for label, call in _calls(metric):
            yield Asked(f"{metric.name}{label}", metric, call)


def _calls(metric: Metric) -> list[tuple[str, str]]:
    """Label and call of each way in which a metric is asked."""
    reached = ("ad_first_quartiles", "ad_midpoints", "ad_third_quartiles", "ad_completes")
    special = {
        "startup_quantile_ms": [(f" p{q * 100:g}", metric.call(f"{q}")) for q in (0.5, 0.95)],
        "average_viewers": [("", metric.call("60"))],
        "attempts_per_second": [("", metric.call("3600"))],
        "retention_at": [(f" {at // 60_000} min", metric.call(f"{at}")) for at in (60_000, 300_000, 900_000)],
        "score_average": [(f" {score}", f"score_average({score}_sum, {score}_count)") for score in SCORES],
        "ad_reach_rate": [(f" {part}", f"ad_reach_rate({part}, ad_impressions)") for part in reached],
    }
    return special.get(metric.name, [("", metric.call())])


QUESTIONS = tuple(_questions())


class Side:
    """One side's tables in DuckDB, and the answers from them."""

    def __init__(self, sessions: pa.Table, ads: dict[str, int], watching: Sequence[int], by_minute: pa.Table) -> None:
        self.watching = watching
        self.con = duckdb.connect(config={"threads": 1})
        self.con.execute("SET TimeZone = 'UTC'")
        self.con.execute(metrics_sql())
        self.keep("sessions", sessions)
        self.keep("by_minute", by_minute)
        self.con.execute(f"CREATE TABLE views AS {views_sql('sessions', sessions.column_names)}")
        viewers = self.con.execute("SELECT coalesce(user_id, session_id) FROM sessions").fetchall()
        sums = ", ".join(f"sum({part})::BIGINT AS {part}" for part in VIEW_PARTS)
        counts = "".join(f", {count} AS {part}" for part, count in ads.items())
        self.con.execute(
            f"CREATE TABLE total AS SELECT {sums}, {histogram_sql('startup_bucket')}{counts}, "
            f"{sum(watching)} AS concurrent, {registers(name for (name,) in viewers)} AS viewer_registers FROM views"
        )
        self._total = {name for name, *_ in self.con.execute("DESCRIBE total").fetchall()}

    def keep(self, name: str, table: pa.Table) -> None:
        """Make a table of this name."""
        self.con.register("given", table)
        self.con.execute(f"CREATE TABLE {name} AS FROM given")
        self.con.unregister("given")

    def answers(self) -> dict[str, float | None]:
        """Question → value, over all sessions."""
        return {asked.name: self._answer(asked) for asked in QUESTIONS}

    def _answer(self, asked: Asked) -> float | None:
        table = "total" if set(asked.metric.parts) <= self._total else "views"
        ((value,),) = self.con.execute(f"SELECT {asked.call} FROM {table}").fetchall()
        return None if value is None else float(value)


def of_truth(truths: Sequence[Truth], probes: Sequence[int]) -> Side:
    """The simulation's own side. `probes`: moments at which concurrent viewers are counted, Unix ms."""
    rows = [truth.row() | {"startup_bucket": _bucket(truth.startup_ms)} for truth in truths]
    schema = pa.schema([field.with_nullable(True) for field in _AS_MEASURED if rows and field.name in rows[0]])
    sessions = pa.Table.from_pylist(rows, schema)
    ads = {part: sum(getattr(truth, part) for truth in truths) for part in AD_PARTS}
    watching = [sum(_is_seen(truth, at_ms) for truth in truths) for at_ms in probes]
    return Side(sessions, ads, watching, _by_minute(truths))


def _bucket(startup_ms: int | None) -> int | None:
    return None if startup_ms is None else startup_bucket(startup_ms)


def _is_seen(truth: Truth, at_ms: int) -> bool:
    """Whether it is watched at a moment. Without heartbeats nothing is heard of it a minute later."""
    silent_after = HEARD_WITHIN_MS if truth.session_id is None else 1 << 62
    return any(one.begin_ms <= at_ms < one.end_ms and at_ms <= one.begin_ms + silent_after for one in truth.watching)


def _by_minute(truths: Iterable[Truth]) -> pa.Table:
    """Time watched in each minute, from when content played or was stalled."""
    found: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(BY_MINUTE, 0))
    for truth in truths:
        active: set[int] = set()
        for one in truth.watching:
            begin, end = one.begin_ms, one.end_ms
            for minute in range(begin // MINUTE_MS, (end - 1) // MINUTE_MS + 1):
                length = min(end, (minute + 1) * MINUTE_MS) - max(begin, minute * MINUTE_MS)
                found[minute]["watched_ms"] += length
                found[minute]["stall_ms" if one.is_stall else "playing_ms"] += length
                active.add(minute)
        for minute in active:
            found[minute]["active_sessions"] += 1
    rows = [{"minute": from_ms(minute * MINUTE_MS), **parts} for minute, parts in sorted(found.items())]
    return pa.Table.from_pylist(rows, _MINUTES)


_MINUTES = pa.schema([("minute", pa.timestamp("us", "UTC")), *((part, pa.int64()) for part in BY_MINUTE)])


def of_platform(measured: Measured, probes: Sequence[int]) -> Side:
    """The platform's side."""
    minutes: dict[Any, dict[str, int]] = defaultdict(lambda: dict.fromkeys(BY_MINUTE, 0))
    for row in measured.sessions:
        for minute in row["minutes"]:
            for part in BY_MINUTE:
                minutes[minute["minute"]][part] += minute[part]
    rows = [{"minute": minute, **parts} for minute, parts in sorted(minutes.items())]
    schema = pa.schema([field for field in _AS_MEASURED if field.name not in _LEFT_OUT])
    sessions = pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in measured.sessions], schema)
    ads = _ad_parts(measured.ads)
    watching = [measured.concurrent(at_ms) for at_ms in probes]
    return Side(sessions, ads, watching, pa.Table.from_pylist(rows, _MINUTES))


def _ad_parts(ads: Sequence[dict[str, Any]]) -> dict[str, int]:
    con = duckdb.connect()
    kinds = {"sequence": pa.int64(), "ad_count": pa.int64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in ("event_type", *AD_FIELDS)])
    con.register("ad_events", pa.Table.from_pylist(list(ads), schema))
    parts = ", ".join(ad_part(part) for part in AD_PARTS)
    (values,) = con.execute(f"SELECT {parts} FROM ad_events").fetchall()
    return dict(zip(AD_PARTS, values, strict=True))
