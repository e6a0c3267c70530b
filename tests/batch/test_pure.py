"""What needs no Spark: intervals, verdicts, the cut-over minute, tallies, the SQL files."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from batch.gold.stage import gold_tables, sources_of
from batch.history import can_follow, has_new_files
from batch.publish import NEVER, cutover_minute
from batch.silver.fold import COPIES, INPUT_COLUMNS, REPORT_INPUT_COLUMNS, fold_groups, whole_groups
from batch.spark import code_zip
from batch.stage import Days, in_dates
from infra import compiled
from infra.errors import CheckFailed, SettingsError, StageRefused
from infra.settings import Settings
from schemas import stage
from schemas.cmcd.report import report_of, reports_of
from schemas.derive import arrow_schema
from schemas.fact import fact_of, facts_of
from schemas.progress import Progress
from schemas.quality import DIMENSIONS, PARTS, ROLLUPS, STARTUP_BUCKETS
from schemas.registry import CMCD, PLAYBACK
from schemas.stage import Audit, Manifest, StagedTable
from schemas.tables import BRONZE
from schemas.whole.fold import _fold
from streams.bronze_rows import Decoder
from streams.maintain import maintain_table
from streams.message import Message
from tests.batch.world import START, cmcd, expected_events, expected_sessions, playback, write_bronze

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


def by_place(sent: list[Message]) -> list[Message]:
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


def fold_input(sent: list[Message], reported: list[Message], order: random.Random) -> pa.Table:
    """What Spark hands to the fold: by group, in no order within one, each event once, and tallies."""
    columns = {field.name: field for topic in (PLAYBACK, CMCD) for field in arrow_schema(BRONZE[topic.name].columns)}
    names = dict.fromkeys((*INPUT_COLUMNS, *REPORT_INPUT_COLUMNS))
    schema = pa.schema([columns[name].with_nullable(True) for name in names] + [pa.field(COPIES, pa.int64())])
    rows: list[dict[str, Any]] = []
    for topic, records, wanted in ((PLAYBACK, sent, INPUT_COLUMNS), (CMCD, reported, REPORT_INPUT_COLUMNS)):
        group = "group_id" if topic is PLAYBACK else "session_id"
        received = Decoder(topic).decode(records).rows.to_pylist()
        firsts = expected_events(records, topic).values()
        rows += [{name: row[name] for name in wanted[1:]} | {"group_id": row[group]} for row in firsts]
        counted = Counter((row[group], row["event_id"]) for row in received)
        rows += [
            {"group_id": name, "event_id": event_id, COPIES: count}
            for (name, event_id), count in counted.items()
            if count > 1
        ]
    order.shuffle(rows)
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["group_id"]), schema)


@pytest.mark.parametrize("is_mixed", [False, True])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_groups_split_over_batches_fold_as_the_plain_fold_does(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, size: int, is_mixed: bool
) -> None:
    """With copies, reports, sessions of both, and derived sessions."""
    monkeypatch.setattr("batch.silver.fold.whole_groups", partial(whole_groups, at_least=3 * size))
    sent, reported = playback(seed=5, viewers=9), cmcd(seed=5, players=4)
    table = fold_input(sent, reported, random.Random(size))
    if is_mixed:
        table = table.take(random.Random(1).sample(range(table.num_rows), table.num_rows))
    now_ms = max(one.received_ms for one in (*sent, *reported))
    fold = fold_groups(now_ms, settings.session_timeout_s * 1000, is_mixed=is_mixed)
    found = [row for batch in fold(iter(table.to_batches(max_chunksize=size))) for row in batch.to_pylist()]
    assert sorted(found, key=repr) == expected_sessions(settings, sent, reported)
    assert any(row["duplicate_event_count"] for row in found)


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 6), st.integers(1, 12))
def test_rows_are_cut_where_a_group_ends(sizes: list[int], size: int, at_least: int) -> None:
    names = [f"g{number:02}" for number, count in enumerate(sizes) for _ in range(count)]
    table = pa.table({"group_id": pa.array(names, pa.string())})
    empty = table.slice(0, 0).to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
    found = [batch["group_id"].to_pylist() for batch in whole_groups(iter([*empty, *table.to_batches(size)]), at_least)]
    assert [name for part in found for name in part] == names
    assert all(part and part[-1] != after[0] for part, after in pairwise(found))
    assert all(len(part) < at_least + size + 9 for part in found)


def test_shipped_code_finds_the_machine_code_that_was_made_here(tmp_path: Path) -> None:
    code = code_zip(tmp_path)
    asked = "import infra, schemas.whole.fold as f; print(infra.__file__); print(f._fold.stats.cache_path)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(code)!r}); {asked}"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == [f"{code}/infra/__init__.py", _fold.stats.cache_path]
    assert Path(_fold.stats.cache_path).parent == compiled.code_folder()


def test_a_group_without_events_of_its_own_has_no_session() -> None:
    """All it has are copies of another group's events, or nothing."""
    none = fold_input([], [], random.Random(0))
    tally = pa.Table.from_pylist([{"group_id": "s1", "event_id": "e1", COPIES: 2}], none.schema)
    for table in (none, tally):
        assert sum(batch.num_rows for batch in fold_groups(0, 1)(iter(table.to_batches()))) == 0


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
    counted = re.findall(r"m.startup_bucket WHEN (\d+) THEN 1L WHEN (\d+)", tables["quality_minute"].sql)
    assert {int(bucket) for pair in counted for bucket in pair} == set(range(STARTUP_BUCKETS))
    assert (tables["quality_minute"].alternatives, tables["views_daily"].alternatives) == ("rollup", "bucketed_by")
    assert set(re.findall(r"WHEN \d+ THEN '(\w+)'", tables["quality_minute"].sql)) == set(ROLLUPS)


def test_bronze_of_playback_has_all_that_a_fact_needs() -> None:
    assert set(INPUT_COLUMNS) <= set(arrow_schema(BRONZE[PLAYBACK.name].columns).names)
    assert set(REPORT_INPUT_COLUMNS[1:]) <= set(arrow_schema(BRONZE[CMCD.name].columns).names)


def test_a_row_of_bronze_makes_the_report_that_the_stream_makes_of_its_record() -> None:
    sent = cmcd(seed=5, players=4)
    decoded = as_read(Decoder(CMCD).decode(sent).rows)
    of_rows = [report for batch in decoded.to_batches() for report in reports_of(batch)]
    assert of_rows == [report_of(one.raw, CMCD.decode(one.raw), one.received_ms) for one in by_place(sent)]
