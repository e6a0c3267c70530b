"""Bronze → silver → gold on real Spark and Delta: whatever way the events come in, the same tables come out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from batch import run
from batch.gold.differences import DifferentDays
from batch.gold.stage import gold_tables
from batch.history import version
from batch.merge import merge
from batch.publish import publish
from batch.silver import fold
from batch.spark import spark_session
from batch.stage import Days
from infra.errors import CheckFailed, StageRefused
from infra.settings import Settings
from schemas import stage
from schemas.fact import from_ms, to_ms
from schemas.metrics.macros import session_columns, view_part
from schemas.metrics.parts import AD_PARTS, VIEW_PARTS
from schemas.publication import Publish
from schemas.registry import CMCD
from schemas.stage import StagedLayer
from streams.message import Message
from tests.batch.world import (
    NO_SPARK,
    START,
    TOPICS,
    approve,
    assert_ledger_adds_up,
    cmcd,
    every_kind,
    expected_events,
    expected_sessions,
    impressions,
    numbered,
    pass_through,
    playback,
    read,
    wire,
    write_bronze,
)  # fmt: skip
from tests.conftest import isolated_settings

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

UI, CATALOG, ADS = TOPICS["user.ui.events"], TOPICS["catalog.titles"], TOPICS["ads.events"]
GOLD = (
    "gold.quality_minute",
    "gold.quality_hourly",
    "gold.title_daily",
    "gold.title_retention",
    "gold.audience_daily",
    "gold.views_daily",
)
OTHERS = ("gold.ads_daily", "gold.titles")
"""What is not made of sessions."""
ADDITIVE = [table.name for table in gold_tables().values() if table.additive]
SENT = playback(seed=7, viewers=24)
REPORTED = cmcd(seed=7, players=8)


@dataclass(frozen=True)
class Whole:
    """A lake that got everything at once."""

    lake: Settings
    sent: list[Message]
    record: Publish
    restated: list[dict[str, Any]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, spark_server: Settings) -> Whole:
    """As if it was much: copies are looked for by hashes. The other lakes have few records."""
    lake = on_server(tmp_path_factory.mktemp("whole"), spark_server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batch.silver.copies.FEW_MOVED", 0)
        return Whole(lake, SENT, *_fill(lake))


def _fill(lake: Settings) -> tuple[Publish, list[dict[str, Any]]]:
    write_bronze(lake, SENT)
    write_bronze(lake, impressions(10), UI)
    write_bronze(lake, every_kind(CATALOG), CATALOG)
    write_bronze(lake, every_kind(ADS), ADS)
    write_bronze(lake, REPORTED, CMCD)
    pass_through(lake, "silver")
    manifest = run.stage(lake, "gold")
    assert manifest is not None
    approve(lake, manifest)
    return publish(lake)


def on_server(home: Path, spark_server: Settings) -> Settings:
    return replace(isolated_settings(home), spark_remote=spark_server.spark_url)


def test_each_event_is_in_silver_once_and_the_first_copy_of_it(whole: Whole) -> None:
    rows = read(whole.lake, "silver.playback_events")
    expected = expected_events(whole.sent)
    assert len(whole.sent) > len(expected)  # there are duplicates to lose
    assert {row["event_id"]: (row["partition"], row["offset"]) for row in rows} == {
        name: (row["partition"], row["offset"]) for name, row in expected.items()
    }
    assert len(rows) == len(expected)
    assert len(read(whole.lake, "silver.ui_events")) == 10


def test_an_event_without_a_viewer_reaches_silver_with_all_its_fields(whole: Whole) -> None:
    expected = expected_events(every_kind(CATALOG), CATALOG)
    rows = {row.pop("event_id"): row for row in read(whole.lake, f"silver.{CATALOG.table}")}
    assert rows.keys() == expected.keys()
    for event_id, row in rows.items():
        assert row.pop("event_date") == START.date()
        assert row == {name: expected[event_id][name] for name in row}


def test_gold_titles_is_the_newest_state_of_each_whatever_order_it_came_in(lake: Settings) -> None:
    def told(minute: int, content_id: str, title: str | None, kind: str = "film") -> bytes:
        event = wire(START + timedelta(minutes=minute), "title_upsert" if title else "title_retraction")
        state = {"title": title, "kind": kind, "genres": ["drama"]} if title else {"reason": "licence_ended"}
        return msgspec.json.encode(event | {"contentId": content_id} | state)

    def arrive(first: int, *raws: bytes) -> None:
        received = to_ms(START + timedelta(hours=1))
        sent = numbered([(received + first + n, 0, raw) for n, raw in enumerate(raws)], CATALOG.name)
        write_bronze(lake, [replace(one, at=first + one.at) for one in sent], CATALOG)
        pass_through(lake, "silver")
        pass_through(lake, "gold")

    def titles() -> dict[str, tuple[Any, ...]]:
        rows = read(lake, "gold.titles")
        return {row["content_id"]: (row["title"], row["genres"], row["is_available"]) for row in rows}

    arrive(0, told(5, "a", "A, renamed"), told(1, "a", "A"), told(1, "b", "B"), told(9, "c", None))
    assert titles() == {"a": ("A, renamed", ["drama"], True), "b": ("B", ["drama"], True), "c": (None, None, False)}
    arrive(10, told(20, "b", None), told(2, "c", "C"))
    assert titles() == {
        "a": ("A, renamed", ["drama"], True),
        "b": ("B", ["drama"], False),
        "c": ("C", ["drama"], False),
    }
    assert run.stage(lake, "gold") is None


def test_spark_folds_as_the_plain_fold_does(whole: Whole) -> None:
    assert read(whole.lake, "silver.sessions") == expected_sessions(whole.lake, whole.sent, REPORTED)
    assert {f"p{n}" for n in range(1, 8)} <= {row["session_id"] for row in read(whole.lake, "silver.sessions")}


def test_gold_adds_up_to_the_sessions(whole: Whole) -> None:
    sessions = read(whole.lake, "silver.sessions")
    minutes = read(whole.lake, "gold.quality_minute")
    for part in ("watched_ms", "stall_ms", "bits_played"):
        of_sessions = sum(row[part] for row in sessions)
        assert of_sessions > 0
        for rollup in ("total", "title", "country_device", "cdn_app_country"):
            assert sum(row[part] for row in minutes if row["rollup"] == rollup) == of_sessions
        for table in ("gold.quality_hourly", "gold.title_daily"):
            assert sum(row[part] for row in read(whole.lake, table)) == of_sessions
    startups = sum(sum(row["startup_histogram"] or []) for row in minutes if row["rollup"] == "total")
    assert startups == sum(row["startup_ms"] is not None for row in sessions) > 0
    assert sum(row["sessions"] for row in read(whole.lake, "gold.title_daily")) == len(sessions)
    audience = read(whole.lake, "gold.audience_daily")
    assert sum(row["watched_ms"] for row in audience) == sum(row["watched_ms"] for row in sessions)
    merged = [max(ranks) for ranks in zip(*(row["viewer_registers"] for row in audience), strict=True)]
    assert len(merged) == 1024
    assert sum(rank > 0 for rank in merged) == len({row["user_id"] or row["session_id"] for row in sessions})


def test_whole_sessions_are_under_their_first_and_their_last_day(whole: Whole) -> None:
    """And every score, condition and part of them is in Spark what it is in DuckDB."""
    sessions = DeltaTable(f"{whole.lake.lake_root}/silver/sessions").to_pyarrow_table()
    parts = ", ".join(f"sum({view_part(part)})::BIGINT AS {part}" for part in VIEW_PARTS)
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("sessions", sessions)
        query = f"""
            SELECT bucketed_by, CASE bucketed_by WHEN 'start' THEN start_date ELSE ended_at::DATE END AS play_date,
                   country, device_type, cdn, app_version, is_live, {parts}
            FROM (SELECT *, {session_columns()} FROM sessions), (VALUES ('start'), ('end')) AS buckets(bucketed_by)
            WHERE bucketed_by = 'start' OR end_reason <> 'open' GROUP BY ALL
        """
        expected = con.execute(query).to_arrow_table().to_pylist()
    found = read(whole.lake, "gold.views_daily")
    histograms = [row.pop("startup_histogram") or [] for row in found]
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    days = {(row["bucketed_by"], row["play_date"]) for row in found}
    assert len(days) == 4, "the sessions span a midnight"
    assert sum(map(sum, histograms)) == sum(row["startup_score_count"] for row in found) > 0


def test_ads_are_counted_by_showing(whole: Whole) -> None:
    rows = read(whole.lake, "gold.ads_daily")
    untold = dict.fromkeys(("ad_midpoints", "ad_third_quartiles"), 0)
    assert {part: sum(row[part] for row in rows) for part in AD_PARTS} == dict.fromkeys(AD_PARTS, 1) | untold


@pytest.mark.parametrize("layer", ["silver", "gold"])
def test_the_real_audit_finds_that_what_is_staged_keeps_its_own_checks(whole: Whole, layer: StagedLayer) -> None:
    from warehouse.quality.audit import audit_stage

    manifest = stage.read_manifest(whole.lake.lake_root, layer)
    assert manifest is not None
    found, _ = audit_stage(whole.lake, manifest)
    assert {table.table for table in found.tables} == {f"{layer}.{name}" for name in manifest.tables}
    assert found.state == "passed", found
    assert stage.require_audit(whole.lake.lake_root, manifest).passed


def test_the_publish_record_names_versions_and_the_cutover_minute(whole: Whole) -> None:
    # The catalogue has had nothing new for longer: it is no table of minutes.
    assert max(one.received_ms for one in every_kind(CATALOG)) < max(one.received_ms for one in whole.sent)
    now = from_ms(max(one.received_ms for one in (*whole.sent, *REPORTED)))
    assert whole.record.cutover_minute == (now - timedelta(seconds=300)).replace(second=0, microsecond=0)
    assert whole.record.versions.keys() == {*GOLD, *OTHERS, "silver.sessions", "gold.restatements"}
    written = msgspec.json.decode((whole.lake.warehouse / "publish.json").read_bytes())
    assert written["versions"] == whole.record.versions
    assert whole.record.as_of.keys() == {*GOLD, *OTHERS}
    assert {whole.record.as_of[name] for name in GOLD} == {now}
    assert whole.restated == [], "nothing had been published before"


def test_plays_are_under_the_position_that_they_got_to_and_under_the_one_they_left_at(whole: Whole) -> None:
    def percent(position_ms: int, row: dict[str, Any]) -> int:
        return min(99, int(100 * position_ms // row["duration_ms"]))

    expected: Counter[tuple[Any, ...]] = Counter()
    for row in read(whole.lake, "silver.sessions"):
        if row["is_started"] and row["duration_ms"] and row["max_position_ms"] is not None and not row["is_live"]:
            title = (row["start_date"], row["content_id"])
            expected[(*title, percent(row["max_position_ms"], row), "furthest_plays")] += 1
            if row["end_reason"] != "open":
                expected[(*title, percent(row["end_position_ms"], row), "left_plays")] += 1
    found = {
        (row["play_date"], row["content_id"], row["position_percent"], part): row[part]
        for row in read(whole.lake, "gold.title_retention")
        for part in ("furthest_plays", "left_plays")
        if row[part]
    }
    assert found == expected
    assert len({place for _, _, place, _ in found}) > 2


ORDERS = [pytest.param(1, 3, id="1-in-3")] + [
    pytest.param(seed, 2 + seed % 3, marks=pytest.mark.long, id=f"{seed}-in-{2 + seed % 3}") for seed in range(2, 12)
]


@pytest.mark.parametrize(("seed", "pieces"), ORDERS)
def test_any_split_and_any_order_come_to_the_same(
    lake: Settings, whole: Whole, seed: int, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever silver's files are merged, whether silver is made by Spark or, of few records, without, and whether
    gold's days are made whole (at first, where many rows came) or of what changed. The long ones are ten orders, with
    every topic; gold is published in between, and restated."""
    monkeypatch.setattr("batch.merge.AT_LEAST", 1)  # every file is written anew
    monkeypatch.setattr("batch.gold.signed.FEW", 1000 if seed == 1 else 10 * seed)
    days_of_differences: list[list[str]] = []

    def written(days: DifferentDays, folder: str) -> None:
        write(days, folder)
        days_of_differences.append(days.dates)

    write = DifferentDays.write
    monkeypatch.setattr(DifferentDays, "write", written)
    rnd = random.Random(seed)
    sent = list(whole.sent)
    others = {topic: rnd.sample(every_kind(topic), len(every_kind(topic))) for topic in (CATALOG, ADS)}
    is_long = seed > 1
    rnd.shuffle(sent)
    cuts = [0, *sorted(rnd.sample(range(1, len(sent)), pieces - 1)), len(sent)]
    reported = rnd.sample(REPORTED, len(REPORTED))
    half = len(reported) // 2
    for n, (begin, end) in enumerate(pairwise(cuts)):
        write_bronze(lake, sent[begin:end])
        if n in (0, pieces - 1):
            write_bronze(lake, reported[half:] if n else reported[:half], CMCD)
            for topic, events in others.items() if is_long else ():
                write_bronze(lake, events[1:] if n else events[:1], topic)
        is_few = n > 0 and (n + seed) % 2 == 1
        monkeypatch.setattr("batch.silver.few.rows.FEW", len(sent) if is_few else 0)
        assert pass_through(replace(lake, spark_remote=NO_SPARK) if is_few else lake, "silver")
        if n:
            assert pass_through(lake, "gold")
        else:
            early = {row["session_id"] for row in read(lake, "silver.sessions")}
        tidied = {done.table for done in merge(lake) if done.files}
    assert tidied >= {"silver.playback_events", "silver.sessions"}
    # With half of its events a viewing without an id was other sessions: what came later has merged or split them.
    assert early - {row["session_id"] for row in read(lake, "silver.sessions")}
    assert run.stage(lake, "silver") is None
    assert run.stage(lake, "gold") is None
    assert news(lake, "silver.sessions") == []
    made = ("silver.playback_events", "silver.cmcd_reports", "silver.sessions", *GOLD)
    for table in (*made, *OTHERS) if is_long else made:
        assert read(lake, table) == read(whole.lake, table), table
    assert len(days_of_differences) == (pieces - 2) * len(ADDITIVE) or is_long
    assert_ledger_adds_up(lake)


