"""What a well-meant query may rely on, and what a greedy one runs into."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from infra.errors import QueryError
from infra.settings import Settings
from tests.warehouse.lake import NOON, Lake
from tests.warehouse.test_live_state import now, record
from warehouse import live
from warehouse.live_state import LiveState
from warehouse.sandbox.child import GRACE_S
from warehouse.sandbox.pool import Sandbox

BUSY = "SELECT sum(hash(a.range)) FROM range(100000000) a, range(1000) b"
"""Computes for hours."""


@pytest.fixture
def sandbox(published: Lake) -> Iterator[Sandbox]:
    with Sandbox(published.settings, warm=1) as opened:
        yield opened


def one(sandbox: Sandbox, sql: str, parameters: object = None) -> object:
    rows = sandbox.query(sql, parameters).table.to_pylist()  # type: ignore[arg-type]
    assert len(rows) == 1
    return next(iter(rows[0].values()))


def descendants() -> list[psutil.Process]:
    """Zygotes and children of this test run."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "warehouse.sandbox" in process.cmdline():
                found.append(process)
    return found


def write_live(settings: Settings, *plays: int) -> None:
    """A live file with these plays in the minutes from the cut-over on."""
    state = LiveState(1000)
    for minute, count in enumerate(plays):
        state.apply(*record(int(NOON.timestamp()) + 60 * minute, plays=count))
    file = live.LiveFile(settings.warehouse)
    file.write(state, int(NOON.timestamp()))
    file.close()


def test_history_and_live_are_joined_at_the_cutover(sandbox: Sandbox, published: Lake) -> None:
    sql = "SELECT sum(plays)::INTEGER FROM {} WHERE rollup = 'total'"
    assert one(sandbox, sql.format("metrics.quality_minute")) == 600
    write_live(published.settings, 7, 8)
    assert one(sandbox, sql.format("metrics.quality_minute")) == 615
    assert one(sandbox, sql.format("quality_minute")) == 615, "a bare name is the joined view"
    assert one(sandbox, sql.format("gold.quality_minute")) == 600
    assert one(sandbox, sql.format("live.quality_minute")) == 15
    write_live(published.settings, 7, 9)
    assert one(sandbox, sql.format("metrics.quality_minute")) == 616, "a warm child attaches the live file of now"


def test_the_cutover_moves_with_a_publish(sandbox: Sandbox, published: Lake) -> None:
    write_live(published.settings, 7, 8)
    assert sandbox.query("SELECT 1").publish_id == "p1"
    published.publish("p2", plays=20, cutover=NOON + timedelta(minutes=1))
    answer = sandbox.query("SELECT sum(plays)::INTEGER AS plays FROM metrics.quality_minute WHERE rollup = 'total'")
    assert (answer.publish_id, answer.table.to_pylist()) == ("p2", [{"plays": 60 * 20 + 8}])


def test_live_alone_answers_before_the_first_publish(settings: Settings) -> None:
    write_live(settings, 7)
    with Sandbox(settings, warm=0) as sandbox:
        assert one(sandbox, "SELECT sum(plays)::INTEGER FROM metrics.quality_minute") == 7
        assert one(sandbox, "SELECT count(*) FROM gold.quality_minute") == 0


def test_nothing_at_all_says_what_to_do(settings: Settings) -> None:
    with Sandbox(settings, warm=0) as sandbox, pytest.raises(QueryError, match="playlake up") as caught:
        sandbox.query("SELECT 1")
    assert caught.value.reason == "unavailable"


def test_pulse(sandbox: Sandbox, published: Lake) -> None:
    sql = "SELECT epoch_ms(received_at) AS at, concurrent, plays_last_minute, events FROM metrics.pulse"
    assert sandbox.query(sql).table.num_rows == 0
    state = LiveState(1000)
    start = int(NOON.timestamp())
    for minute, count in enumerate((5, 6, 7)):
        state.apply(*record(start + 60 * minute, plays=count))
    state.apply(*now(0, at=start * 1000 + 125_000, concurrent=30))
    state.apply(*now(1, at=start * 1000 + 121_000, concurrent=12))
    file = live.LiveFile(published.settings.warehouse)
    file.write(state, start)
    file.close()
    assert sandbox.query(sql).table.to_pylist() == [
        {"at": start * 1000 + 125_000, "concurrent": 42, "plays_last_minute": 6, "events": 14}
    ]


