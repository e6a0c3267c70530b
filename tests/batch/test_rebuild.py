"""Definitions that change: `playlake rebuild` makes silver and gold anew, and the ledger says what that changed.

Long, as all that needs a Spark server of its own.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from batch import run
from batch.gold import stage as gold
from batch.history import columns_of, version
from batch.publish import publish
from batch.spark import spark_session
from infra.settings import Settings
from schemas.progress import progress
from schemas.registry import CMCD, PLAYBACK
from schemas.stage import Manifest, StagedLayer
from schemas.tables import SILVER
from schemas.tables.restatements import RESTATEMENTS
from schemas.tables.sessions import SESSIONS
from streams.bronze_rows import Decoder
from streams.message import Message
from tests.batch.world import (
    approve,
    cmcd,
    expected_events,
    expected_sessions,
    pass_through,
    playback,
    read,
    write_bronze,
)

pytestmark = [pytest.mark.spark, pytest.mark.long, pytest.mark.timeout(900)]

SENT = playback(seed=11, viewers=9)
REPORTED = cmcd(seed=11, players=3)
TITLES = "gold.title_daily"


def anew(lake: Settings, layer: StagedLayer) -> Manifest:
    manifest = run.stage(lake, layer, is_whole=True)
    assert manifest is not None
    approve(lake, manifest)
    return manifest


def change_titles(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """title_daily gains `quick_sessions`, loses `seeks`, and `ad_ms` becomes a text."""
    shutil.copytree(gold.FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    file = folder / "title_daily.sql"
    text = file.read_text()
    for old, new in (
        ("  sum(if(place = 0, seek_count, 0)) AS seeks,  -- seeks\n", ""),
        ("sum(if(place = 0, ad_ms, 0)) AS ad_ms,  -- time in ads, ms", "'none' AS ad_ms,  -- of another type now"),
        (
            "  $parts\n",
            "  count_if(place = 0 AND s.playing_ms < 60000) AS quick_sessions,  -- less than a minute\n  $parts\n",
        ),
    ):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    monkeypatch.setattr(gold, "FOLDER", folder)


def lose_a_column(lake: Settings, column: str) -> None:
    """A table of silver as it was before its contract had gained a column."""
    path = SESSIONS.path(lake.lake_root)
    with spark_session(lake) as spark:
        rows = spark.read.format("delta").load(path).drop(column)
        writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.partitionBy(f"{SESSIONS.partition_by}").save(path)


def test_a_rebuild_makes_everything_anew_by_the_definitions_of_today(
    lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bronze(lake, SENT)
    write_bronze(lake, REPORTED, CMCD)
    pass_through(lake, "silver")
    approve(lake, _staged(lake, "gold"))
    publish(lake)
    before = read(lake, TITLES)
    lose_a_column(lake, "is_started")
    done = progress(SESSIONS.path(lake.lake_root))

    # Sessions without an id are split at another gap; gold has other columns.
    today = replace(lake, session_timeout_s=240)
    change_titles(tmp_path / "gold", monkeypatch)
    was = {name: version(f"{lake.lake_root}/gold/{name}") for name in gold.gold_tables()}
    anew(today, "silver")
    run.commit(today, "silver")
    anew(today, "gold")
    assert {name: version(f"{lake.lake_root}/gold/{name}") for name in gold.gold_tables()} == was, "nobody saw half"
    _, restated = publish(today)

    sessions = read(today, "silver.sessions")
    assert sessions == expected_sessions(today, SENT, REPORTED)
    assert len(sessions) > sum(row["sessions"] for row in before)
    now = progress(SESSIONS.path(lake.lake_root))
    assert done is not None and now is not None
    assert (now.complete, now.now) == (done.complete, done.now), "the same records"
    assert "is_started" in (columns_of(SESSIONS.path(lake.lake_root)) or ())

    after = read(today, TITLES)
    columns = {field.name: field for field in DeltaTable(f"{lake.lake_root}/gold/title_daily").schema().fields}
    assert columns.keys() - before[0].keys() == {"quick_sessions"}
    assert before[0].keys() - columns.keys() == {"seeks"}
    assert columns["ad_ms"].type.type == "string"  # type: ignore[union-attr]
    assert columns["quick_sessions"].metadata["comment"] == "less than a minute"
    assert DeltaTable(f"{lake.lake_root}/gold/title_daily").metadata().partition_columns == ["play_date"]
    assert sum(row["sessions"] for row in after) == len(sessions)

    told = {
        (row["play_date"], row["metric"]): (row["old_value"], row["new_value"], row["records"], row["events"])
        for row in restated
        if row["table_name"] == TITLES
    }
    assert read(lake, RESTATEMENTS.full_name) == sorted(restated, key=repr)
    for day, count in _sums(after, "sessions").items():
        assert told[day, "sessions"] == (_sums(before, "sessions")[day], count, 0, 0), "no event is responsible"
        assert told[day, "quick_sessions"][0] is None
        assert told[day, "seeks"][1] is None
    assert run.stage(today, "silver") is None
    assert run.stage(today, "gold") is None

    # Late events go on from there as if the tables had always been so.
    late = [replace(one, at=one.at + 10_000, received_ms=one.received_ms + 1) for one in playback(seed=12, viewers=3)]
    write_bronze(today, late)
    pass_through(today, "silver")
    pass_through(today, "gold")
    assert read(today, "silver.sessions") == expected_sessions(today, [*SENT, *late], REPORTED)
    assert sum(row["sessions"] for row in read(today, TITLES)) == len(read(today, "silver.sessions"))


def test_a_rebuild_that_changes_no_definition_changes_nothing(lake: Settings) -> None:
    """Of a lake that has come about piece by piece; every silver table of events has its rows again, each once."""
    half = len(SENT) // 2
    parts = (SENT[half:], SENT[:half])
    for part in parts:
        write_bronze(lake, part)
        pass_through(lake, "silver")
        approve(lake, _staged(lake, "gold"))
        _, restated = publish(lake)
    # Late records, of days that had been published: the ledger says how many, and how many were no copies.
    records, known, had = (_days(rows) for rows in (_rows(parts[1]), _events(SENT), _events(parts[0])))
    responsible = {row["play_date"]: (row["records"], row["events"]) for row in restated}
    assert responsible == {day: (records[day], known[day] - had[day]) for day in had}
    tables = [f"gold.{name}" for name in gold.gold_tables() if name not in ("titles", "ads_daily")]
    tables += ["silver.sessions", "silver.playback_events"]
    before = {table: read(lake, table) for table in tables}
    manifest = anew(lake, "silver")
    assert manifest.tables["playback_events"].rows == len(before["silver.playback_events"])
    run.commit(lake, "silver")
    again = run.commit(lake, "silver")  # a crash after the commit: once more is once
    assert again[1] == {name: version(SILVER[name].path(lake.lake_root)) for name in manifest.tables}
    anew(lake, "gold")
    assert publish(lake)[1] == []
    assert {table: read(lake, table) for table in tables} == before


def _rows(sent: list[Message]) -> list[dict[str, Any]]:
    return Decoder(PLAYBACK).decode(sent).rows.select(["occurred_at"]).to_pylist()


def _events(sent: list[Message]) -> list[dict[str, Any]]:
    return list(expected_events(sent).values())


def _days(rows: list[dict[str, Any]]) -> Counter[Any]:
    return Counter(row["occurred_at"].date() for row in rows)


def _staged(lake: Settings, layer: StagedLayer) -> Manifest:
    manifest = run.stage(lake, layer)
    assert manifest is not None
    return manifest


def _sums(rows: list[dict[str, Any]], part: str) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for row in rows:
        found[row["play_date"]] += row[part]
    return found
