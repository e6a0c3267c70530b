"""State as records: what an earlier version wrote is read, and tables keep what was put into them."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import PositionRefused
from schemas.quality import PARTS
from streams.live import records
from streams.live.events import bucket_of, partition_of
from streams.live.names import Names
from streams.live.sessions import SESSION, Sessions, empty_session, find
from tests.streams.live.world import START_MS, FakeRecord, feed, partition, sessions, store, taken, totals, wire


def played() -> dict[bytes, bytes]:
    """What a worker has stored of two sessions."""
    live = partition({})
    told = [("play", "a"), ("play", "b"), ("first_frame", "a"), ("heartbeat", "a")]
    raws = [wire(kind, START_MS + n * 900, sessionId=name, country="DE") for n, (kind, name) in enumerate(told)]
    feed(live, None, len(raws), [FakeRecord(n, START_MS + n * 1000, raw) for n, raw in enumerate(raws)])
    stored: dict[bytes, bytes] = {}
    store(stored, taken(live).records())
    return stored


def rewritten(value: bytes, kind: type[records.BucketRecord | records.MinuteRecord]) -> bytes:
    """A record as a version without the field `seq_max` and without the newest part would have written it, with a field
    that is gone today."""
    record = records.unpack(kind, value)
    array = record.sessions if isinstance(record, records.BucketRecord) else record.rows
    rows = np.frombuffer(array.data, np.dtype([(name, form, tuple(shape)) for name, form, shape in array.fields]))
    fields = [field for field in array.fields if field[0] != "seq_max"]
    fields = [["parts", "<i8", [len(PARTS) - 1]] if field[0] == "parts" else field for field in fields]
    older = np.zeros(
        len(rows), np.dtype([("gone", "<i4"), *((name, form, tuple(shape)) for name, form, shape in fields)])
    )
    for name, *_ in fields:
        older[name] = rows[name][:, :-1] if name == "parts" else rows[name]
    array.fields, array.data = [["gone", "<i4", []], *fields], older.tobytes()
    if isinstance(record, records.MinuteRecord):
        record.parts = record.parts[:-1]
    return records.pack(record, records.through_of(value))


def test_state_of_a_version_with_other_fields_is_read() -> None:
    stored = played()
    today = partition(stored)
    for key, value in stored.items():
        if b"minute" in key:
            stored[key] = rewritten(value, records.MinuteRecord)
        elif key.split(b"/")[1].isdigit():
            stored[key] = rewritten(value, records.BucketRecord)
    older = partition(stored)
    assert totals(older) == totals(today)
    place = [name for name in SESSION.names or () if name not in ("names", "recent")].index("seq_max")
    expected = {
        key: (*row[:place], records.empty_session()[0]["seq_max"], *row[place + 1 :])
        for key, row in sessions(today).items()
    }
    assert sessions(older) == expected
    assert older.minutes.rows()["parts"].tolist() == today.minutes.rows()["parts"].tolist()


def test_state_of_a_version_in_which_nothing_waited_is_read() -> None:
    stored = played()
    today = partition(stored)
    for key, value in stored.items():
        if key.split(b"/")[1].isdigit():
            fields = msgspec.msgpack.decode(zstandard.decompress(value[8:]))
            assert len(fields) == 4
            stored[key] = value[:8] + zstandard.compress(msgspec.msgpack.encode(fields[:3]))
    assert sessions(partition(stored)) == sessions(today)


def test_state_of_another_meaning_is_refused_with_what_to_do() -> None:
    first_version = (5).to_bytes(8, "big") + msgspec.msgpack.encode([1, "topic-1", 5])
    with pytest.raises(PositionRefused, match=r"has version 1, this worker reads 2\. Stop it and delete"):
        records.unpack(records.BucketRecord, first_version)
    later = (5).to_bytes(8, "big") + zstandard.compress(msgspec.msgpack.encode([3, "?"]))
    with pytest.raises(PositionRefused, match="has version 3"):
        records.unpack(records.BucketRecord, later)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=60))
def test_a_name_keeps_its_code(texts: list[str]) -> None:
    names = Names()
    codes = [names.code(text) for text in texts]
    assert [names.text(code) for code in codes] == texts
    assert len(set(codes)) == len(set(texts))
    kept = codes[::2]
    new = names.without(kept)
    assert [names.text(int(new[code])) for code in kept] == texts[::2]


def test_names_grow() -> None:
    names = Names()
    texts = [f"title-{n}" * 5 for n in range(3000)]
    assert [names.text(names.code(text)) for text in texts] == texts
    assert names.code(texts[7]) == names.code(texts[7])


def test_sessions_come_and_go_and_are_found() -> None:
    dice = random.Random(3)
    table, expected = Sessions(8), {}
    for number in range(6000):
        if expected and dice.random() < 0.45:
            gone = dice.sample(sorted(expected), min(len(expected), 3))
            table.drop(np.array([find(table.table, np.uint64(key), np.uint64(key)) for key in gone]))
            for key in gone:
                del expected[key]
        one = empty_session()
        key = dice.randrange(1, 2**63) & ~0xFF  # many begin at one place of the index
        one["group_1"], one["group_2"], one["event_count"] = key, key, number
        table.add(one, number % 64)
        expected[key] = number
    assert len(table) == len(expected) == len(table.live())
    for key, number in expected.items():
        row = find(table.table, np.uint64(key), np.uint64(key))
        assert table.table.rows[row]["event_count"] == number and table.table.buckets[row] == number % 64
    assert find(table.table, np.uint64(5), np.uint64(5)) == -1


def test_keys_are_placed_as_java_places_them() -> None:
    """Figures of Kafka's own test of `Utils.murmur2`."""
    figures = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, murmur2 in figures.items():
        assert partition_of(key, 1_000_003) == (murmur2 & 0x7FFFFFFF) % 1_000_003
    assert {bucket_of(b"%d" % n) for n in range(2000)} == set(range(64))
