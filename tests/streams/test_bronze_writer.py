"""A commit beside the fetching: it stores what was there when it began, whatever is fetched meanwhile."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from streams.bronze_tables import BronzeTables, Pending
from streams.bronze_writer import Writer
from streams.delta_log import PositionMoved
from streams.ownership import Owned


class Tables:
    """Commits when told to; `fails` is raised instead."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.go_on = threading.Event()
        self.fails = fails

    def commit(self, moved: list[Owned], _pending: Pending) -> dict[str, int]:
        assert self.go_on.wait(10)
        if self.fails:
            raise self.fails
        rows = {f"{owned.topic}/{owned.partition}": owned.next - owned.position for owned in moved}
        for owned in moved:
            owned.position = owned.letters_position = owned.next
        return rows


def owned(position: int, upto: int) -> Owned:
    one = Owned("t", 0, "bronze/x/0", 1, position, None)
    one.next = upto
    return one


def writer(tables: Tables) -> Writer:
    return Writer(cast("BronzeTables", cast("Any", tables)))


def test_what_is_fetched_meanwhile_belongs_to_the_next_commit() -> None:
    tables, ours = Tables(), owned(3, 5)
    one = writer(tables)
    one.start([ours], Pending())
    assert (one.is_busy, one.is_done) == (True, False)
    ours.next = 9
    tables.go_on.set()
    commit = one.take()
    assert commit is not None
    assert commit.rows.result() == {"t/0": 2}
    assert (ours.position, ours.next) == (3, 9), "nothing is ours before it is known to be kept"
    commit.keep()
    assert (ours.position, ours.next, ours.letters_position) == (5, 9, 5)
    assert not one.is_busy
    assert one.take() is None


def test_a_commit_that_did_not_get_through_says_so() -> None:
    tables = Tables(PositionMoved("another"))
    one = writer(tables)
    one.start([owned(3, 5)], Pending())
    tables.go_on.set()
    commit = one.take()
    assert commit is not None
    with pytest.raises(PositionMoved, match="another"):
        commit.rows.result()


def test_one_at_a_time() -> None:
    tables = Tables()
    one = writer(tables)
    one.start([owned(3, 5)], Pending())
    with pytest.raises(AssertionError, match="taken first"):
        one.start([owned(5, 6)], Pending())
    tables.go_on.set()
    one.take()