def test_titles_that_gain_viewers(sandbox: Sandbox, published: Lake) -> None:
    """60 min watched in each of the last 5 minutes, 1 min in each of the 30 before: 60 viewers against 1."""
    state = LiveState(1000)
    start = int(NOON.timestamp())
    for minute in range(40):
        rising = 3_600_000 if minute >= 34 else 60_000
        for title, watched_ms in (("rising", rising), ("steady", 600_000)):
            labels = {"content_id": title, "watched_ms": watched_ms}
            state.apply(*record(start + 60 * minute, "title", **labels))
        state.apply(*record(start + 60 * minute))
    file = live.LiveFile(published.settings.warehouse)
    file.write(state, start)
    file.close()
    rows = sandbox.query("SELECT content_id, viewers, viewers_before, change FROM metrics.trending_titles").table
    assert [list(row.values()) for row in rows.to_pylist()] == [
        ["rising", 60.0, (29 * 1 + 60) / 30, 60 - 89 / 30],
        ["steady", 10.0, 10.0, 0.0],
    ]


GREEDY = (
    "SELECT length(repeat('x', 2000000000)) + length(repeat('y', 2000000000))",
    "SELECT list_sort(range(300000000))",
    "SELECT string_agg(repeat('x', 10000000), '') FROM range(1000)",
    "SELECT * FROM range(1000000000) a, range(1000000000) b",
)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(hash(a.range) % 7) FROM range(100000000) a, range(1000) b",
        "SELECT count(*) FROM (WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT * FROM t)",
        *(pytest.param(sql, marks=pytest.mark.long) for sql in GREEDY),
        "SELECT repeat('x', 1000000) FROM range(1000)",
    ],
)
def test_greedy_queries_end_soon_and_hurt_nobody(published: Lake, sql: str) -> None:
    settings = replace(published.settings, query_timeout_s=1.0, query_memory_bytes=100_000_000)
    with Sandbox(settings, warm=1) as sandbox:
        sandbox.query("SELECT 1")
        started = time.monotonic()
        with pytest.raises(QueryError) as caught:
            sandbox.query(sql)
        assert caught.value.reason in ("timeout", "too_large")
        assert "\n" not in str(caught.value)
        assert time.monotonic() - started < 1.0 + GRACE_S + 3
        assert one(sandbox, "SELECT 1") == 1


def test_memory_that_duckdb_does_not_count_is_watched(published: Lake) -> None:
    """Big scalars pass DuckDB's memory limit; the process is ended long before its time is up."""
    settings = replace(published.settings, query_timeout_s=25.0, query_memory_bytes=100_000_000)
    with Sandbox(settings, warm=0) as sandbox:
        started = time.monotonic()
        with pytest.raises(QueryError, match=r"more memory than it may have \(500 MB\)") as caught:
            sandbox.query("SELECT sum(length(repeat('x', 100000000 + range::INTEGER))) FROM range(100)")
        assert caught.value.reason == "too_large"
        assert time.monotonic() - started < 20


def test_a_query_is_cancelled_from_elsewhere(published: Lake) -> None:
    cancelled = threading.Event()
    with Sandbox(replace(published.settings, query_timeout_s=90.0), warm=1) as sandbox:
        with busy(sandbox, cancelled) as (child, caught):
            started = time.monotonic()
            cancelled.set()
        assert time.monotonic() - started < 1
        assert [error.reason for error in caught] == ["cancelled"]
        child.wait(5)


def test_threads_of_a_query_begin_once_its_process_is_confined(published: Lake) -> None:
    """One that were there before would keep the rights that the others give up."""
    cancelled = threading.Event()
    with Sandbox(replace(published.settings, query_threads=3, query_timeout_s=90.0), warm=1) as sandbox:
        one(sandbox, "SELECT 1")
        waiting = [process for process in descendants() if process.ppid() != os.getpid()]
        assert [process.num_threads() for process in waiting] == [1]
        with busy(sandbox, cancelled) as (child, _):
            assert child.num_threads() == 3 + 1, "and the one that looks at the time"
            cancelled.set()


def test_a_stream_waits_for_its_reader_and_its_time_stands_still(published: Lake) -> None:
    """2 s of time, of which the reader takes 3: the answer is whole, and never lay in memory as a whole."""
    settings = replace(published.settings, query_timeout_s=2.0)
    with Sandbox(settings, warm=0) as sandbox:
        sql = "SELECT range, repeat('x', 200) AS text FROM range(90000)"
        with sandbox.stream(sql) as stream:
            content = bytearray()
            for number, piece in enumerate(stream):
                assert stream.end is None
                assert len(piece) < 3_000_000
                if number in (1, 3):
                    time.sleep(1.5)
                content += piece
        assert stream.end is not None and (stream.end.rows, stream.end.truncated) == (90_000, False)
        assert pa.ipc.open_stream(bytes(content)).read_all()["range"].to_pylist() == list(range(90_000))


