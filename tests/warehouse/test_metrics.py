"""The macros against numbers worked by hand; a group is two rows: a ratio of sums and a mean of ratios differ."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import duckdb
import pytest

from infra.settings import ROOT
from schemas.metrics.page import TABLES
from schemas.metrics.registry import FUNCTIONS, METRICS
from schemas.piece import startup_bucket
from schemas.quality import STARTUP_BUCKETS
from schemas.table import read_sql_table
from schemas.tables import SILVER
from warehouse import attach
from warehouse.attach import MACROS
from warehouse.catalog import macros


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(MACROS.read_text())
    return connection


def value(con: duckdb.DuckDBPyConnection, expression: str, rows: str, columns: str) -> Any:
    row = con.execute(f"SELECT {expression} FROM (VALUES {rows}) AS t({columns})").fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("expression", "columns", "rows", "expected"),
    [
        # 1 s and 3 s stalled of 10 s and 30 s watched: 4 / 40
        ("stalled_share(stall_ms, watched_ms)", "stall_ms, watched_ms", "(1000, 10000), (3000, 30000)", 0.1),
        # nothing of 30 s and 4 s of 10 s: 4 / 40, where the mean of the two shares would be 0.2
        ("stalled_share(stall_ms, watched_ms)", "stall_ms, watched_ms", "(0, 30000), (4000, 10000)", 0.1),
        # the same stalls over playing time: 4 / 36
        ("stalled_per_playing(stall_ms, playing_ms)", "stall_ms, playing_ms", "(0, 30000), (4000, 6000)", 1 / 9),
        # 3 stalls in 40 s
        ("stalls_per_minute(stalls, watched_ms)", "stalls, watched_ms", "(1, 10000), (2, 30000)", 4.5),
        ("stall_average_ms(stall_ms, stalls)", "stall_ms, stalls", "(1000, 1), (3000, 3)", 1000),
        # 30 min watched within 10 min
        ("average_viewers(watched_ms, 10)", "watched_ms", "(600000), (1200000)", 3),
        # 6 attempts within a minute
        ("attempts_per_second(plays, 60)", "plays", "(2), (4)", 0.1),
        # 2 Mbit in 1 s and 24 Mbit in 4 s
        ("average_bitrate_kbps(bits, media_ms)", "bits, media_ms", "(2000000, 1000), (24000000, 4000)", 5200),
        ("start_failure_rate(failures, plays)", "failures, plays", "(1, 4), (0, 6)", 0.1),
        ("exit_before_start_rate(exits, plays)", "exits, plays", "(1, 4), (1, 6)", 0.2),
        ("playback_failure_rate(failures, plays)", "failures, plays", "(3, 4), (0, 6)", 0.3),
        # two startups in all, 300 ms and 500 ms
        ("startup_average_ms(ms, h)", "ms, h", "(300, [0, 1]), (500, [1, 0])", 400),
        # of 10 plays 7 got to the half or beyond it, in two titles
        ("title_retention_at(p, n, 50)", "p, n", "(0, 2), (49, 1), (50, 3), (99, 4)", 0.7),
        ("title_retention_at(p, n, 0)", "p, n", "(0, 2), (50, 3)", 1),
        ("title_retention_at(p, n, 100)", "p, n", "(0, 2), (99, 3)", 0),
        ("title_retention_at(p, n, 50)", "p, n", "(0, 0)", None),
        ("startups(h)", "h", "([0, 1]), ([2, 0]), (NULL)", 3),
    ],
)
def test_hand_worked(con: duckdb.DuckDBPyConnection, expression: str, columns: str, rows: str, expected: float) -> None:
    assert value(con, expression, rows, columns) == pytest.approx(expected)


@pytest.mark.parametrize(
    "expression",
    [
        "stalled_share(a, b)", "stalled_per_playing(a, b)", "stalls_per_minute(a, b)", "stall_average_ms(a, b)",
        "average_bitrate_kbps(a, b)", "start_failure_rate(a, b)", "exit_before_start_rate(a, b)",
        "playback_failure_rate(a, b)", "startup_average_ms(a, h)", "startup_quantile_ms(h, 0.5)",
    ],
)  # fmt: skip
def test_nothing_measured_is_null_and_not_zero(con: duckdb.DuckDBPyConnection, expression: str) -> None:
    assert value(con, expression, "(5, 0, [0, 0]), (NULL, 0, NULL)", "a, b, h") is None


def histogram(**counts: int) -> str:
    """`b40=3`: three startups in bucket 40."""
    return str([counts.get(f"b{bucket}", 0) for bucket in range(STARTUP_BUCKETS)])


@pytest.mark.parametrize(
    ("rows", "q", "exponent"),
    [
        ([{"b40": 10}], 0.5, 40.5),  # the middle of the only bucket, on the logarithmic axis
        ([{"b40": 10}], 0.0, 40),
        ([{"b40": 10}], 1.0, 41),
        ([{"b0": 1}], 1.0, 1),
        ([{"b79": 4}], 0.25, 79.25),
        ([{"b10": 1, "b20": 2}, {"b20": 1}], 0.25, 11),  # rank 1 of 4 is all of bucket 10
        ([{"b10": 1, "b20": 2}, {"b20": 1}], 0.5, 20 + 1 / 3),  # rank 2 is the first of three in bucket 20
        ([{"b10": 1}, {"b12": 1}], 0.75, 12.5),
    ],
)
def test_startup_quantile(
    con: duckdb.DuckDBPyConnection, rows: list[dict[str, int]], q: float, exponent: float
) -> None:
    values = ", ".join(f"({histogram(**counts)})" for counts in rows)
    assert value(con, f"startup_quantile_ms(h, {q})", values, "h") == pytest.approx(2 ** (exponent / 4))


@pytest.mark.parametrize("q", [0.05, 0.5, 0.95, 0.99])
def test_quantile_lies_within_a_bucket_of_the_true_one(con: duckdb.DuckDBPyConnection, q: float) -> None:
    startups = sorted(round(200 * math.exp(n / 150)) for n in range(500))
    counts = [0] * STARTUP_BUCKETS
    for startup_ms in startups:
        counts[startup_bucket(startup_ms)] += 1
    true = startups[math.ceil(q * len(startups)) - 1]
    assert true / 2**0.25 <= value(con, f"startup_quantile_ms(h, {q})", f"({counts})", "h") <= true * 2**0.25


def test_histogram_sum_covers_every_bucket(con: duckdb.DuckDBPyConnection) -> None:
    ones = str([1] * STARTUP_BUCKETS)
    assert value(con, "startup_histogram_sum(h)", f"({ones}), ({ones}), (NULL)", "h") == [2] * STARTUP_BUCKETS


def registers(viewers: range) -> list[int]:
    """As batch writes them: the low 10 bits of a hash choose the register, the others give the rank."""
    found = [0] * 1024
    for viewer in viewers:
        hashed = int.from_bytes(hashlib.blake2b(str(viewer).encode(), digest_size=8).digest(), "big")
        found[hashed % 1024] = max(found[hashed % 1024], 55 - max(1, (hashed >> 10).bit_length()))
    return found


@pytest.mark.parametrize("count", [0, 1, 100, 3000, 200_000])
def test_unique_viewers(con: duckdb.DuckDBPyConnection, count: int) -> None:
    counted = value(con, "unique_viewers(r)", f"({registers(range(count))}::TINYINT[])", "r")
    assert counted == pytest.approx(count, rel=0.1)


def test_a_viewer_of_two_days_counts_once(con: duckdb.DuckDBPyConnection) -> None:
    rows = f"({registers(range(2000))}), ({registers(range(1000, 3000))})"
    assert value(con, "unique_viewers(r)", rows, "r") == value(
        con, "unique_viewers(r)", f"({registers(range(3000))})", "r"
    )


def test_every_macro_states_its_unit_and_takes_arguments() -> None:
    found = {macro.name: macro for macro in macros()}
    assert found.keys() == METRICS.keys() | {function.name for function in FUNCTIONS}
    for macro in found.values():
        assert "Unit:" in macro.comment or macro.name == "viewer_registers_merge", macro.name
        assert macro.parameters != [""], macro.name
    assert found["is_complete_play"].parameters[-1] == "completed_share := 0.9"


def test_the_page_names_only_tables_that_have_the_parts() -> None:
    """`docs/metrics.md` says of which tables a metric may be asked."""
    connection = attach.connect(100_000_000)
    attach.attach_published(connection, [])
    attach.attach_live(connection, None)
    attach.define_views(connection)
    for table, parts in TABLES.items():
        layer, _, name = table.partition(".")
        if layer == "gold":
            there = {column.name for column in read_sql_table(ROOT / "batch" / "gold" / f"{name}.sql").columns}
        elif layer == "silver":
            there = {column.name for column in SILVER[name].columns}
        else:
            there = {row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()} | {"minutes"}
        assert parts <= there, table