def news(lake: Settings, table: str) -> list[Any]:
    """What the newest version of a table has changed, as Spark tells it."""
    path = f"{lake.lake_root}/{table.replace('.', '/')}"
    with spark_session(lake) as spark:
        feed = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", f"{version(path)}")
        return list(feed.load(path).collect())


def test_workers_load_the_machine_code_that_set_up_has_made(whole: Whole) -> None:
    fold_all = fold.fold_groups(0, whole.lake.session_timeout_s * 1000)

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        from schemas.whole import fold as of_groups
        from schemas.whole import order

        rows = sum(batch.num_rows for batch in fold_all(batches))
        functions: tuple[Any, ...] = (order._sort, of_groups._fold, of_groups._conclude)
        for one in functions:
            loaded, compiled = (sum(counts.values()) for counts in (one.stats.cache_hits, one.stats.cache_misses))
            yield pa.RecordBatch.from_pylist([{"rows": rows, "loaded": loaded, "compiled": compiled}])

    with spark_session(whole.lake) as spark:
        events = spark.read.format("delta").load(f"{whole.lake.lake_root}/silver/playback_events")
        nothing = (f"CAST(NULL AS BIGINT) AS {fold.COPIES}", f"CAST(NULL AS STRING) AS {fold.REPORTED}")
        inputs = events.selectExpr(*fold.INPUT_COLUMNS, *nothing).repartition(1).sortWithinPartitions("group_id")
        found = inputs.mapInArrow(look, "rows BIGINT, loaded BIGINT, compiled BIGINT").collect()
    sessions = len(expected_sessions(whole.lake, whole.sent))
    assert [tuple(row) for row in found] == [(sessions, 1, 0)] * 3