def test_a_stream_left_early_ends_its_query(sandbox: Sandbox) -> None:
    with sandbox.stream("SELECT * FROM range(1000000000)", max_rows=100_000) as stream:
        next(iter(stream))
        busy = set(descendants())
    _, alive = psutil.wait_procs(busy, timeout=1)
    assert len(alive) < len(busy)
    assert one(sandbox, "SELECT 1") == 1


def test_a_process_that_is_killed_is_replaced(sandbox: Sandbox) -> None:
    assert one(sandbox, "SELECT 1") == 1
    for process in descendants():
        with contextlib.suppress(psutil.NoSuchProcess):  # a child goes with its zygote
            process.kill()
    time.sleep(0.2)
    for _ in range(3):
        assert one(sandbox, "SELECT 1") == 1


def test_a_query_whose_process_is_killed_fails_alone(published: Lake) -> None:
    with Sandbox(replace(published.settings, query_timeout_s=90.0), warm=1) as sandbox:
        with busy(sandbox) as (child, caught):
            child.kill()
        assert [error.reason for error in caught] == ["too_large"]
        assert "ended its process" in str(caught[0])
        assert one(sandbox, "SELECT 1") == 1


@contextlib.contextmanager
def busy(
    sandbox: Sandbox, cancelled: threading.Event | None = None
) -> Iterator[tuple[psutil.Process, list[QueryError]]]:
    """A query that computes for hours: its process, and its error, which is there once it was ended within."""
    caught: list[QueryError] = []

    def ask() -> None:
        with pytest.raises(QueryError) as error:
            sandbox.query(BUSY, cancelled=cancelled or threading.Event())
        caught.append(error.value)

    one(sandbox, "SELECT 1")
    thread = threading.Thread(target=ask)
    thread.start()
    yield wait_for_busy_child(), caught
    thread.join(20)


def wait_for_busy_child() -> psutil.Process:
    """The child that computes: no other of them uses half a second of a core."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for process in descendants():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.ppid() != os.getpid() and process.cpu_times().user > 0.5:
                    return process
        time.sleep(0.1)
    pytest.fail("no child of the sandbox is busy")


def test_no_process_is_left(published: Lake) -> None:
    before = set(descendants())
    with Sandbox(published.settings, warm=2) as sandbox:
        for _ in range(3):
            sandbox.query("SELECT 1")
        mine = [process for process in descendants() if process not in before]
        assert mine
    _, alive = psutil.wait_procs(mine, timeout=5)
    assert not alive


def test_too_many_at_once_are_turned_away(published: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warehouse.sandbox.pool.QUEUE_S", 0.2)
    settings = replace(published.settings, query_concurrency=1, query_timeout_s=3.0)
    with Sandbox(settings, warm=1) as sandbox:
        sandbox.query("SELECT 1")

        def ask() -> None:
            with pytest.raises(QueryError):
                sandbox.query(BUSY)

        slow = threading.Thread(target=ask)
        slow.start()
        time.sleep(0.5)
        with pytest.raises(QueryError, match="try again") as caught:
            sandbox.query("SELECT 1")
        assert caught.value.reason == "busy"
        slow.join(20)


@pytest.mark.parametrize("seconds", [3, pytest.param(20, marks=pytest.mark.long)])
def test_queries_while_both_files_are_swapped(published: Lake, seconds: float) -> None:
    """600 published plays, 15 live ones: whatever publish a query meets, the sum is right."""
    stop = threading.Event()
    wrong: list[object] = []
    answered = [0, 0]

    def read(place: int) -> None:
        while not stop.is_set():
            try:
                row = sandbox.query(
                    "SELECT sum(plays)::INTEGER AS plays, count(*) AS minutes FROM metrics.quality_minute "
                    "WHERE rollup = 'total'"
                ).table.to_pylist()[0]
                if row != {"plays": 615, "minutes": 62}:
                    wrong.append(row)
            except QueryError as error:
                wrong.append(error)
            answered[place] += 1

    write_live(published.settings, 7, 8)
    with Sandbox(published.settings, warm=1) as sandbox:
        readers = [threading.Thread(target=read, args=(place,)) for place in range(2)]
        for reader in readers:
            reader.start()
        end = time.monotonic() + seconds
        number = 1
        while time.monotonic() < end or number < 4:
            number += 1
            write_live(published.settings, 7, 8)
            published.publish(f"p{number}")
            write_live(published.settings, 7, 8)
        stop.set()
        for reader in readers:
            reader.join(30)
    assert wrong == []
    assert min(answered) >= 3
    assert not list(Path(published.settings.warehouse).glob("*.wal"))
