"""A commit that takes staged files over: seen whole or not at all, once, and told by the change feed."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, get_ident
from typing import Any, NoReturn

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from msgspec import structs

from batch import adopt, delta_log
from batch.history import log_of
from batch.stage import KEEP_HOURS
from batch.staged_files import actions_of, clean
from infra.errors import LakeDamaged, StageRefused
from infra.settings import Settings
from schemas.progress import progress
from schemas.stage import Manifest
from schemas.table import Column
from tests.batch.visits import AT, GOLD, MONDAY, SILVER, TUESDAY, SparkAsked, feed, names, put, row, staged


def test_staged_files_become_the_tables_in_one_commit_and_once(settings: Settings) -> None:
    first = staged(settings, SILVER, [row("a"), row("b", TUESDAY)], "s1")
    assert put(settings, SILVER, first) == put(settings, SILVER, first) == 1
    second = staged(settings, SILVER, [row("c", TUESDAY)], "s2")
    assert put(settings, SILVER, second) == 2
    assert names(settings, SILVER) == ["a", "b", "c"]
    assert feed(settings, SILVER, 1) == [("insert", "a"), ("insert", "b")]
    assert feed(settings, SILVER, 2) == [("insert", "c")]
    known = progress(SILVER.path(settings.lake_root))
    assert known is not None
    assert (known.stage_id, known.complete) == ("s2", {"bronze.visits": 2})
    # What the stage holds is its own: it goes, and the table stays.
    clean(Path(SILVER.staging_path(settings.lake_root)), [], [], -1)
    assert names(settings, SILVER) == ["a", "b", "c"]


def test_a_commit_that_is_cut_off_shows_nothing_and_can_be_made_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings, SILVER, staged(settings, SILVER, [row("a")], "s1"))
    manifest = staged(settings, SILVER, [row("b"), row("c", TUESDAY)], "s2")

    def killed(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(adopt, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            put(settings, SILVER, manifest)
    linked = list(Path(SILVER.path(settings.lake_root)).rglob("*.parquet"))
    assert len(linked) == 3, "it was cut off after linking"
    assert names(settings, SILVER) == ["a"]
    assert put(settings, SILVER, manifest) == 2
    assert names(settings, SILVER) == ["a", "b", "c"]


@pytest.mark.parametrize("is_same", [True, False])
def test_of_two_commits_at_once_one_is_made(settings: Settings, monkeypatch: pytest.MonkeyPatch, is_same: bool) -> None:
    one = staged(settings, SILVER, [row("a")], "s1")
    other = one if is_same else staged(settings, SILVER, [row("b")], "s2")
    meet = Barrier(2)
    met: set[int] = set()

    def together(*arguments: Any) -> None:
        """Both have seen the same version when they go on. Who tries again waits for nobody."""
        if get_ident() not in met:
            met.add(get_ident())
            meet.wait(20)
        delta_log.commit(*arguments)

    monkeypatch.setattr(adopt, "commit", together)

    def attempt(manifest: Manifest) -> int | str:
        try:
            return put(settings, SILVER, manifest)
        except StageRefused as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(attempt, (one, other)))
    assert DeltaTable(SILVER.path(settings.lake_root)).version() == 1
    if is_same:
        assert outcomes == [1, 1]
        assert names(settings, SILVER) == ["a"]
    else:
        assert 1 in outcomes
        assert any("stage again" in str(outcome) for outcome in outcomes)
        assert names(settings, SILVER) == (["a"] if outcomes[0] == 1 else ["b"])


def test_gold_replaces_exactly_the_staged_days(settings: Settings) -> None:
    put(settings, GOLD, staged(settings, GOLD, [row("a"), row("b", TUESDAY)], "p1", dates=[str(MONDAY), str(TUESDAY)]))
    put(settings, GOLD, staged(settings, GOLD, [row("c")], "p2", dates=[str(MONDAY)]))
    assert names(settings, GOLD) == ["b", "c"]
    # A day may lose all its rows, and a commit of no day moves only the watermark.
    put(settings, GOLD, staged(settings, GOLD, [], "p3", dates=[str(TUESDAY)]))
    assert names(settings, GOLD) == ["c"]
    assert put(settings, GOLD, staged(settings, GOLD, [], "p4")) == 4
    assert names(settings, GOLD) == ["c"]
    known = progress(GOLD.path(settings.lake_root))
    assert known is not None
    assert known.stage_id == "p4"
    assert names_at(settings, 1) == ["a", "b"], "who reads an older version goes on"


def names_at(lake: Settings, version: int) -> list[str]:
    found = DeltaTable(GOLD.path(lake.lake_root), version=version).to_pyarrow_table()
    return sorted(pa.table(found)["visit_id"].to_pylist())


def test_a_table_made_anew_has_the_staged_rows_and_no_others(settings: Settings) -> None:
    put(settings, SILVER, staged(settings, SILVER, [row("a"), row("b", TUESDAY)], "s1"))
    manifest = replace_whole(staged(settings, SILVER, [row("b", TUESDAY), row("c")], "s2"))
    assert put(settings, SILVER, manifest) == 2
    assert names(settings, SILVER) == ["b", "c"]
    assert {one for one in feed(settings, SILVER, 2) if one[1] == "a"} == {("delete", "a")}


def replace_whole(manifest: Manifest) -> Manifest:
    return Manifest(stage_id=manifest.stage_id, layer=manifest.layer, tables=manifest.tables, is_whole=True)


def test_what_files_can_not_say_of_gold_is_left_to_spark(settings: Settings) -> None:
    nothing = staged(settings, GOLD, [row("a"), row(None)], "s1")
    with pytest.raises(SparkAsked):  # it refuses the null
        put(settings, GOLD, nothing)
    wider = replace(GOLD, columns=(*GOLD.columns, Column("more", "string", "new")))
    with pytest.raises(SparkAsked):
        put(settings, GOLD, staged(settings, wider, [row("a") | {"more": "x"}], "s3"))
    assert names(settings, GOLD) == []


def test_what_does_not_fit_silver_is_refused(settings: Settings) -> None:
    with pytest.raises(LakeDamaged, match=r"expected a value in every row of visit_id; staged are rows without"):
        put(settings, SILVER, staged(settings, SILVER, [row("a"), row(None)], "s1"))
    wider = replace(SILVER, columns=(*SILVER.columns, Column("more", "string", "new")))
    with pytest.raises(LakeDamaged, match=r"staged columns that the table has not, or of another type: more"):
        put(settings, SILVER, staged(settings, wider, [row("a") | {"more": "x"}], "s3"))
    assert names(settings, SILVER) == []


def test_a_stage_whose_files_are_gone_is_refused(settings: Settings) -> None:
    manifest = staged(settings, SILVER, [row("a")], "s1")
    for file in Path(SILVER.staging_path(settings.lake_root)).rglob("*.parquet"):
        file.unlink()
    with pytest.raises(StageRefused, match=r"no longer there.*stage again"):
        put(settings, SILVER, manifest)


def test_where_files_can_not_be_linked_they_are_copied(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = staged(settings, SILVER, [row("a")], "s1")

    def other_disk(*_: Any) -> NoReturn:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    put(settings, SILVER, manifest)
    assert names(settings, SILVER) == ["a"]


def test_old_stages_go_and_the_newest_and_the_one_before_stay(settings: Settings) -> None:
    path = Path(SILVER.staging_path(settings.lake_root))
    for n in range(4):
        staged(settings, SILVER, [row("a")], f"s{n}")
    long_ago = datetime.now(UTC).timestamp() - timedelta(hours=2 * KEEP_HOURS).total_seconds()
    for n in range(4):
        os.utime(path / f"s{n}", (long_ago, long_ago))
    clean(path, ["s3/day=2026-01-12/x.parquet"], ["s2/day=2026-01-12/x.parquet"], KEEP_HOURS * 3600)
    assert sorted(entry.name for entry in path.iterdir()) == ["_delta_log", "s2", "s3"]


def test_what_the_log_says_of_a_file_is_true(settings: Settings) -> None:
    rows = [row(f"v{n:02}", pages=n) | {"at": AT + timedelta(microseconds=n)} for n in range(50)]
    staged(settings, SILVER, [*rows, row("x" * 40, TUESDAY), row(None, TUESDAY)], "s1")
    actions = pa.table(DeltaTable(SILVER.staging_path(settings.lake_root)).get_add_actions(flatten=True)).to_pylist()
    monday, tuesday = sorted(actions, key=lambda one: one["partition.day"])
    assert (monday["num_records"], monday["min.pages"], monday["max.pages"]) == (50, 0, 49)
    assert (monday["min.visit_id"], monday["max.visit_id"], monday["null_count.visit_id"]) == ("v00", "v49", 0)
    assert (monday["min.at"], monday["max.at"]) == (AT, AT + timedelta(microseconds=49))
    assert (tuesday["null_count.visit_id"], tuesday["max.visit_id"]) == (1, None)


def test_stages_at_once_know_their_own_version(settings: Settings) -> None:
    """Whoever asks a log for its commit must not be told another's, because that one came while it asked."""
    with ThreadPoolExecutor(3) as pool:
        stages = [f"s{n}" for n in range(12)]
        manifests = list(pool.map(lambda name: staged(settings, SILVER, [row(name)], name), stages))
    path = Path(SILVER.staging_path(settings.lake_root))
    for name, manifest in zip(stages, manifests, strict=True):
        (file,) = actions_of(log_of(path, manifest.tables[SILVER.name].version))
        assert file.path.startswith(f"{name}/")


def test_a_stage_whose_log_names_other_rows_is_refused(settings: Settings) -> None:
    manifest = staged(settings, SILVER, [row("a"), row("b")], "s1")
    wrong = {SILVER.name: structs.replace(manifest.tables[SILVER.name], version=0)}
    with pytest.raises(LakeDamaged, match="version 0: expected 2 rows, as were staged; its log names 0"):
        put(settings, SILVER, structs.replace(manifest, tables=wrong))
    assert put(settings, SILVER, manifest) == 1
