"""Merging silver's small files: the same rows in every version, no news for who follows, and never rows twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from typer.testing import CliRunner

from batch import merge as merging
from batch.commands import app
from batch.delta_log import create
from batch.gold.changed import changed_days
from batch.history import files_brought, has_new_files, is_feed_whole, is_same, version
from batch.merge import AT_LEAST, Merged, merge, merge_table
from batch.vacuum import vacuum
from infra.delta_scan import query, scan
from infra.errors import LakeDamaged
from infra.settings import Settings
from schemas.derive import arrow_schema
from schemas.progress import progress
from schemas.publication import PUBLISHED, Publish, write_record
from schemas.stage import Manifest
from schemas.table import KEEP_DAYS, Table
from schemas.tables.restatements import RESTATEMENTS
from schemas.tables.sessions import SESSIONS
from tests.batch.test_vacuum import age
from tests.batch.visits import MONDAY, SILVER, TUESDAY, Row, names, put, row, staged

FEED = {"delta.enableChangeDataFeed": "true"}


def grow(lake: Settings, count: int = AT_LEAST, first: int = 0) -> None:
    """So many commits of silver, each of which leaves a file in two days."""
    for n in range(first, first + count):
        rows = [row(f"m{n}", pages=n), row(f"t{n}", TUESDAY, n)]
        put(lake, SILVER, staged(lake, SILVER, rows, f"s{n}", complete={"bronze.visits": n}))


def merged(lake: Settings, table: Table = SILVER) -> Merged:
    path = table.path(lake.lake_root)
    return merge_table(Path(path), table, DeltaTable(path))


def content(lake: Settings, table: Table = SILVER, at: int | None = None) -> list[Row]:
    """Every column of every row, as DuckDB reads them."""
    return sorted(query(f"SELECT * FROM {scan(table.path(lake.lake_root), at)}"), key=repr)


def test_the_same_rows_in_a_file_a_day_and_nothing_new_for_who_follows(settings: Settings) -> None:
    path = SILVER.path(settings.lake_root)
    grow(settings)
    before, at, known = content(settings), DeltaTable(path).version(), progress(path)
    assert merged(settings) == Merged(SILVER.full_name, 2 * AT_LEAST, 2)
    assert DeltaTable(path).version() == at + 1
    assert len(DeltaTable(path).file_uris()) == 2
    assert content(settings) == content(settings, at=at) == before
    assert progress(path) == progress(path, at + 1) == known
    # Nothing came: by the log, by the feed, by the days that gold would make anew.
    assert is_same(path, at, at + 1)
    assert not has_new_files(path, at, at + 1)
    assert files_brought(path, at, at + 1) == []
    assert is_feed_whole(path, 0, at + 1)
    assert DeltaTable(path).load_cdf(at + 1, at + 1).read_all().num_rows == 0
    day = replace(SILVER, partition_by="day")
    assert changed_days(path, day, at, at + 1) == set()
    # What comes after it does, and what came before it still does.
    put(settings, SILVER, staged(settings, SILVER, [row("late")], "late"))
    assert not is_same(path, at, at + 2)
    assert changed_days(path, day, at, at + 2) == {str(MONDAY)}
    assert changed_days(path, day, at - 1, at + 2) == {str(MONDAY), str(TUESDAY)}
    found = pa.table(DeltaTable(path).load_cdf(0, at + 2).read_all())
    assert sorted(found["visit_id"].to_pylist()) == names(settings, SILVER)
    assert merged(settings) == Merged(SILVER.full_name), "two files are few"


def test_only_a_merge_is_nothing_new(settings: Settings) -> None:
    path = SILVER.path(settings.lake_root)
    grow(settings)
    put(settings, SILVER, staged(settings, SILVER, [], "no rows, but further"))
    at = DeltaTable(path).version()
    assert not is_same(path, at - 1, at)
    assert merged(settings).files
    assert is_same(path, at, at + 1)
    DeltaTable(path).alter.set_table_properties({"delta.appendOnly": "false"})
    assert not is_same(path, at, at + 2)
    Path(path, "_delta_log", f"{at + 1:020}.json").unlink()
    assert not is_same(path, at, at + 1), "nobody knows"


def test_row_groups_are_bounded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "ROWS_OF_A_GROUP", 3)
    grow(settings)
    before = content(settings)
    assert merged(settings).files
    assert content(settings) == before
    for file in DeltaTable(SILVER.path(settings.lake_root)).file_uris():
        metadata = pq.read_metadata(file.removeprefix("file://"))
        assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [3, 3, 2]


def test_who_reads_what_is_published_goes_on_for_as_long_as_it_is(settings: Settings, lake_of_sessions: str) -> None:
    at = DeltaTable(lake_of_sessions).version()
    before = content(settings, SESSIONS)
    moment = datetime(2026, 1, 12, tzinfo=UTC)
    record = Publish(publish_id="p", published_at=moment, cutover_minute=moment, versions={SESSIONS.full_name: at})
    settings.warehouse.mkdir(parents=True)
    write_record(settings.warehouse / PUBLISHED, record)
    assert [one for one in merge(settings) if one.files] == [Merged(SESSIONS.full_name, AT_LEAST, 1)]
    age(lake_of_sessions, KEEP_DAYS + 1)
    assert [done.files for done in vacuum(settings)] == [0]
    assert content(settings, SESSIONS, at) == content(settings, SESSIONS) == before
    (settings.warehouse / PUBLISHED).unlink()
    assert [done.files for done in vacuum(settings)] == [AT_LEAST]
    assert content(settings, SESSIONS) == before


def test_the_command_says_what_it_did(
    settings: Settings, lake_of_sessions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYLAKE_HOME", str(settings.home))
    for files, into in ((AT_LEAST, 1), (0, 0)):
        answer = CliRunner().invoke(app, ["tidy"])
        assert answer.exit_code == 0, answer.output
        assert [" ".join(line.split()) for line in answer.output.splitlines()] == [
            f"silver.sessions {files} files merged into {into}",
            "silver.sessions 0 files deleted, 0.0 MB",
        ]


@pytest.fixture
def lake_of_sessions(settings: Settings) -> str:
    """Sessions with every column filled, lists and structs too, a commit each."""
    schema = arrow_schema(SESSIONS.columns)
    path = SESSIONS.path(settings.lake_root)
    create(path, schema, SESSIONS.partition_by, "", FEED)
    for n in range(AT_LEAST):
        values = {field.name: _value(field.type, f"{field.name}{n}", n) for field in schema}
        write_deltalake(path, pa.Table.from_pylist([values], schema), mode="append")
    return path


def _value(kind: pa.DataType, name: str, n: int) -> Any:
    if pa.types.is_list(kind):
        return [_value(kind.value_type, name, n + k) for k in range(n % 3)]
    if pa.types.is_struct(kind):
        return {field.name: _value(field.type, field.name, n) for field in kind}
    if pa.types.is_map(kind):
        return [(name, "x")]
    plain = {
        pa.string(): name, pa.int64(): n, pa.int32(): n, pa.float64(): n / 2, pa.bool_(): n % 2 == 0,
        pa.date32(): MONDAY, pa.timestamp("us", tz="UTC"): datetime(2026, 1, 12, 8, n, tzinfo=UTC),
    }  # fmt: skip
    return plain[kind]


def test_the_ledger_of_restatements_is_merged_too(settings: Settings) -> None:
    path = RESTATEMENTS.path(settings.lake_root)
    schema = arrow_schema(RESTATEMENTS.columns)
    create(path, schema, RESTATEMENTS.partition_by, "")
    for n in range(AT_LEAST):
        values = {field.name: _value(field.type, f"{field.name}{n}", n) for field in schema}
        write_deltalake(path, pa.Table.from_pylist([values], schema), mode="append")
    before = content(settings, RESTATEMENTS)
    assert list(merge(settings)) == [Merged(RESTATEMENTS.full_name, AT_LEAST, 1)]
    assert content(settings, RESTATEMENTS) == before


def test_a_stage_that_waits_is_committed_on_merged_files(settings: Settings) -> None:
    grow(settings)
    before = staged(settings, SILVER, [row("x")], "before")
    assert merged(settings).files
    put(settings, SILVER, before)
    assert len(names(settings, SILVER)) == 2 * AT_LEAST + 1


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen between what a merge has read and its commit."""
    commit = merging.commit

    def late(*arguments: Any, **named: Any) -> None:
        monkeypatch.setattr(merging, "commit", commit)
        act()
        commit(*arguments, **named)

    monkeypatch.setattr(merging, "commit", late)


