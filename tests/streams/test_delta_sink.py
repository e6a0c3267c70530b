"""The transactional table: who gets through, what an audit sees, what a contract's growth does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import LakeDamaged, PositionRefused
from schemas.registry import PLAYBACK
from streams.bronze_rows import Decoder
from streams.delta_audit import audit
from streams.delta_log import PositionMoved
from streams.delta_sink import DeltaSink
from streams.ownership import claim, epoch_of, start_of
from tests.streams.bronze_world import event, query
from tests.streams.delta_world import ID, P0, SOURCE, TABLE, Record, dead_in, letters, offsets_in, rows, table_in


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


@pytest.fixture
def table(lake: str) -> DeltaSink:
    return table_in(lake)


def test_rows_and_position_come_in_one_commit(table: DeltaSink) -> None:
    table.commit(rows(range(5)), {P0: (None, 5)})
    table.commit(None, {P0: (5, 7)})
    assert (table.stored(P0), offsets_in(table.path)) == (7, [0, 1, 2, 3, 4])
    with pytest.raises(PositionMoved, match="is 7, expected 5"):
        table.commit(rows(range(5)), {P0: (5, 10)})
    assert offsets_in(table.path) == [0, 1, 2, 3, 4]


def test_a_handle_that_is_behind_gets_nothing_through(lake: str, table: DeltaSink) -> None:
    table.commit(None, {P0: (None, 5)})
    zombie = DeltaSink(TABLE, lake, SOURCE)
    table.commit(rows([5]), {P0: (5, 6)})
    with pytest.raises(PositionMoved, match="is 6, expected 5"):
        zombie.commit(rows([5]), {P0: (5, 6)})
    assert offsets_in(table.path) == [5]
    # Other partitions are not concerned.
    zombie.reopen()
    table.commit(None, {P0: (6, 7)})
    zombie.commit(rows([9]), {"bronze/topicid/1": (None, 10)})
    table.commit(None, {P0: (7, 8)})


def test_after_a_claim_the_former_owner_is_out_of_both_tables(lake: str, table: DeltaSink) -> None:
    d = dead_in(lake)
    [old] = claim(PLAYBACK.name, ID, {0: (0, 100)}, table, d)
    table_2, d_2 = DeltaSink(TABLE, lake, SOURCE), dead_in(lake)
    [new] = claim(PLAYBACK.name, ID, {0: (0, 100)}, table_2, d_2)
    assert new.epoch == old.epoch + 1
    old.next = 10
    for stale, changes in ((table, old.rows_changes()), (d, old.letters_changes())):
        with pytest.raises(PositionMoved):
            stale.commit(None, changes)
        stale.reopen()
        # Looking again does not help: the epoch is another one, though the position is not.
        with pytest.raises(PositionMoved, match="epoch"):
            stale.commit(None, changes)


def test_dead_letters_that_came_before_a_crash_are_left_out(lake: str, table: DeltaSink) -> None:
    d = dead_in(lake)
    [old] = claim(PLAYBACK.name, ID, {0: (20, 100)}, table, d)
    old.next = 25
    d.commit(letters([21, 23]), old.letters_changes())  # and no rows: killed in between
    [new] = claim(PLAYBACK.name, ID, {0: (20, 100)}, table, d)
    assert (new.position, new.letters_position, new.known_letters) == (20, 25, {21, 23})
    new.next = 22
    assert new.letters_changes()[P0] == (25, 25)
    new.next = 30
    table.commit(rows([20, 22, 24]), new.rows_changes())
    [third] = claim(PLAYBACK.name, ID, {0: (20, 100)}, table, d)
    assert (third.position, third.known_letters) == (30, frozenset())
    assert table.stored(start_of(P0)) == 20


def test_dead_letters_that_were_set_back_are_noticed(lake: str, table: DeltaSink) -> None:
    d = dead_in(lake)
    [owned] = claim(PLAYBACK.name, ID, {0: (0, 100)}, table, d)
    for first in (0, 10):
        owned.next = first + 10
        d.commit(letters([first]), owned.letters_changes())
        owned.letters_kept()
        table.commit(rows(range(first + 1, first + 10)), owned.rows_changes())
        owned.rows_kept()
    [again] = claim(PLAYBACK.name, ID, {0: (0, 100)}, table, d)
    assert (again.position, again.letters_position) == (20, 20)
    # Somebody restores a backup of the dead letters, from before their last commit (and the claim that came after it).
    for _ in range(2):
        _newest(d.path).unlink()
    audit(d.path)
    with pytest.raises(LakeDamaged, match=r"up to offset 10, but .* kept up to 20: newest commits .* are missing"):
        claim(PLAYBACK.name, ID, {0: (0, 100)}, table, dead_in(lake))
    # A table that was moved away as a whole begins anew.
    d.path.rename(d.path.parent / "moved")
    [anew] = claim(PLAYBACK.name, ID, {0: (0, 100)}, table, dead_in(lake))
    assert (anew.position, anew.letters_position) == (20, None)


@pytest.mark.parametrize(
    ("low", "high", "why"), [(41, 100, "1 records went by retention"), (0, 39, "ends at offset 39")]
)
def test_a_position_that_kafka_has_not_is_refused(lake: str, table: DeltaSink, low: int, high: int, why: str) -> None:
    d = dead_in(lake)
    [owned] = claim(PLAYBACK.name, ID, {0: (0, 100)}, table, d)
    owned.next = 40
    table.commit(None, owned.rows_changes())
    with pytest.raises(PositionRefused, match=why):
        claim(PLAYBACK.name, ID, {0: (low, high)}, table, d)
    assert table.stored(epoch_of(P0)) == 1


def test_another_topic_of_the_same_name_is_refused(lake: str, table: DeltaSink) -> None:
    for other in ("id another, 2 partitions", f"id {ID}, 3 partitions"):
        with pytest.raises(PositionRefused, match="created again, or its partitions were changed"):
            DeltaSink(TABLE, lake, {PLAYBACK.name: other})
    assert DeltaSink(TABLE, lake, SOURCE).version == table.version


def test_a_new_field_becomes_a_column(lake: str) -> None:
    before = replace(TABLE, columns=tuple(c for c in TABLE.columns if c.name not in ("cdn", "fatal")))
    DeltaSink(before, lake, SOURCE).commit(rows([0]).drop_columns(["cdn", "fatal"]), {P0: (None, 1)})
    after = DeltaSink(TABLE, lake, SOURCE)
    after.commit(rows([1]), {P0: (1, 2)})
    found = query(after.path, 'SELECT "offset", cdn, fatal FROM t ORDER BY "offset"')
    assert found == [{"offset": 0, "cdn": None, "fatal": None}, {"offset": 1, "cdn": None, "fatal": None}]


def test_a_batch_over_midnight_lands_in_two_days(table: DeltaSink) -> None:
    midnight = 1_768_521_600_000
    records = [Record(n, event(n), midnight - 2 + n) for n in range(4)]
    table.commit(Decoder(PLAYBACK).decode(records).rows, {P0: (None, 4)})
    found = query(table.path, "SELECT received_date, count(*) AS n FROM t GROUP BY 1 ORDER BY 1")
    assert [(str(row["received_date"]), row["n"]) for row in found] == [("2026-01-15", 2), ("2026-01-16", 2)]


Damage = Callable[[Path], None]


def _newest(path: Path) -> Path:
    return max((path / "_delta_log").glob("*.json"))


def _cut(keep: Callable[[bytes], bytes]) -> Damage:
    def damage(path: Path) -> None:
        file = _newest(path)
        file.write_bytes(keep(file.read_bytes()))

    return damage


def _data(path: Path) -> Path:
    return next(path.glob("*/*.parquet"))


def _checkpoint(path: Path) -> Path:
    return max((path / "_delta_log").glob("*.checkpoint.parquet"))


def _log_gone(path: Path, *, rest: bool = False) -> None:
    (path / "_delta_log").rename(path.parent / "log")
    if rest:
        (path / "_delta_log").mkdir()


def _up_to(path: Path, version: int) -> list[Path]:
    log = path / "_delta_log"
    return [file for file in log.iterdir() if file.name < f"{version:020}.z" or "checkpoint" in file.name]


DAMAGES: dict[str, tuple[Damage, str]] = {
    "newest commit empty": (_cut(lambda _: b""), "is empty.*newest commit"),
    "newest commit cut in a line": (_cut(lambda raw: raw[:-7]), "not JSON in every line.*newest commit"),
    "transaction lost at a line's end": (_cut(lambda raw: raw[: raw.rindex(b"\n")]), "says 1 `txn` lines and has 0"),
    "file lost at a line's end": (
        _cut(lambda raw: b"\n".join(line for line in raw.split(b"\n") if b'"add"' not in line)),
        "says 1 `add` lines and has 0",
    ),
    "commitInfo lost": (_cut(lambda raw: raw.split(b"\n", 1)[1]), "has no commitInfo"),
    "a commit in the middle is gone": (
        lambda path: (path / "_delta_log" / f"{101:020}.json").unlink(),
        "is missing, though later",
    ),
    "a commit in the middle is empty": (
        lambda path: (path / "_delta_log" / f"{101:020}.json").write_bytes(b"") and None,
        "is empty.*Later commits",
    ),
    "data file gone": (lambda path: _data(path).unlink(), "is missing.*Restore"),
    "data file cut": (lambda path: _data(path).write_bytes(b"PAR1") and None, "has 4 bytes, logged were"),
    "checkpoint empty": (lambda path: _checkpoint(path).write_bytes(b"") and None, "can't be read.*move it"),
    "log gone": (_log_gone, "is empty or not there, but .*parquet is: the log of a table is lost"),
    "log empty": (lambda path: _log_gone(path, rest=True), "is empty or not there"),
    "first commits and their checkpoint gone": (
        lambda path: (
            [
                file.unlink()
                for file in (path / "_delta_log").iterdir()
                if file.name < f"{101:020}" or "check" in file.name
            ]
            and None
        ),
        "is missing, though later.*Restore it",
    ),
    "checkpoint cut": (lambda path: _checkpoint(path).write_bytes(b"PAR1") and None, "can't be read"),
}


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A table with a checkpoint, data before and after it."""
    sink = DeltaSink(TABLE, str(tmp_path_factory.mktemp("lake")), SOURCE)
    sink.commit(rows([0]), {P0: (None, 1)})
    for position in range(1, 102):
        sink.commit(None, {P0: (position, position + 1)})
    sink.commit(rows([102]), {P0: (102, 103)})
    assert list((sink.path / "_delta_log").glob("*.checkpoint.parquet"))
    yield sink.path


