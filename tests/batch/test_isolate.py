"""Rows go out of files that have others too: exactly those, and whoever follows the changes sees exactly that."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier, get_ident
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from batch import adopt, isolate
from batch.delta_log import commit, create
from batch.history import has_new_files, is_feed_whole, is_same
from infra.errors import LakeDamaged, StageRefused
from infra.settings import Settings
from schemas.derive import arrow_schema
from tests.batch.visits import MONDAY, SILVER, TUESDAY, Row, exchange, feed, names, put, row, staged


@pytest.fixture
def lake(settings: Settings) -> Settings:
    """A file of Monday with three rows, one of Tuesday with one; version 1."""
    put(settings, SILVER, staged(settings, SILVER, [row("a"), row("b"), row("c"), row("d", TUESDAY)], "s1"))
    return settings


def path_of(lake: Settings) -> str:
    return SILVER.path(lake.lake_root)


def rows_at(lake: Settings, version: int | None = None) -> list[tuple[Any, ...]]:
    found = pa.table(DeltaTable(path_of(lake), version=version).to_pyarrow_table()).to_pylist()
    return sorted((one["visit_id"], one["day"], one["pages"]) for one in found)


def test_rows_go_out_of_files_that_keep_others(lake: Settings) -> None:
    manifest = exchange(lake, [row("a", TUESDAY, 2), row("e")], [row("a"), row("d", TUESDAY)], "s2")
    assert put(lake, SILVER, manifest) == put(lake, SILVER, manifest) == 3
    assert rows_at(lake) == [("a", TUESDAY, 2), ("b", MONDAY, 1), ("c", MONDAY, 1), ("e", MONDAY, 1)]
    assert feed(lake, SILVER, 2) == [], "a row was given another file, and is the same"
    assert feed(lake, SILVER, 3) == [("delete", "a"), ("delete", "d"), ("insert", "a"), ("insert", "e")]
    assert rows_at(lake, 2) == rows_at(lake, 1), "who reads an older version goes on"
    assert not has_new_files(path_of(lake), 1, 2)
    assert is_feed_whole(path_of(lake), 1, 3)


def test_whole_files_go_as_they_are(lake: Settings) -> None:
    assert put(lake, SILVER, exchange(lake, [], [row("d", TUESDAY)], "s2")) == 2
    assert names(lake, SILVER) == ["a", "b", "c"]
    assert feed(lake, SILVER, 2) == [("delete", "d")]


def test_a_lake_may_have_any_name(settings: Settings) -> None:
    lake = replace(settings, lake=str(settings.home / "my lake, 100 %"))
    put(lake, SILVER, staged(lake, SILVER, [row("a"), row("b")], "s1"))
    put(lake, SILVER, exchange(lake, [row("c")], [row("a")], "s2"))
    assert names(lake, SILVER) == ["b", "c"]


def test_a_table_whose_files_do_not_say_what_it_has_is_refused(settings: Settings) -> None:
    marks = {"delta.enableDeletionVectors": "true"}
    create(path_of(settings), arrow_schema(SILVER.columns), SILVER.partition_by, "", marks)
    with pytest.raises(LakeDamaged, match="found one with deletion vectors"):
        put(settings, SILVER, staged(settings, SILVER, [row("a")], "s1"))


def test_cut_off_between_its_two_commits_it_can_be_made_again(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = exchange(lake, [row("e")], [row("a")], "s2")

    def killed(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(adopt, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            put(lake, SILVER, manifest)
    assert DeltaTable(path_of(lake)).version() == 2
    assert names(lake, SILVER) == ["a", "b", "c", "d"]
    assert put(lake, SILVER, manifest) == 3
    assert names(lake, SILVER) == ["b", "c", "d", "e"]
    assert feed(lake, SILVER, 3) == [("delete", "a"), ("insert", "e")]


def test_a_stage_bears_that_files_are_merged_while_it_waits(lake: Settings) -> None:
    put(lake, SILVER, staged(lake, SILVER, [row("e")], "s2"))
    manifest = exchange(lake, [row("f")], [row("a")], "s3")
    base = manifest.tables[SILVER.name].base
    DeltaTable(path_of(lake)).optimize.compact()
    assert DeltaTable(path_of(lake)).version() == base + 1
    assert is_same(path_of(lake), base, base + 1)
    put(lake, SILVER, manifest)
    assert names(lake, SILVER) == ["b", "c", "d", "e", "f"]


def test_a_stage_is_refused_where_another_has_moved_the_watermark_alone(lake: Settings) -> None:
    manifest = exchange(lake, [row("f")], [row("a")], "s2")
    put(lake, SILVER, staged(lake, SILVER, [], "s3"))
    with pytest.raises(StageRefused, match="stage again"):
        put(lake, SILVER, manifest)


def test_files_merged_in_between_are_no_files_to_remove(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """After what goes has files of its own, and before they are left out."""
    put(lake, SILVER, staged(lake, SILVER, [row("e")], "s2"))
    manifest = exchange(lake, [row("f")], [row("a")], "s3")
    met: list[int] = []

    def merged(*arguments: Any, **more: Any) -> None:
        commit(*arguments, **more)
        if not met:
            met.append(1)
            DeltaTable(path_of(lake)).optimize.compact()

    monkeypatch.setattr(isolate, "commit", merged)
    put(lake, SILVER, manifest)
    assert names(lake, SILVER) == ["b", "c", "d", "e", "f"]
    assert feed(lake, SILVER, DeltaTable(path_of(lake)).version()) == [("delete", "a"), ("insert", "f")]


def test_a_row_that_is_not_there_can_not_go(lake: Settings) -> None:
    for number, gone in enumerate(([row("a"), row("x")], [row("a", TUESDAY)], [row("a"), row("a")])):
        with pytest.raises(LakeDamaged, match=r"version 1: expected the \d rows that are to go, found [01]"):
            put(lake, SILVER, exchange(lake, [row("e")], gone, f"s-{number}"))
    assert DeltaTable(path_of(lake)).version() == 1


def test_of_two_at_once_one_is_made(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [exchange(lake, [row(new)], [row("a")], f"s-{new}") for new in ("x", "y")]
    meet = Barrier(2)
    met: set[int] = set()

    def together(*arguments: Any, **more: Any) -> None:
        if get_ident() not in met:
            met.add(get_ident())
            meet.wait(20)
        commit(*arguments, **more)

    monkeypatch.setattr(isolate, "commit", together)

    def attempt(number: int) -> int | str:
        try:
            return put(lake, SILVER, stages[number])
        except StageRefused as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(attempt, (0, 1)))
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 1, outcomes
    assert names(lake, SILVER) == sorted(["b", "c", "d", "x" if isinstance(outcomes[0], int) else "y"])


@pytest.mark.parametrize("seed", range(8))
def test_any_rows_of_any_files(settings: Settings, seed: int) -> None:
    choose = random.Random(seed)
    there: dict[str, Row] = {}
    for stage in range(4):
        gone = choose.sample(list(there.values()), choose.randrange(len(there) + 1))
        come = [row(f"v{stage}-{n}", choose.choice([MONDAY, TUESDAY]), n) for n in range(choose.randrange(40))]
        come += [one | {"pages": 100 + stage} for one in gone if choose.random() < 0.5]
        at = put(settings, SILVER, exchange(settings, come, gone, f"s{stage}"))
        for one in gone:
            del there[one["visit_id"]]
        there |= {one["visit_id"]: one for one in come}
        assert rows_at(settings) == sorted((one["visit_id"], one["day"], one["pages"]) for one in there.values())
        told = [("delete", one["visit_id"]) for one in gone] + [("insert", one["visit_id"]) for one in come]
        assert feed(settings, SILVER, at) == sorted(told)


def test_a_file_of_many_row_groups(lake: Settings, tmp_path: Path) -> None:
    rows = pa.table({"visit_id": [f"v{n}" for n in range(100)], "pages": list(range(100))})
    pq.write_table(rows, tmp_path / "all.parquet", row_group_size=7)
    keys = pa.array([f"v{n}" for n in range(100) if n % 3 == 0])
    goes = isolate._goes(tmp_path / "all.parquet", "visit_id", keys)
    isolate._copy(tmp_path / "all.parquet", ~goes, ("visit_id",), tmp_path / "stays.parquet")
    assert pq.read_table(tmp_path / "stays.parquet")["pages"].to_pylist() == [n for n in range(100) if n % 3]
