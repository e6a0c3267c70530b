"""Minutes as the live topic tells them: added up over partitions, the newest of each, judged when all are there."""

from __future__ import annotations

import msgspec
import pytest

from infra.errors import ContractError
from schemas.live_minute import minute_key
from schemas.quality import DIMENSIONS, PART, PARTS, STARTUP_BUCKETS
from schemas.standing import Standing
from streams.alerts.minutes import OpenMinutes

MINUTE = 1_760_000_040


def row(partition: int, position: int, **parts: int) -> tuple[bytes, bytes]:
    labels = {"rollup": "total", **dict.fromkeys(DIMENSIONS)}
    told = {"topic": "t", "partition": partition, "minute": MINUTE, "position": position, **labels}
    told |= dict.fromkeys(PARTS, 0) | parts | {"startup_histogram": [0] * STARTUP_BUCKETS}
    return minute_key("total", "t", partition, MINUTE, "////"), msgspec.json.encode(told)


def now(partition: int, clock_s: float, at_s: float) -> tuple[bytes, bytes]:
    clock, at = round(clock_s * 1000), round(at_s * 1000)
    return Standing(topic="t", partition=partition, clock=clock, at=at, position=0).record()


def test_rows_add_up_over_partitions_and_the_newest_counts() -> None:
    minutes = OpenMinutes()
    for record in (row(0, 5, plays=3), row(0, 9, plays=4), row(0, 7, plays=1), row(1, 2, plays=10)):
        minutes.apply(*record)
    assert minutes.oldest_s == MINUTE
    [cells] = minutes.take(MINUTE).rows.values()
    assert cells[PART["plays"]] == 14
    minutes.apply(*row(0, 11, plays=99))
    assert minutes.take(MINUTE).rows == {}, "a minute is judged once"


def test_a_minute_is_judged_when_every_partition_has_read_past_it() -> None:
    minutes = OpenMinutes()
    due_s = MINUTE + 90

    def is_settled(at_s: float) -> bool:
        return minutes.is_settled(MINUTE, 30, round(at_s * 1000), 300)

    assert not is_settled(due_s + 1), "nobody has said anything"
    minutes.apply(*now(0, due_s + 1, due_s + 1))
    minutes.apply(*now(1, due_s - 10, due_s - 9))
    assert not is_settled(due_s + 1), "the other is not there yet"
    minutes.apply(*now(1, due_s - 10, due_s + 1))
    assert is_settled(due_s + 1), "it has nothing to read: its clock stands still"
    minutes.apply(*now(1, due_s - 5, due_s + 2))
    assert not is_settled(due_s + 2), "it was behind, and reads on"
    assert is_settled(due_s + 301), "nobody is waited for forever"
    assert not OpenMinutes().is_settled(MINUTE, 30, (MINUTE + 80) * 1000, 300)


@pytest.mark.parametrize("value", [b"{}", b"no json", row(0, 1)[1].replace(b'"total"', b'"cross"')])
def test_what_is_no_live_value_says_so(value: bytes) -> None:
    with pytest.raises(ContractError, match="of the live topic is none"):
        OpenMinutes().apply(b"total/t/0", value)
