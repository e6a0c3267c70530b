"""A warehouse of many sessions: the files, views and record of a publish, with rows that DuckDB makes up.

Sizes are those of a service with 12 countries, 3 kinds of devices, 3 CDNs, 5 app versions and 2,000 titles, of which
400 are watched in every minute. Values are drawn by hash, so two runs make the same rows; sessions and gold are drawn
apart and do not add up to one another. What Spark and Delta do before is not measured here, nor in the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

from infra.disk import replace_file
from infra.settings import ROOT, Settings
from schemas.publication import Publish, write_record
from schemas.quality import PARTS, STARTUP_BUCKETS
from schemas.table import Table, read_sql_table
from schemas.tables.sessions import SESSIONS
from warehouse import parts, publication, union_file
from warehouse.attach import SESSION_COLUMNS
from warehouse.part_file import writer
from warehouse.parts import Part, Source
from warehouse.publication import PartFile, Publication

DAYS = 91
TITLES, WATCHED_TITLES = 2_000, 400
COUNTRIES = ("US", "BR", "DE", "GB", "FR", "ES", "MX", "PL", "IT", "NL", "JP", "IN")
DEVICES = ("smart_tv", "mobile", "web")
CDNS = ("north", "south", "own")
VERSIONS = ("8.1.0", "8.2.0", "8.2.1", "8.3.0", "9.0.0")
HISTOGRAMS = 64

_PARTS = {
    "events": "w * 14", "plays": "p", "starts": "p", "first_frames": "p - p // 50", "start_failures": "p // 90",
    "stalls": "w // 9", "stall_ms": "w * 400", "playing_ms": "w * 54000", "watched_ms": "w * 54400",
    "media_ms": "w * 54000", "bits_played": "w * 216000000000", "bitrate_media_ms": "w * 54000",
    "startup_ms": "p * 1100", "active_sessions": "w", "bitrate_switches": "w // 3", "dropped_frames": "w // 2",
}  # fmt: skip
"""Part → of `w` viewers and `p` attempts; the others are 0."""


@dataclass(frozen=True)
class Made:
    """What there is, for the report."""

    publication: Publication
    sessions: int
    seconds: float
    bytes: int
    rows: dict[str, int]


def make(settings: Settings, sessions: int, cutover: datetime, days: int = DAYS) -> Made:
    """Publish them into `settings.warehouse`; what is there already, of the same size, stays."""
    began, folder = time.monotonic(), settings.warehouse
    folder.mkdir(parents=True, exist_ok=True)
    newest, oldest = cutover.date(), cutover.date() - timedelta(days=days - 1)
    contracts = [SESSIONS, *(_gold(name) for name in _GOLD)]
    told: dict[date | None, tuple[str, ...]] = {
        newest - timedelta(days=back): (f"{sessions} {days}",) for back in range(days)
    }
    sources = [Source(one.full_name, "", 0, one, dict(told)) for one in contracts]
    held, files = {}, {}
    for part in parts.plan(sources, settings.recent_days):
        path = folder / part.file_name
        first = max(part.first, oldest)
        until = part.until or newest + timedelta(days=1)
        if not path.exists():
            share = sessions // days * (until - first).days
            replace_file(path, lambda fresh, f=first, u=until, n=share: _write(fresh, f, u, n))  # type: ignore[misc]
            print(f"  {path.name}: {path.stat().st_size / 1e9:.2f} GB, {time.monotonic() - began:.0f} s", flush=True)
        tables = sorted(source.name for source in part.sources)
        held[part] = path
        files[part.alias] = PartFile(file=path.name, form=parts.FORM, first=part.first, until=part.until, tables=tables)
    record = _put_in_force(settings, cutover, sources, held, files)
    with duckdb.connect() as connection:
        connection.execute((folder / publication.SCRIPT).read_text())
        counts = {source.name: _count(connection, source.name) for source in sources}
    size = sum(path.stat().st_size for path in record.paths(folder))
    return Made(record, counts[SESSIONS.full_name], time.monotonic() - began, size, counts)


def _put_in_force(
    settings: Settings, cutover: datetime, sources: list[Source], held: dict[Part, Path], files: dict[str, PartFile]
) -> Publication:
    versions = {source.name: 0 for source in sources}
    as_of = dict.fromkeys(versions, cutover)
    request = Publish(
        publish_id="bench", published_at=datetime.now(UTC), cutover_minute=cutover, versions=versions, as_of=as_of
    )
    name, folder = "gold-bench.duckdb", settings.warehouse
    replace_file(folder / name, lambda path: union_file.write(settings, path, request, sources, held))
    fields = {field: getattr(request, field) for field in Publish.__struct_fields__}
    record = Publication(**fields, files=[name, *(file.file for file in files.values())], parts=files)
    write_record(folder / publication.CURRENT, record)
    publication.write_script(folder, record)
    return record


def _count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
    assert row is not None
    return int(row[0])


def _gold(name: str) -> Table:
    return read_sql_table(ROOT / "batch" / "gold" / f"{name}.sql")


def _write(path: Path, first: date, until: date, sessions: int) -> None:
    """The tables of the days `[first, until)`, as `part_file` lays them out: ordered by time."""
    with writer(path) as connection:
        connection.execute("CREATE SCHEMA gold; CREATE SCHEMA silver")
        _draw_histograms(connection)
        connection.execute(f"CREATE TABLE silver.sessions AS {_sessions(first, until, sessions)}")
        for name, select in _GOLD.items():
            connection.execute(f"CREATE TABLE gold.{name} AS {select((until - first).days, first)}")
        connection.execute("CHECKPOINT")
    path.chmod(0o444)


def _draw_histograms(connection: duckdb.DuckDBPyConnection) -> None:
    """Startups by bucket: of many (the first half) and of a few."""
    buckets = ", ".join(
        f"CASE WHEN n < {HISTOGRAMS // 2} THEN (exp(-pow(({i} - 38 - n % 7) / 6.0, 2)) * (9 + n))::BIGINT "
        f"ELSE ({i} = 26 + n % 24)::BIGINT END"
        for i in range(1, STARTUP_BUCKETS + 1)
    )
    connection.execute(
        f"CREATE TEMP TABLE histograms AS SELECT n::BIGINT AS kept, [{buckets}] AS h FROM range({HISTOGRAMS}) r(n)"
    )


def _any_of(values: tuple[str, ...], number: str) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    return f"([{listed}])[1 + ({number}) % {len(values)}]"


def _sessions(first: date, until: date, count: int) -> str:
    """Rows of silver.sessions: `a`, `b`, `c` are draws of a session, `i` its number."""
    step_us = (until - first).days * 86_400_000_000 // count
    rare = "b % 1000"
    drawn = {
        "session_id": "printf('%016x', a)", "is_derived_id": "false", "user_id": "'u' || (b % 6000000)::VARCHAR",
        "content_id": f"'title-' || (pow((c % 100000) / 100000.0, 2) * {TITLES})::INTEGER::VARCHAR",
        "device_type": _any_of(DEVICES, "a % 7"), "country": _any_of(COUNTRIES, "sqrt(b % 144)::INTEGER"),
        "region": "'r' || (b % 40)::VARCHAR", "app_version": _any_of(VERSIONS, "a // 7 % 11"),
        "player_version": "'p' || (a % 3)::VARCHAR", "cdn": _any_of(CDNS, "c % 5"),
        "connection_type": _any_of(("wifi", "ethernet", "cellular"), "c % 4"), "is_live": "a % 9 = 0",
        "started_at": "began", "ended_at": "began + to_milliseconds(60000 + watched)",
        "end_reason": f"CASE WHEN {rare} < 30 THEN 'timeout' WHEN {rare} < 42 THEN 'error' ELSE 'stop' END",
        "is_attempt": "true", "is_started": f"{rare} > 8", "starting_ms": "500 + a % 2400",
        "startup_ms": f"CASE WHEN {rare} > 8 THEN 500 + a % 2400 END",
        "startup_bucket": f"CASE WHEN {rare} > 8 THEN (4 * log2(500 + a % 2400))::INTEGER END",
        "watched_ms": "watched", "playing_ms": "watched - stalled", "media_ms": "watched - stalled",
        "stall_count": "stalled // 1500", "stall_ms": "stalled", "seek_count": "a % 3", "seeking_ms": "a % 3 * 800",
        "pause_count": "b % 2", "paused_ms": "b % 2 * 30000", "bitrate_switch_count": "c % 6",
        "bits_played": "watched * (1200 + c % 9000)", "bitrate_media_ms": "watched - stalled",
        "average_bitrate_kbps": "1200 + c % 9000", "max_position_ms": "watched", "end_position_ms": "watched",
        "duration_ms": "2700000 + c % 40 * 60000", "dropped_frames": "c % 20", "ad_count": "a % 3",
        "ad_ms": "a % 3 * 15000", "error_code": f"CASE WHEN {rare} < 12 THEN 'E' || ({rare})::VARCHAR END",
        "is_start_failure": f"{rare} < 4", "is_playback_failure": f"{rare} BETWEEN 4 AND 8",
        "is_business_failure": "false", "is_exit_before_start": f"{rare} = 8", "event_count": "8 + watched // 30000",
        "missing_event_count": f"({rare} = 77)::BIGINT", "expected_event_count": "8 + watched // 30000",
        "first_received_at": "began", "last_received_at": "began + to_milliseconds(61000 + watched)",
        "start_date": "began::DATE",
    }  # fmt: skip
    zero = {"BIGINT": "0::BIGINT"}
    columns = ", ".join(
        f"({drawn[name]})::{kind} AS {name}" if name in drawn else f"{zero.get(kind, f'NULL::{kind}')} AS {name}"
        for name, kind in SESSION_COLUMNS.items()
    )
    return f"""
        SELECT {columns} FROM (
            SELECT *, (a % 5400000)::BIGINT AS watched,
                   CASE WHEN c % 10 < 3 THEN (c % 97 * (a % 5400000) // 2000)::BIGINT ELSE 0 END AS stalled
            FROM (
                SELECT TIMESTAMPTZ '{first} 00:00:00+00' + to_microseconds(i * {step_us}) AS began,
                       (hash(i + {first.toordinal()} * 4294967296) >> 1)::BIGINT AS a,
                       (hash(i * 3 + {first.toordinal()} * 4294967296) >> 1)::BIGINT AS b,
                       (hash(i * 7 + {first.toordinal()} * 4294967296) >> 1)::BIGINT AS c
                FROM range({count}) r(i)
            )
        )
    """


def _parts_of(histogram: str = "h") -> str:
    columns = [f"({_PARTS.get(part, '0')})::BIGINT AS {part}" for part in PARTS]
    return ", ".join([*columns, f"{histogram} AS startup_histogram"])


def _joined(rows: str, keys: str, *, is_sparse: str = "false") -> str:
    """`rows` have a number `i`, viewers `w` and attempts `p`; a histogram is drawn for those with attempts."""
    half = HISTOGRAMS // 2
    place = f"CASE WHEN p = 0 THEN NULL WHEN {is_sparse} THEN {half} + i % {half} ELSE i % {half} END"
    return f"""
        SELECT {keys}, {_parts_of("histograms.h")}
        FROM (SELECT *, {place} AS place FROM ({rows})) AS rows LEFT JOIN histograms ON kept = place
    """


def _quality_minute(days: int, first: date) -> str:
    """Rollup by rollup, each minute by minute: everything; country and device; CDN, app version and country; title."""
    by_country, by_cdn = len(COUNTRIES) * len(DEVICES), len(CDNS) * len(VERSIONS) * len(COUNTRIES)
    titles_from = 1 + by_country + by_cdn
    minutes, begin, n, minute = days * 1440, 0, "CASE", "CASE"
    for start, size in ((0, 1), (1, by_country), (1 + by_country, by_cdn), (titles_from, WATCHED_TITLES)):
        end = begin + minutes * size
        n += f" WHEN i < {end} THEN {start} + (i - {begin}) % {size}"
        minute += f" WHEN i < {end} THEN (i - {begin}) // {size}"
        begin = end
    rows = f"""
        SELECT i, n, m, TIMESTAMPTZ '{first} 00:00:00+00' + to_minutes(m::BIGINT) AS minute,
               CASE WHEN n = 0 THEN 0 WHEN n < {1 + by_country} THEN 1 WHEN n < {titles_from} THEN 2 ELSE 3 END AS kind,
               CASE WHEN n = 0 THEN 20000 WHEN n < {1 + by_country} THEN 550 WHEN n < {titles_from} THEN 110 ELSE 25 END
                 * (75 + hash(i) % 50)::BIGINT // 100 AS w,
               CASE WHEN n < {titles_from} THEN 1 + (hash(i) % 7)::BIGINT ELSE (hash(i * 3) % 5 < 2)::BIGINT END AS p
        FROM (SELECT i, {n} END AS n, {minute} END AS m FROM range({begin}) r(i))
    """
    country = _any_of(COUNTRIES, f"CASE kind WHEN 1 THEN n - 1 ELSE n - {1 + by_country} END")
    keys = f"""
        minute::DATE AS play_date, ['total', 'country_device', 'cdn_app_country', 'title'][1 + kind] AS rollup, minute,
        CASE WHEN kind = 3 THEN 'title-' || ((n - {titles_from}) * 2 + hash(n + m // 60) % 2)::VARCHAR END
          AS content_id,
        CASE WHEN kind IN (1, 2) THEN {country} END AS country,
        CASE WHEN kind = 1 THEN {_any_of(DEVICES, f"(n - 1) // {len(COUNTRIES)}")} END AS device_type,
        CASE WHEN kind = 2 THEN {_any_of(CDNS, f"(n - {1 + by_country}) // {len(COUNTRIES)}")} END AS cdn,
        CASE WHEN kind = 2
          THEN {_any_of(VERSIONS, f"(n - {1 + by_country}) // {len(COUNTRIES) * len(CDNS)}")} END AS app_version
    """
    return _joined(rows, keys, is_sparse="kind = 3")


def _quality_hourly(days: int, first: date) -> str:
    each = len(COUNTRIES) * len(DEVICES) * len(CDNS) * len(VERSIONS)
    rows = f"""
        SELECT i, i % {each} AS n, TIMESTAMPTZ '{first} 00:00:00+00' + to_hours((i // {each})::BIGINT) AS hour,
               1800 + (hash(i) % 900)::BIGINT AS w, 80 + (hash(i) % 30)::BIGINT AS p FROM range({days * 24 * each}) r(i)
    """
    keys = f"""
        hour::DATE AS play_date, hour, {_any_of(COUNTRIES, "n")} AS country,
        {_any_of(DEVICES, f"n // {len(COUNTRIES)}")} AS device_type,
        {_any_of(CDNS, f"n // {len(COUNTRIES) * len(DEVICES)}")} AS cdn,
        {_any_of(VERSIONS, f"n // {len(COUNTRIES) * len(DEVICES) * len(CDNS)}")} AS app_version
    """
    return _joined(rows, keys)


def _title_daily(days: int, first: date) -> str:
    rows = f"""
        SELECT i, DATE '{first}' + (i // {TITLES})::INTEGER AS play_date,
               'title-' || (i % {TITLES})::VARCHAR AS content_id,
               20000 + (hash(i) % 9000)::BIGINT AS w, 500 + (hash(i) % 90)::BIGINT AS p FROM range({days * TITLES}) r(i)
    """
    keys = "play_date, content_id, p AS sessions, p // 3 AS completed_sessions, p * 2 AS seeks, p * 30000 AS ad_ms"
    return _joined(rows, keys)


def _title_retention(days: int, first: date) -> str:
    return f"""
        SELECT DATE '{first}' + (i // {TITLES * 100})::INTEGER AS play_date,
               'title-' || (i // 100 % {TITLES})::VARCHAR AS content_id, (i % 100)::INTEGER AS position_percent,
               (hash(i) % 12)::BIGINT AS furthest_plays, (hash(i) % 12)::BIGINT AS left_plays
        FROM range({days * TITLES * 100}) r(i)
    """


_GOLD: dict[str, Callable[[int, date], str]] = {
    "quality_minute": _quality_minute,
    "quality_hourly": _quality_hourly,
    "title_daily": _title_daily,
    "title_retention": _title_retention,
}
"""Table → its SELECT for so many days from one on. Those that no page reads, and that are small, are left out."""
