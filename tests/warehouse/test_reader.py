"""Answers that are kept: until the next publish, and until the live numbers move on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.errors import QueryError
from infra.settings import Settings
from warehouse.dashboard import reader
from warehouse.dashboard.reader import STALE_S, Reader


class Clock:
    """A monotonic clock that is set."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Made:
    """Makes answers, each time another, or fails."""

    def __init__(self) -> None:
        self.times = 0
        self.fails = False

    def __call__(self) -> int:
        if self.fails:
            msg = "too long"
            raise QueryError(msg, "timeout")
        self.times += 1
        return self.times


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    set_clock = Clock()
    monkeypatch.setattr(reader, "time", set_clock)
    return set_clock


@pytest.fixture
def answers(settings: Settings) -> Iterator[Reader]:
    kept = Reader(settings.warehouse, 32_000_000, kept=2)
    kept._refresh()
    yield kept
    kept.close()


def test_an_answer_of_the_state_before_is_given_while_the_next_one_is_made(answers: Reader, clock: Clock) -> None:
    make = Made()

    def asked(state: int) -> int:
        return answers._kept("question", make, state)

    assert [asked(1), asked(1)] == [1, 1]
    clock.now += STALE_S
    assert asked(2) == 1, "it is not too old"
    answers.catch_up()
    assert make.times == 2
    assert asked(2) == 2
    answers.catch_up()
    assert make.times == 2, "nothing is behind"
    clock.now += STALE_S + 0.1
    assert asked(2) == 2, "it is of the same state, however old"
    assert asked(3) == 3, "it is too old to be given for another"
    answers.catch_up()
    assert make.times == 3


def test_what_could_not_be_made_anew_is_asked_again(answers: Reader, clock: Clock) -> None:
    make = Made()
    assert answers._kept("question", make, 1) == 1
    make.fails = True
    assert answers._kept("question", make, 2) == 1
    answers.catch_up()
    with pytest.raises(QueryError, match="too long"):
        answers._kept("question", make, 2)


def test_only_so_many_are_kept_and_none_that_is_gone_is_made_anew(answers: Reader, clock: Clock) -> None:
    makes = {name: Made() for name in "abc"}
    answers._kept("a", makes["a"], 1)
    answers._kept("a", makes["a"], 2)
    answers._kept("b", makes["b"], 1)
    answers._kept("c", makes["c"], 1)
    answers.catch_up()
    assert {name: make.times for name, make in makes.items()} == {"a": 1, "b": 1, "c": 1}
    assert answers._kept("a", makes["a"], 2) == 2
