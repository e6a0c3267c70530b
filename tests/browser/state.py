"""A believable warehouse to look at: eight published days, live minutes since the cut-over, one incident going on.

Only additive parts are made up here; every number on the page is computed from them by the macros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from infra.disk import replace_file
from schemas.alert import Alert, topic_key
from schemas.publication import write_record
from schemas.quality import DIMENSIONS, PARTS, STARTUP_BUCKETS
from warehouse import attach
from warehouse.live_alerts import LiveAlerts
from warehouse.publication import CURRENT, LIVE, Publication

Array = np.ndarray[Any, np.dtype[Any]]

TITLES = [
    "the-long-night-s02e04", "harbour-lights", "kitchen-wars-s05e11", "orbit", "copper-river-s01e01", "the-understudy",
    "match-of-the-day", "small-hours-s03e02", "paper-planes", "northbound", "the-archivist-s01e06", "salt-and-iron",
    "second-sunrise", "the-quiet-coast", "field-notes", "glasshouse",
]  # fmt: skip
COUNTRIES = {"US": 0.34, "BR": 0.17, "DE": 0.13, "GB": 0.1, "FR": 0.08, "ES": 0.07, "MX": 0.06, "PL": 0.05}
DEVICES = {"smart_tv": 0.52, "mobile": 0.31, "web": 0.17}
MINUTE_S = 60


@dataclass
class State:
    """The warehouse's folder at one moment. `publish` and `advance` write what batch and the server would."""

    folder: Path
    at: datetime
    viewers: float = 4200.0
    live_minutes: int = 40
    seed: int = 7
    events: int = 18_400_000
    alerts: list[Alert] = field(default_factory=list)
    cutover: datetime = field(init=False)
    _rows: pa.Table | None = field(init=False, default=None)
    _rows_of: tuple[datetime, datetime] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cutover = minute_of(self.at) - timedelta(minutes=self.live_minutes)

    def publish(self, days: float = 8.0, publish_id: str = "20261121T1200-7f3a") -> None:
        """A published file up to the cut-over minute, and the record that names it."""
        name = f"gold-{publish_id}.duckdb"
        minutes = seconds_range(self.cutover - timedelta(days=days), self.cutover)
        with duckdb.connect(str(self.folder / name)) as con:
            con.execute("SET TimeZone = 'UTC'; CREATE SCHEMA gold; CREATE SCHEMA silver")
            con.execute(attach.create_table("gold.quality_minute", attach.QUALITY_COLUMNS))
            con.execute(attach.create_table("main.meta", attach.META_COLUMNS))
            insert(con, "gold.quality_minute", self.total(minutes))
            con.execute(
                "INSERT INTO meta VALUES (?, ?, ?, MAP {})", [publish_id, self.at - timedelta(minutes=9), self.cutover]
            )
        record = Publication(
            publish_id=publish_id,
            published_at=self.at - timedelta(minutes=9),
            cutover_minute=self.cutover,
            versions={"gold.quality_minute": 3},
            files=[name],
        )
        write_record(self.folder / CURRENT, record)

    def write_live(self, partitions: int = 4) -> None:
        """The live file as of `at`."""
        rows = self.live_rows()

        def write(path: Path) -> None:
            with duckdb.connect(str(path)) as con:
                con.execute("SET TimeZone = 'UTC'")
                catalog = con.execute("SELECT current_database()").fetchall()[0][0]
                attach.create_live_tables(con, f'"{catalog}"')
                insert(con, "quality_minute", rows)
                insert(con, "quality_second", self.seconds())
                watching = self.watching(self.at.timestamp())
                for partition in range(partitions):
                    each = [round(watching / partitions), round(watching * 1.2 / partitions), self.events // partitions]
                    fates = (212, 96, 14 if partition == 2 else 0, each[2], each[2])
                    con.execute(
                        "INSERT INTO now VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        ["user.playback.events", partition, self.at, *each, *fates],
                    )
                con.execute("INSERT INTO meta VALUES (?, ?, NULL, NULL)", [self.at, self.cutover])
                told = LiveAlerts()
                for alert in self.alerts:
                    told.apply(topic_key(alert), msgspec.json.encode(alert))
                insert(con, "alerts", told.table())

        replace_file(self.folder / LIVE, write)

    def advance(self, seconds: float, to: datetime | None = None) -> None:
        """Some time goes by; the live file follows."""
        self.at = to or self.at + timedelta(seconds=seconds)
        self.events += round(self.watching(self.at.timestamp()) * 0.11 * seconds)
        self.write_live()

    def live_rows(self) -> pa.Table:
        """Minutes since the cut-over, drawn once a minute; the running one holds what had passed of it by then."""
        drawn_for = (self.cutover, minute_of(self.at))
        if self._rows is None or self._rows_of != drawn_for:
            minutes = seconds_range(self.cutover, minute_of(self.at) + timedelta(seconds=1))
            running = (self.at - minute_of(self.at)).total_seconds() / MINUTE_S
            lately = minutes[-12:]
            made = (*self.titles(lately, running), *self.cohorts(lately, running), *self.deliveries(lately, running))
            tables = [self.total(minutes, running), *made]
            self._rows, self._rows_of = pa.concat_tables(tables), drawn_for
        return self._rows

    def seconds(self) -> pa.Table:
        """The last hour, the running second left out. A second is the same whenever it is looked at."""
        at = np.arange(int(self.at.timestamp()) - 3_600, int(self.at.timestamp()))
        viewers = self.watching(at)
        noise = np.random.default_rng(self.seed).random(3_600)[at % 3_600]
        plays = (viewers * 0.002 * noise).astype("int64")
        sums = dict.fromkeys(PARTS, np.zeros(len(at), "int64"))
        sums |= {"plays": plays, "start_failures": plays // 5, "playback_failures": plays // 7}
        stamps = pa.array((at * 1_000_000).astype("int64"), pa.timestamp("us", "UTC"))
        return pa.table({"second": stamps, "concurrent": viewers.astype("int64"), **sums})

    def watching(self, at: float | Array) -> Any:
        """Viewers at a moment: an evening peak, slow waves, not quite random."""
        day = np.sin((np.asarray(at) / 86_400 - 0.42) * 2 * math.pi)
        waves = 0.03 * np.sin(np.asarray(at) / 1_300) + 0.014 * np.sin(np.asarray(at) / 217)
        return self.viewers * (1 + 0.45 * day + waves)

    def incident(self, minutes: Array) -> Array:
        """How much of the incident is there: none until 25 minutes ago, then more and more."""
        since = (minutes - (self.at.timestamp() - 25 * MINUTE_S)) / (8 * MINUTE_S)
        return np.clip(since, 0, 1)

    def total(self, minutes: Array, running: float = 1.0) -> pa.Table:
        viewers = self.watching(minutes)
        stalled = 0.0042 + 0.0012 * np.sin(minutes / 5_000) + 0.0095 * self.incident(minutes)
        return self.rows("total", minutes, (viewers, stalled, 900 + 500 * self.incident(minutes)), running)

    def titles(self, minutes: Array, running: float) -> list[pa.Table]:
        weights = 1 / np.arange(1, len(TITLES) + 1) ** 0.8
        made = []
        for i, (title, weight) in enumerate(zip(TITLES, weights / weights.sum(), strict=True)):
            drift = 1 + 0.035 * np.sin(i * 1.7 + (minutes - minutes[-1]) / 400)
            stalled = np.full(len(minutes), 0.004 + 0.0016 * (i % 4)) + (0.03 if title == "orbit" else 0)
            viewers = self.watching(minutes) * weight * drift
            made.append(self.rows("title", minutes, (viewers, stalled, 900), running, content_id=title))
        return made

    def cohorts(self, minutes: Array, running: float) -> list[pa.Table]:
        made = []
        for i, (country, many) in enumerate(COUNTRIES.items()):
            for j, (device, most) in enumerate(DEVICES.items()):
                bad = 0.041 * self.incident(minutes) if (country, device) == ("BR", "smart_tv") else 0.0
                stalled = np.full(len(minutes), 0.003 + 0.0014 * ((i * 3 + j * 5) % 6)) + bad
                viewers = self.watching(minutes) * many * most
                place = {"country": country, "device_type": device}
                made.append(self.rows("country_device", minutes, (viewers, stalled, 900), running, **place))
        return made

    def deliveries(self, minutes: Array, running: float) -> list[pa.Table]:
        """In Brazil one CDN is what is wrong."""
        made = []
        for (country, many), cdn, app in product(COUNTRIES.items(), ("north", "east"), ("8.4.1", "8.4.0")):
            bad = 0.06 * self.incident(minutes) if (country, cdn) == ("BR", "north") else 0.0
            viewers = self.watching(minutes) * many / 4
            place = {"country": country, "cdn": cdn, "app_version": app}
            made.append(self.rows("cdn_app_country", minutes, (viewers, 0.004 + bad, 900), running, **place))
        return made

    def rows(
        self, rollup: str, minutes: Array, levels: tuple[Any, Any, Any], running: float, **dimensions: str
    ) -> pa.Table:
        """Parts that give about these levels: viewers, stalled share, median startup in ms."""
        viewers, stalled, startup_ms = levels
        rng = np.random.default_rng([self.seed, hash_of(rollup, *dimensions.values())])
        length = np.ones(len(minutes))
        if running < 1:
            length[-1] = running
        noise = 1 + rng.normal(0, 0.012, len(minutes))
        watched = np.asarray(viewers) * 60_000 * length * noise
        stall = watched * stalled * (1 + rng.normal(0, 0.06, len(minutes))).clip(0.2)
        plays = rng.poisson(np.asarray(viewers) * 0.06 * length)
        failures = rng.binomial(plays, 0.006)
        first = plays - failures - rng.binomial(plays - failures, 0.015)
        sums = {
            "events": watched / 9_000, "plays": plays, "starts": first, "first_frames": first,
            "start_failures": failures, "playback_failures": rng.binomial(plays, 0.004),
            "business_failures": rng.binomial(plays, 0.001),
            "exits_before_start": plays - failures - first,
            "stalls": stall / 2_600, "stall_ms": stall, "playing_ms": watched - stall, "watched_ms": watched,
            "media_ms": watched - stall, "bits_played": (watched - stall) * 5_400,
            "bitrate_media_ms": watched - stall, "startup_ms": first * startup_ms,
            "active_sessions": np.asarray(viewers) * 1.05, "bitrate_switches": watched / 40_000,
            "dropped_frames": watched / 30_000, "live_latency_sum_ms": watched / 2,
            "live_latency_samples": watched / 9_000, "ad_starts": plays / 4, "ad_errors": plays / 90,
        }  # fmt: skip
        assert list(sums) == list(PARTS)
        return pa.table(
            {
                "rollup": [rollup] * len(minutes),
                "minute": pa.array((minutes * 1_000_000).astype("int64"), pa.timestamp("us", "UTC")),
                **{name: pa.array([dimensions.get(name)] * len(minutes), pa.string()) for name in DIMENSIONS},
                **{name: pa.array(np.asarray(value).astype("int64")) for name, value in sums.items()},
                "startup_histogram": histogram(rng, first, np.broadcast_to(startup_ms, len(minutes))),
            }
        )


DIMENSION_NAMES = [
    name for name in attach.QUALITY_COLUMNS if name not in {"rollup", "minute", *PARTS, "startup_histogram"}
]


def histogram(rng: np.random.Generator, counts: Array, median_ms: Array) -> pa.Array:
    """Startups in log buckets around a median."""
    at = (np.arange(STARTUP_BUCKETS) + 0.5)[None, :] - 4 * np.log2(median_ms)[:, None]
    density = np.exp(-0.5 * (at / 3.4) ** 2) + 0.02 * np.exp(-0.5 * ((at - 11) / 3) ** 2)
    drawn = rng.multinomial(counts, density / density.sum(axis=1, keepdims=True))
    offsets = pa.array(np.arange(len(drawn) + 1, dtype=np.int32) * STARTUP_BUCKETS)
    return pa.ListArray.from_arrays(offsets, pa.array(drawn.astype("int64").reshape(-1)))


def insert(con: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    con.register("rows_to_insert", rows)
    con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM rows_to_insert")
    con.unregister("rows_to_insert")


def seconds_range(start: datetime, stop: datetime) -> Array:
    return np.arange(start.timestamp(), stop.timestamp(), MINUTE_S).astype("int64")


def minute_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def hash_of(*words: str) -> int:
    """The same on every run, unlike hash()."""
    return sum((i + 1) * byte for i, byte in enumerate("|".join(words).encode()))
