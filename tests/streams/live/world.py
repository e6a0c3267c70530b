"""Live partitions as a worker runs them, without Kafka: records, batches, flushes, and crashes between them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from schemas.quality import PARTS
from streams.live.partition import LivePartition, Rules, Snapshot

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


def feed(live: LivePartition, start: int | None, end: int, records: list[FakeRecord]) -> None:
    """Apply a batch as the worker does."""
    live.apply(start, end, live.source.prepare(records))


def totals(live: LivePartition) -> dict[str, Any]:
    return {**live.fates(), **dict(zip(PARTS, live.sums.tolist(), strict=True))}


def sessions(live: LivePartition) -> dict[tuple[int, int], tuple[Any, ...]]:
    """All sessions, with the texts of their names."""
    rows = live.sessions.table.rows[live.sessions.live()]
    return {
        (int(row["group_1"]), int(row["group_2"])): (
            *(row[name].item() for name in row.dtype.names if name not in ("names", "recent")),
            *(live.names.text(code) for code in row["names"].tolist()), row["recent"].tobytes(),
        )
        for row in rows
    }  # fmt: skip


def waiting(live: LivePartition) -> list[tuple[Any, ...]]:
    """The events that wait, with the texts of their names."""
    return [
        (*(event[name].item() for name in event.dtype.names if name not in ("names", "playback_rate")),
         *(live.names.text(code) for code in event["names"].tolist()))
        for event in live.held.all()
    ]  # fmt: skip


@dataclass
class Arriving:
    """Records up to a place that are applied while a flush is made, in random portions."""

    live: LivePartition
    records: list[FakeRecord]
    until: int
    data: st.DataObject

    def __call__(self) -> None:
        at = self.live.next or 0
        if at < self.until:
            to = self.data.draw(st.integers(at, self.until))
            feed(self.live, self.live.next, to, self.records[at:to])


def after_crashes(
    partition: Callable[[dict[bytes, bytes]], LivePartition], records: list[FakeRecord], data: st.DataObject
) -> tuple[LivePartition, dict[bytes, dict[str, Any]]]:
    """The partition and the rows published once all records went through processes that die at random moments.

    Records come while a flush is made. Each dies in the middle of its second flush, losing any suffix of what that
    wrote.
    """
    stored: dict[bytes, bytes] = {}
    published: dict[bytes, dict[str, Any]] = {}
    done = 0
    while done < len(records):
        live = partition(stored)
        start = live.next or 0
        end = data.draw(st.integers(min(done + 1, len(records)), len(records)))
        places = sorted(data.draw(st.integers(start, end)) for _ in range(4))
        feed(live, live.next, places[0], records[start : places[0]])
        flush(live, stored, published, None, Arriving(live, records, places[1], data))
        feed(live, live.next, places[2], records[live.next or 0 : places[2]])
        flush(live, stored, published, data.draw(st.integers(0, 70)), Arriving(live, records, places[3], data))
        done = end
    last = partition(stored)
    feed(last, last.next, len(records), records[last.next or 0 :])
    flush(last, stored, published, keep=None)
    return last, published


def snapshot(live: LivePartition, between: Callable[[], None] = lambda: None) -> Snapshot | None:
    """What a flush writes. `between` is called between the steps."""
    last = None
    for made in live.snapshot():
        last = made
        between()
    return last


def taken(live: LivePartition) -> Snapshot:
    """A snapshot of a partition that has changed."""
    made = snapshot(live)
    assert made
    return made


def rows(live: LivePartition) -> list[tuple[bytes, bytes]]:
    """All live rows that changed."""
    return [row for portion in live.live_rows() for row in portion]


def flush(
    live: LivePartition,
    stored: dict[bytes, bytes],
    published: dict[bytes, dict[str, Any]],
    keep: int | None,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Write a snapshot and publish as the worker does; with `keep`, the process dies after that many records."""
    made = snapshot(live, between)
    for portion in live.live_rows():
        between()
        for key, value in portion:
            row = json.loads(value)
            if key not in published or row["position"] >= published[key]["position"]:
                published[key] = row
    if made is None:
        return
    written = made.records()
    store(stored, written[:keep])
    if keep is None or keep >= len(written):
        live.written(made)


def store(stored: dict[bytes, bytes], written: list[tuple[bytes, bytes | None]]) -> None:
    for key, value in written:
        if value is None:
            stored.pop(key, None)
        else:
            stored[key] = value