def test_of_two_merges_at_once_one_is_made(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(settings)
    before = content(settings)
    meet, commit = Barrier(2), merging.commit

    def together(*arguments: Any, **named: Any) -> None:
        """Both have read the same version when they go on."""
        meet.wait(20)
        commit(*arguments, **named)

    monkeypatch.setattr(merging, "commit", together)
    with ThreadPoolExecutor(2) as pool:
        done = [future.result() for future in [pool.submit(merged, settings) for _ in range(2)]]
    assert sorted(one.files for one in done) == [0, 2 * AT_LEAST]
    assert content(settings) == before


def test_a_commit_that_comes_first_stays(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(settings)
    anew = staged(settings, SILVER, [row("anew")], "anew")
    whole = Manifest(stage_id=anew.stage_id, layer=anew.layer, tables=anew.tables, is_whole=True)
    meanwhile(monkeypatch, lambda: put(settings, SILVER, whole))
    assert merged(settings) == Merged(SILVER.full_name, is_late=True)
    assert names(settings, SILVER) == ["anew"]


@pytest.mark.parametrize("how", ["delete", "compact"])
def test_others_who_know_nothing_of_our_transaction_come_first(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    grow(settings)
    before = names(settings, SILVER)

    def act() -> None:
        table = DeltaTable(SILVER.path(settings.lake_root))
        table.delete("visit_id = 'm3'") if how == "delete" else table.optimize.compact()

    meanwhile(monkeypatch, act)
    assert merged(settings) == Merged(SILVER.full_name, is_late=True)
    assert names(settings, SILVER) == [name for name in before if (name, how) != ("m3", "delete")]


def test_a_merge_that_comes_first_has_the_commit_made_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batch import adopt

    grow(settings)
    manifest = staged(settings, SILVER, [row("x")], "x")
    whole = Manifest(stage_id="x", layer="silver", tables=manifest.tables, is_whole=True)
    commit = adopt.commit

    def late(*arguments: Any) -> None:
        monkeypatch.setattr(adopt, "commit", commit)
        assert merged(settings).files
        commit(*arguments)

    monkeypatch.setattr(adopt, "commit", late)
    put(settings, SILVER, whole)
    assert names(settings, SILVER) == ["x"]


def test_how_far_a_table_has_come_is_not_forgotten(settings: Settings) -> None:
    """A checkpoint cleans the log of old commits, and the only one that says it may be old."""
    path = Path(SILVER.path(settings.lake_root))
    create(str(path), arrow_schema(SILVER.columns), "day", "", FEED | {"delta.checkpointInterval": str(AT_LEAST + 2)})
    grow(settings)
    known = progress(str(path))
    assert known
    age(str(path), 40)
    assert merged(settings).files
    assert (path / "_delta_log" / f"{AT_LEAST + 1:020}.checkpoint.parquet").exists()
    assert progress(str(path)) == known


def test_files_of_an_older_contract_get_the_columns_that_it_has_gained(settings: Settings) -> None:
    """Of the table, and of the structs in its lists."""
    path = SILVER.path(settings.lake_root)
    part = pa.struct([("minute", pa.int64()), ("stalls", pa.int64())])
    old = pa.schema([("visit_id", pa.string()), ("parts", pa.list_(part)), ("day", pa.date32())])
    for n in range(AT_LEAST):
        rows = [{"visit_id": f"v{n}", "parts": [{"minute": n, "stalls": 2}], "day": MONDAY}]
        write_deltalake(path, pa.Table.from_pylist(rows, old), mode="append", partition_by=["day"])
    wider = pa.struct([("minute", pa.int64()), ("ads", pa.int64()), ("stalls", pa.int64())])
    new = pa.schema(
        [("visit_id", pa.string()), ("parts", pa.list_(wider)), ("more", pa.string()), ("day", pa.date32())]
    )
    rows = [{"visit_id": "new", "parts": [{"minute": 1, "ads": 5, "stalls": 2}], "more": "x", "day": MONDAY}]
    write_deltalake(path, pa.Table.from_pylist(rows, new), mode="append", schema_mode="merge")
    before = content(settings)
    assert merged(settings) == Merged(SILVER.full_name, AT_LEAST + 1, 1)
    assert content(settings) == before
    told = {one["visit_id"]: (one["parts"][0]["minute"], one["parts"][0]["ads"], one["more"]) for one in before}
    assert (told["v3"], told["new"]) == ((3, None, None), (1, 5, "x"))


def test_a_file_that_does_not_hold_its_rows_is_refused(settings: Settings) -> None:
    grow(settings)
    path = SILVER.path(settings.lake_root)
    file = next(Path(path, f"day={MONDAY}").glob("*.parquet"))
    pq.write_table(pq.ParquetFile(file).read().slice(0, 0), file)
    with pytest.raises(LakeDamaged, match=r"expected 1 rows, as the log says, found 0; nothing was merged"):
        merged(settings)
    assert version(path) == AT_LEAST


def test_deletion_vectors_are_let_be(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file alone does not say which of its rows are there."""
    grow(settings)

    class Protocol:
        min_reader_version, reader_features = 3, ("deletionVectors", "timestampNtz")

    class Table(DeltaTable):
        def protocol(self) -> Any:
            return Protocol

    path = SILVER.path(settings.lake_root)
    assert merge_table(Path(path), SILVER, Table(path)) == Merged(SILVER.full_name)
    Protocol.reader_features = ("timestampNtz",)
    assert merge_table(Path(path), SILVER, Table(path)).files


STEPS = st.lists(st.sampled_from(("add", "add", "add", "drop", "anew", "merge")), max_size=14)


@given(STEPS, st.randoms(use_true_random=False))
@bounded(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_merges_at_any_time_leave_every_version_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], rnd: Any
) -> None:
    lake = Settings(home=tmp_path_factory.mktemp("lake"))
    path = SILVER.path(lake.lake_root)
    put(lake, SILVER, staged(lake, SILVER, [row("first")], "s"))
    expected, told = {1: ["first"]}, {"first"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "AT_LEAST", 2)
        for n, step in enumerate(steps):
            now = expected[max(expected)]
            if step == "merge":
                merged(lake)
            elif step == "drop":
                gone = rnd.choice([*now, "none"])
                DeltaTable(path).delete(f"visit_id = '{gone}'")
                now = [name for name in now if name != gone]
            else:
                day: date = rnd.choice((MONDAY, TUESDAY, TUESDAY + timedelta(1)))
                one = staged(lake, SILVER, [row(f"v{n}", day)], f"s{n}")
                whole = Manifest(stage_id=f"s{n}", layer="silver", tables=one.tables, is_whole=step == "anew")
                put(lake, SILVER, whole)
                now = sorted([*(() if step == "anew" else now), f"v{n}"])
            told |= set(now)
            expected[DeltaTable(path).version()] = now
    for at, found in expected.items():
        assert sorted(pa.table(DeltaTable(path, version=at).to_pyarrow_table())["visit_id"].to_pylist()) == found, at
    feed = pa.table(DeltaTable(path).load_cdf(1, max(expected)).read_all()).to_pylist()
    there: list[str] = []
    for one in sorted(feed, key=lambda one: (one["_commit_version"], one["_change_type"] == "insert")):
        if one["_change_type"] == "insert":
            there.append(one["visit_id"])
        elif one["_change_type"] == "delete":
            there.remove(one["visit_id"])
    assert sorted(there) == expected[max(expected)]