def test_what_is_not_audited_or_overtaken_is_refused_and_the_old_version_stays(whole: Whole) -> None:
    lake = whole.lake
    days = Days(date(2026, 1, 15), date(2026, 1, 16))
    before = {table: read(lake, table) for table in GOLD}
    manifest = run.stage(lake, "gold", days)
    assert manifest is not None
    with pytest.raises(StageRefused, match="needs an audit"):
        run.commit(lake, "gold")
    approve(lake, manifest, "title_daily: never(watched_ms < 0)")
    with pytest.raises(CheckFailed, match=r"title_daily: never\(watched_ms < 0\)"):
        publish(lake)
    assert msgspec.json.decode((lake.warehouse / "publish.json").read_bytes())["publish_id"] != manifest.stage_id
    for name in GOLD:
        assert version(f"{lake.lake_root}/{name.replace('.', '/')}") == whole.record.versions[name]

    # Restated days are the same days, and move no watermark.
    again = run.stage(lake, "gold", days)
    assert again is not None
    approve(lake, again)
    assert publish(lake)[1] == []
    assert {table: read(lake, table) for table in GOLD} == before
    assert run.stage(lake, "gold") is None

    # The first stage is still on disk: its base is gone.
    stage.write_manifest(lake.lake_root, manifest)
    approve(lake, manifest)
    with pytest.raises(StageRefused, match="stage again"):
        publish(lake)


def test_every_reader_of_delta_can_read_what_spark_wrote(whole: Whole) -> None:
    for table in ("silver/sessions", "gold/quality_minute", "staging/silver/sessions"):
        log = Path(whole.lake.lake_root, table, "_delta_log")
        assert not [file for file in log.glob("*.json") if "collate" in file.read_text()], table
