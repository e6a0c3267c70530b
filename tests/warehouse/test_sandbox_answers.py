"""What the sandbox answers: parameters, limits of rows, streams, mistakes. One that stands is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyarrow as pa
import pytest

from infra.errors import QueryError
from tests.warehouse.lake import Lake
from tests.warehouse.test_sandbox import one
from warehouse.sandbox.pool import Sandbox


@pytest.fixture(scope="module")
def standing(standing_lake: Lake) -> Iterator[Sandbox]:
    with Sandbox(standing_lake.settings, warm=1) as opened:
        yield opened


@pytest.mark.parametrize(
    ("sql", "parameters", "expected"),
    [
        ("SELECT ? + ?", [1, 2], 3),
        ("SELECT $b || $a", {"a": "x", "b": "y"}, "yx"),
        (
            "SELECT count(*) FROM gold.quality_minute WHERE minute >= ? AND rollup = ?",
            ["2026-01-15T11:00:00Z", "total"],
            60,
        ),
        ("SELECT list_sum(?)", [[1, 2, 3]], 6),
        ("SELECT ? IS NULL", [None], True),
    ],
)
def test_parameters(standing: Sandbox, sql: str, parameters: object, expected: object) -> None:
    assert one(standing, sql, parameters) == expected


def test_rows_beyond_the_limit_are_cut_off_and_said_to_be(standing: Sandbox) -> None:
    for wanted, rows, truncated in ((10, 10, True), (20_000, 20_000, True), (50_000, 50_000, False), (0, 0, True)):
        answer = standing.query("SELECT * FROM range(50000)", max_rows=wanted)
        assert (answer.table.num_rows, answer.truncated) == (rows, truncated)
    assert standing.query("SELECT * FROM range(1000000000000)", max_rows=5).table.num_rows == 5


def test_a_mistake_that_shows_when_rows_flow_is_told_as_any_other(standing: Sandbox) -> None:
    with pytest.raises(QueryError, match=r"^Invalid Input Error: beyond$") as caught:
        standing.query("SELECT CASE WHEN range = 90000 THEN error('beyond') ELSE range END FROM range(100000)")
    assert caught.value.reason == "failed"


def test_a_cut_stream_says_so_in_itself(standing: Sandbox) -> None:
    for max_rows, told in ((5, {b"playlake.truncated": b"true"}), (10, None)):
        with standing.stream("FROM range(10)", max_rows=max_rows) as stream:
            reader = pa.ipc.open_stream(b"".join(stream))
        batches = []
        with contextlib.suppress(StopIteration):
            while True:
                batches.append(reader.read_next_batch_with_custom_metadata())
        assert sum(batch.num_rows for batch, _ in batches) == max_rows
        assert (batches[-1][1] and dict(batches[-1][1])) == told
