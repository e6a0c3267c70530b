"""One live partition: a crash at any moment, whatever was written by then, changes no number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import PositionRefused, ProcessError
from schemas.quality import PARTS
from schemas.registry import PLAYBACK
from streams.buckets import NewestBucketStore, check_source, pack, unpack_bucket, unpack_position
from streams.sessions import LivePartition, Rules
from streams.sources import PLAYBACK_SOURCE

RULES = Rules(timeout_ms=1_800_000, freeze_after_ms=120_000)
START_MS = 1_768_509_000_000


@dataclass
class FakeRecord:
    """A Kafka record as the transport delivers it."""

    at: int
    stamp_ms: int
    raw: bytes
    name: bytes = b"u"

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 2, self.stamp_ms

    def key(self) -> bytes:
        return self.name

    def value(self) -> bytes:
        return self.raw


def wire(kind: str, at_ms: int, **fields: Any) -> bytes:
    stamp = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
    return json.dumps({"eventType": kind, "timestamp": stamp, "contentId": "t1", "userId": "u", **fields}).encode()


def partition(stored: dict[bytes, bytes]) -> LivePartition:
    return LivePartition(0, stored, "topic-1", 4, RULES)


def totals(live: LivePartition) -> dict[str, Any]:
    return {**msgspec.structs.asdict(live.counts()), **dict(zip(PARTS, _sums(live), strict=True))}


def _sums(live: LivePartition) -> list[int]:
    return [sum(column) for column in zip(*(bucket.sums for bucket in live.buckets), strict=True)]


@st.composite
def topics(draw: st.DrawFn) -> list[FakeRecord]:
    """Records of a few viewers: in and out of order, repeated, late, broken."""
    records, stamp_ms = [], START_MS
    for offset in range(draw(st.integers(1, 60))):
        stamp_ms += draw(st.sampled_from([0, 10, 5_000, 61_000]))
        user = f"u{draw(st.integers(0, 5))}"
        kind = draw(st.sampled_from(sorted(PLAYBACK.rank)))
        at_ms = stamp_ms - draw(st.sampled_from([0, 500, 30_000, 400_000]))
        raw = wire(kind, at_ms, userId=user, sessionId=f"{user}-1", eventId=str(draw(st.integers(0, 40))))
        broken = draw(st.integers(0, 9)) == 0
        records.append(FakeRecord(offset, stamp_ms, b"{" if broken else raw, user.encode()))
    return records


@settings(max_examples=200, deadline=None)
@given(topics(), st.data())
def test_crash_and_replay_equal_no_crash(records: list[FakeRecord], data: st.DataObject) -> None:
    """Run to the end at once; or crash at random moments, losing any suffix of what the last flush wrote."""
    whole = partition({})
    whole.apply(None, len(records), records)
    stored: dict[bytes, bytes] = {}
    published: dict[bytes, dict[str, Any]] = {}
    done = 0
    while done < len(records):
        live = partition(stored)
        start = live.next or 0
        end = data.draw(st.integers(min(done + 1, len(records)), len(records)))
        middle = data.draw(st.integers(start, end))
        live.apply(live.next, middle, records[start:middle])
        flush(live, stored, published, keep=None)
        live.apply(live.next, end, records[middle:end])
        flush(live, stored, published, keep=data.draw(st.integers(0, 70)))
        done = end
    last = partition(stored)
    start = last.next or 0
    last.apply(last.next, len(records), records[start:])
    flush(last, stored, published, keep=None)
    assert totals(last) == totals(whole)
    expected = {key: json.loads(value) for key, value in whole.snapshot().live}
    for key, row in expected.items():
        assert {n: v for n, v in published[key].items() if n != "position"} == {
            n: v for n, v in row.items() if n != "position"
        }, key
    counts = last.counts()
    assert counts.applied == len(records)
    assert counts.applied == counts.counted + counts.late + counts.duplicates + counts.rejected


def flush(
    live: LivePartition, stored: dict[bytes, bytes], published: dict[bytes, dict[str, Any]], keep: int | None
) -> None:
    """Write a snapshot as the worker does; with `keep`, the process dies after that many records."""
    snapshot = live.snapshot()
    if keep is None or keep >= len(snapshot.buckets):
        stored.update(snapshot.buckets)
        if keep is None or keep > len(snapshot.buckets):
            stored.update([snapshot.position])
            for key, value in snapshot.live:
                row = json.loads(value)
                if key not in published or row["position"] >= published[key]["position"]:
                    published[key] = row
            live.written(snapshot)
    else:
        stored.update(snapshot.buckets[:keep])


def test_a_gap_between_batches_is_refused() -> None:
    live = partition({})
    live.apply(0, 1, [FakeRecord(0, START_MS, wire("play", START_MS))])
    with pytest.raises(ProcessError, match="records from 3 came, those from 1 were expected"):
        live.apply(3, 4, [FakeRecord(3, START_MS, wire("stop", START_MS))])


def test_holes_inside_a_batch_are_legal() -> None:
    """Transactions leave control records: offsets without a record."""
    live = partition({})
    live.apply(0, 5, [FakeRecord(0, START_MS, wire("play", START_MS)), FakeRecord(3, START_MS, wire("stop", START_MS))])
    assert live.next == 5 and live.counts().applied == 2


def test_a_retry_is_counted_once_and_a_late_event_only_as_late() -> None:
    live = partition({})
    play = wire("play", START_MS, sessionId="s", eventId="1")
    later = wire("heartbeat", START_MS + 300_000, sessionId="s", eventId="2")
    late = wire("quality_change", START_MS + 1000, sessionId="s", eventId="3")
    raws = [play, play, later, late]
    live.apply(0, 4, [FakeRecord(n, START_MS + (300_000 if n > 1 else 0), raw) for n, raw in enumerate(raws)])
    counts = live.counts()
    assert (counts.counted, counts.duplicates, counts.late) == (2, 1, 1)


def test_concurrent_sessions_are_those_that_watch_and_were_heard_from() -> None:
    live = partition({})
    raws = [
        wire("play", START_MS, sessionId="a"), wire("first_frame", START_MS, sessionId="a"),
        wire("play", START_MS, sessionId="b"), wire("first_frame", START_MS, sessionId="b"),
        wire("pause", START_MS + 1, sessionId="b"),
    ]  # fmt: skip
    live.apply(0, 5, [FakeRecord(n, START_MS, raw) for n, raw in enumerate(raws)])
    assert live.concurrent(START_MS + 1000) == 1
    assert live.concurrent(START_MS + 70_000) == 0


def test_the_newer_of_two_stored_buckets_counts() -> None:
    """A zombie that wakes up may write an old bucket after its successor wrote a newer one."""
    live = partition({})
    live.apply(0, 1, [FakeRecord(0, START_MS, wire("play", START_MS))])
    old = live.snapshot().buckets
    live.apply(1, 2, [FakeRecord(1, START_MS, wire("stop", START_MS))])
    new = live.snapshot().buckets

    @dataclass
    class Recovered:
        message: Any

    @dataclass
    class Message:
        key: bytes
        value: bytes
        partition: int = 0

    store: Any = NewestBucketStore.__new__(NewestBucketStore)
    store.data, store._key_partition = {}, {}
    store.apply_changelog_batch([Recovered(Message(*record)) for record in (*new, *old)], lambda k: k, lambda v: v)
    assert {unpack_bucket(value, "topic-1").offset for value in store.data.values()} == {1}


def test_another_source_is_refused() -> None:
    live = partition({})
    live.apply(0, 1, [FakeRecord(0, START_MS, wire("play", START_MS))])
    position = unpack_position(live.snapshot().position[1])
    assert position is not None
    check_source(position, PLAYBACK_SOURCE, "topic-1", 4)
    with pytest.raises(PositionRefused, match="was recreated"):
        check_source(position, PLAYBACK_SOURCE, "topic-2", 4)
    with pytest.raises(PositionRefused, match="has 8 partitions"):
        check_source(position, PLAYBACK_SOURCE, "topic-1", 8)
    position.version = 99
    with pytest.raises(PositionRefused, match="version 99"):
        unpack_position(pack(position))
