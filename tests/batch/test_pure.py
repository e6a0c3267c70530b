"""What needs no Spark: intervals, verdicts, the cut-over minute, tallies, the SQL files."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from batch.gold.stage import gold_tables, sources_of
from batch.history import Progress, can_follow, has_new_files
from batch.publish import NEVER, cutover_minute
from batch.silver.fold import COPIES, INPUT_COLUMNS, REPORT_INPUT_COLUMNS, groups
from batch.stage import Days, in_dates
from infra.errors import CheckFailed, SettingsError, StageRefused
from infra.settings import Settings
from schemas import stage
from schemas.cmcd.report import report_of, reports_of
from schemas.derive import arrow_schema
from schemas.fact import fact_of, facts_of
from schemas.quality import DIMENSIONS, PARTS, ROLLUPS, STARTUP_BUCKETS
from schemas.registry import CMCD, PLAYBACK
from schemas.stage import Audit, Manifest, StagedTable
from schemas.tables import BRONZE
from streams.bronze_rows import Decoder
from streams.maintain import maintain_table
from tests.batch.world import START, Sent, cmcd, playback, write_bronze

MANIFEST = Manifest(
    stage_id="s1", layer="silver", tables={"sessions": StagedTable(version=3, rows=1, base=2, sources={}, complete={})}
)
AUDIT = Audit(stage_id="s1", layer="silver", versions={"sessions": 3}, passed=True, audited_at=START)


def test_only_an_audit_of_exactly_this_stage_lets_it_through(settings: Settings) -> None:
    lake = settings.lake_root
    stage.write_manifest(lake, MANIFEST)
    assert stage.read_manifest(lake, "silver") == MANIFEST
    assert stage.read_manifest(lake, "gold") is None
    with pytest.raises(StageRefused, match="none has been made"):
        stage.require_audit(lake, MANIFEST)
    for other in ({"stage_id": "s0"}, {"versions": {"sessions": 4}}, {"versions": {}}):
        stage.write_audit(lake, msgspec.structs.replace(AUDIT, **other))
        with pytest.raises(StageRefused, match="needs an audit of exactly what is staged"):
            stage.require_audit(lake, MANIFEST)
    stage.write_audit(lake, msgspec.structs.replace(AUDIT, passed=False, failures=["sessions: never(x < 0)"]))
    with pytest.raises(CheckFailed, match=r"sessions: never\(x < 0\)"):
        stage.require_audit(lake, MANIFEST)
    stage.write_audit(lake, AUDIT)
    assert stage.require_audit(lake, MANIFEST) == AUDIT


def test_days() -> None:
    days = Days(date(2026, 1, 31), date(2026, 2, 1))
    assert days.each() == ["2026-01-31", "2026-02-01"]
    assert Days.of(["2026-02-01", "2026-01-31"]) == days
    assert Days.of([]) is None
    assert in_dates("d", []) == "false"
    with pytest.raises(SettingsError, match="--from must not be after --to"):
        Days(date(2026, 2, 1), date(2026, 1, 31))


def test_gold_answers_for_minutes_that_are_frozen_everywhere() -> None:
    now = datetime(2026, 1, 15, 20, 30, 45, tzinfo=UTC)
    ahead, behind = Progress(stage_id="a", now=now), Progress(stage_id="b", now=now - timedelta(minutes=2))
    assert cutover_minute([ahead], 300) == datetime(2026, 1, 15, 20, 25, tzinfo=UTC)
    assert cutover_minute([ahead, behind], 300) == datetime(2026, 1, 15, 20, 23, tzinfo=UTC)
    assert cutover_minute([ahead, Progress(stage_id="c")], 300) == NEVER
    assert cutover_minute([], 300) == NEVER


def by_place(sent: list[Sent]) -> list[Sent]:
    return sorted(sent, key=lambda one: (one.partition(), one.offset()))


def as_read(rows: pa.Table) -> pa.Table:
    """The sink's rows in the order of the records, their texts as Spark reads them: without dictionaries."""
    plain = [
        pa.field(field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
        for field in rows.schema
    ]
    return rows.cast(pa.schema(plain)).sort_by([("partition", "ascending"), ("offset", "ascending")])


def test_a_row_of_bronze_makes_the_fact_that_the_stream_makes_of_its_record() -> None:
    sent = playback(seed=5, viewers=12)
    decoded = as_read(Decoder(PLAYBACK).decode(sent).rows)
    of_rows = [fact for batch in decoded.to_batches() for fact in facts_of(batch)]
    assert of_rows == [fact_of(one.raw, PLAYBACK.decode(one.raw), one.received_ms) for one in by_place(sent)]


def test_a_group_split_over_batches_stays_one_and_its_copies_count() -> None:
    table = as_read(Decoder(PLAYBACK).decode([replace(one, received_ms=1) for one in playback(seed=5, viewers=3)]).rows)
    table = table.sort_by("group_id").append_column(COPIES, pa.nulls(table.num_rows, pa.int64()))
    for name in set(REPORT_INPUT_COLUMNS) - set(table.column_names):
        table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    table = table.select(list(dict.fromkeys([*INPUT_COLUMNS, *REPORT_INPUT_COLUMNS, COPIES])))
    sizes = {name.as_py(): 0 for name in table["group_id"].unique()}
    for name in table["group_id"].to_pylist():
        sizes[name] += 1
    twice = table.slice(0, 1).to_pylist()[0]
    tally = dict.fromkeys(table.column_names) | {name: twice[name] for name in ("group_id", "event_id")} | {COPIES: 3}
    table = pa.concat_tables([pa.Table.from_pylist([tally], table.schema), table])
    same = sum(event_id == twice["event_id"] for event_id in table["event_id"].to_pylist()) - 1
    sizes[twice["group_id"]] += 2 * same
    found = list(groups(iter(table.to_batches(max_chunksize=7))))
    assert [sum(group.copies.get(fact.event_id, 1) for fact in group.facts) for group in found] == list(sizes.values())


def test_only_a_version_that_brought_files_is_worth_a_look(settings: Settings) -> None:
    path = BRONZE[PLAYBACK.name].path(settings.lake_root)
    assert Decoder(PLAYBACK).decode([]).rows.num_rows == 0
    write_bronze(settings, [])
    assert not has_new_files(path, None, 0)
    sent = playback(seed=5, viewers=3)
    write_bronze(settings, sent[:5])
    table = DeltaTable(path)
    table.create_write_transaction([], "append", table.schema(), ["received_date"])  # a position has moved
    write_bronze(settings, sent[5:])
    found = [
        (after, until) for until in range(4) for after in (None, *range(until)) if has_new_files(path, after, until)
    ]
    assert found == [(None, 1), (0, 1), (None, 2), (0, 2), (None, 3), (0, 3), (1, 3), (2, 3)]


def test_merged_files_are_no_news_and_a_cleaned_log_is_noticed(settings: Settings) -> None:
    table = BRONZE[PLAYBACK.name]
    path = table.path(settings.lake_root)
    sent = playback(seed=5, viewers=3)
    for n in range(3):
        write_bronze(settings, sent[n * 5 : n * 5 + 5])
    maintain_table(Path(path), table, ("partition", "offset"), time.time() + 86_400)
    until = DeltaTable(path).version()
    assert not has_new_files(path, 2, until)
    assert has_new_files(path, 1, until)
    assert can_follow(path, 0, until)
    # What version 2 brought was merged, and deleted after the retention.
    gone = json.loads((Path(path) / "_delta_log" / f"{2:020}.json").read_bytes().splitlines()[1])["add"]["path"]
    (Path(path) / gone).unlink()
    assert not can_follow(path, 1, until)
    assert can_follow(path, 2, until)
    # The log of version 1 was cleaned away.
    (Path(path) / "_delta_log" / f"{1:020}.json").unlink()
    assert has_new_files(path, 0, until)
    assert not can_follow(path, 0, until)


def test_every_gold_table_is_checked_and_described() -> None:
    tables = gold_tables()
    assert {"quality_minute", "quality_hourly", "title_daily", "audience_daily", "views_daily"} <= tables.keys()
    for table in tables.values():
        kinds = {check.kind for check in table.checks if check.severity == "fail"}
        assert {"unique", "not_null", "never"} <= kinds, table.name
        assert set(table.grain) <= {column.name for column in table.columns}, table.name
        source = {"titles": "silver.title_events", "ads_daily": "silver.ad_events"}.get(table.name, "silver.sessions")
        assert [one.full_name for one in sources_of(table)] == [source]
        assert table.alternatives is None or table.alternatives in table.grain, table.name
        assert table.name == "titles" or table.partition_by in {column.name for column in table.columns}, table.name
    minute = [column.name for column in tables["quality_minute"].columns]
    assert minute == ["play_date", "minute", "rollup", *DIMENSIONS, *PARTS, "startup_histogram"]
    assert f"sequence(0, {STARTUP_BUCKETS - 1})" in tables["quality_minute"].sql
    assert (tables["quality_minute"].alternatives, tables["views_daily"].alternatives) == ("rollup", "bucketed_by")
    assert set(re.findall(r"struct\('(\w+)' AS rollup", tables["quality_minute"].sql)) == set(ROLLUPS)


def test_bronze_of_playback_has_all_that_a_fact_needs() -> None:
    assert set(INPUT_COLUMNS) <= set(arrow_schema(BRONZE[PLAYBACK.name].columns).names)
    assert set(REPORT_INPUT_COLUMNS[1:]) <= set(arrow_schema(BRONZE[CMCD.name].columns).names)


def test_a_row_of_bronze_makes_the_report_that_the_stream_makes_of_its_record() -> None:
    sent = cmcd(seed=5, players=4)
    decoded = as_read(Decoder(CMCD).decode(sent).rows)
    of_rows = [report for batch in decoded.to_batches() for report in reports_of(batch)]
    assert of_rows == [report_of(one.raw, CMCD.decode(one.raw), one.received_ms) for one in by_place(sent)]
