"""Few records that have come: the first copy of each, and the rows of a table's files that have to do with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import settings as drawn
from hypothesis import strategies as st

from batch import run
from batch.silver.copies import PLACE
from batch.silver.few import rows as few_rows
from batch.silver.few.events import first_copies
from batch.silver.few.rows import Files, few_arrivals, part_of
from batch.stage import Days, Job
from infra.errors import ProcessError
from infra.settings import Settings
from schemas.fact import to_ms
from schemas.registry import PLAYBACK
from schemas.tables import BRONZE
from streams.bronze_rows import Decoder
from tests.batch.world import (
    NO_SPARK,
    START,
    expected_sessions,
    numbered,
    pass_through,
    playback,
    read,
    wire,
    write_bronze,
)

TABLE = BRONZE[PLAYBACK.name]
SENT = playback(seed=5, viewers=9)


@drawn(deadline=None)  # the first one loads Arrow
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 1)), max_size=12))
def test_of_the_copies_of_an_event_the_first_received_counts(received: list[tuple[str, int, int]]) -> None:
    began = datetime(2026, 1, 15, tzinfo=UTC)
    records = [(name, began + timedelta(seconds=s), part, n) for n, (name, s, part) in enumerate(received)]
    kinds = (pa.string(), pa.timestamp("us", tz="UTC"), pa.int32(), pa.int64())
    schema = pa.schema(list(zip(PLACE, kinds, strict=True)))
    found = first_copies(pa.Table.from_pylist([dict(zip(PLACE, one, strict=True)) for one in records], schema))
    expected = {min(one for one in records if one[0] == name) for name, *_ in records}
    assert sorted(tuple(row.values()) for row in found.to_pylist()) == sorted(expected)


def test_rows_are_found_by_their_keys(settings: Settings) -> None:
    third = len(SENT) // 3
    for begin in range(0, len(SENT), third):
        write_bronze(settings, SENT[begin : begin + third])
    path = TABLE.path(settings.lake_root)
    everything = pa.table(DeltaTable(path).to_pyarrow_table())
    groups = pc.unique(everything["group_id"])[::3]
    files = Files.of(path, TABLE.partition_by, DeltaTable(path).version())
    assert files is not None
    schema = part_of(TABLE, ("event_id", "received_date", "offset"))
    days = sorted(set(everything["received_date"].to_pylist()))
    for chosen in (days[:1], days):
        is_expected = pc.and_(
            pc.is_in(everything["group_id"], groups), pc.is_in(everything["received_date"], pa.array(chosen))
        )
        expected = everything.filter(is_expected).select(schema.names)
        found = files.on(Days(chosen[0], chosen[-1]).has).having("group_id", groups, schema)
        assert sorted(found.to_pylist(), key=repr) == sorted(expected.to_pylist(), key=repr)
        assert len(found)


def test_what_came_is_few_only_when_the_log_tells_it_apart(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for half in (SENT[:40], SENT[40:90]):
        write_bronze(settings, half)

    def asked(after: int | None, days: Days | None = None) -> pa.Table | None:
        return few_arrivals(Job(no_spark, settings, "stage", days), PLAYBACK, after, 1)

    def no_spark() -> None:
        pytest.fail("Spark is not needed")

    came = asked(0)
    assert came is not None
    second = Decoder(PLAYBACK).decode(SENT[40:90]).rows
    assert sorted(came["event_id"].to_pylist()) == sorted(second["event_id"].to_pylist())
    assert came["event_date"].to_pylist() == [at.date() for at in came["occurred_at"].to_pylist()]
    assert asked(None) is None, "silver has nothing yet: all of bronze is new"
    day = came["event_date"][0].as_py()
    assert asked(0, Days(day, day)) is None, "days are restated"
    monkeypatch.setattr(few_rows, "FEW", 49)
    assert asked(0) is None


@pytest.mark.spark
@pytest.mark.timeout(300)
def test_a_session_that_nothing_new_is_of_changes_too(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loses a row to a copy that was received earlier, under another session's id; or its time-out passes."""

    def sent(
        session: str, minute: int, received: int, event_id: str, kind: str = "heartbeat"
    ) -> tuple[int, int, bytes]:
        names = {"userId": "u", "sessionId": session, "contentId": "t", "deviceType": "web", "eventId": event_id}
        event = wire(START + timedelta(minutes=minute), kind, **names)
        return to_ms(START + timedelta(minutes=received)), 0, msgspec.json.encode(event)

    first = [sent("loses", 45, 50, "a", "play"), sent("loses", 46, 50, "b"), sent("silent", 0, 10, "c", "play")]
    later = [sent("gains", 44, 45, "b", "play"), sent("gains", 59, 60, "d")]
    everything = numbered([*first, *later])
    came = [one for one in everything if one.raw in {raw for *_, raw in first}]
    write_bronze(lake, came)
    assert pass_through(lake, "silver")
    write_bronze(lake, [one for one in everything if one not in came])
    no_spark = replace(lake, spark_remote=NO_SPARK)
    with monkeypatch.context() as patch, pytest.raises(ProcessError, match="no Spark Connect server answers"):
        patch.setattr("batch.silver.few.sessions.MOST_EVENTS", 1)
        run.stage(no_spark, "silver")
    assert pass_through(no_spark, "silver")
    found = read(lake, "silver.sessions")
    assert found == expected_sessions(lake, everything)
    assert {row["session_id"]: (row["event_count"], row["end_reason"]) for row in found} == {
        "loses": (1, "open"),
        "silent": (1, "timeout"),
        "gains": (2, "open"),
    }