@pytest.mark.parametrize("kind", DAMAGES)
def test_an_audit_sees(long_log: Path, tmp_path: Path, kind: str) -> None:
    import shutil

    damage, message = DAMAGES[kind]
    copy = tmp_path / "table"
    shutil.copytree(long_log, copy)
    assert audit(copy) == 2
    damage(copy)
    with pytest.raises(LakeDamaged, match=f"(?s){message}"):
        audit(copy)


def test_a_damaged_checkpoint_is_seen_to_as_advised(long_log: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "table"
    shutil.copytree(long_log, copy)
    _checkpoint(copy).write_bytes(b"PAR1")
    with pytest.raises(LakeDamaged, match="move it and _last_checkpoint out of the folder"):
        audit(copy)
    _checkpoint(copy).unlink()
    (copy / "_delta_log" / "_last_checkpoint").unlink()
    assert audit(copy) == 2
    assert offsets_in(copy) == [0, 102]


def test_an_audit_has_nothing_to_say_of(long_log: Path, tmp_path: Path) -> None:
    import shutil

    assert audit(tmp_path / "no table") == 0
    copy = tmp_path / "table"
    shutil.copytree(long_log, copy)
    (copy / "_delta_log" / "_last_checkpoint").write_text("garbled")
    (copy / "_delta_log" / "_commit_1.json.tmp").write_text("")
    (copy / "received_date=2026-01-15" / "part-orphan.parquet").write_bytes(b"")
    assert audit(copy) == 2
    newest = json.loads(_newest(copy).read_text().splitlines()[0])
    assert newest["commitInfo"]["playlakeFiles"] == 1
