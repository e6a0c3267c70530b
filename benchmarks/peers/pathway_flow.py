"""Pathway: a stateful reducer by session keeps the session and its minutes, which are then grouped; persistence on."""

from __future__ import annotations

import os
import threading
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import pathway as pw
from work import PLAYING, Meter, arguments

SETTLE_S = 3.0
"""Longer than a commit: then the last rows are out."""

State = tuple[Any, ...]
"""first ms, last ms, kind and bitrate of the last event; then minute, events, stalls, stall_ms, playing_ms, bits of
every minute."""


class Events(pw.Schema):
    """What is read of an event."""

    eventType: str
    timestamp: str
    sessionId: str
    deviceType: str
    country: str
    bitrateKbps: int
    seq: int


@pw.reducers.stateful_many
def fold(state: State | None, rows: list[tuple[list[Any], int]]) -> State:
    """The session with a batch of events in it. Their order within a batch is not promised, hence the sort."""
    before, minutes = (state[:4], {one[0]: list(one[1:]) for one in state[4]}) if state else (None, {})
    for (_, kind, stamp, bitrate), _ in sorted(rows, key=lambda row: row[0][0]):
        at = round(datetime.fromisoformat(stamp).timestamp() * 1000)
        first, last, kind_before, bitrate_before = before or (at, at, "", 0)
        parts = minutes.setdefault(at // 60_000, [0] * 5)
        parts[0] += 1
        parts[1] += kind == "stall_start"
        if kind_before == "stall_start":
            parts[2] += at - last
        elif kind_before in PLAYING:
            parts[3] += at - last
            parts[4] += (at - last) * bitrate_before
        before = (first, at, kind, bitrate)
    assert before is not None
    return (*before, tuple((minute, *parts) for minute, parts in minutes.items()))


def rows_of(events: pw.Table) -> pw.Table:
    """Events → sessions → minute rows by (country, device)."""
    this = pw.this
    sessions = events.groupby(this.sessionId, this.country, this.deviceType).reduce(
        this.country, this.deviceType, state=fold(this.seq, this.eventType, this.timestamp, this.bitrateKbps)
    )
    minutes = sessions.select(
        this.country,
        this.deviceType,
        minute=pw.apply_with_type(itemgetter(4), list[tuple[int, int, int, int, int, int]], this.state),
    ).flatten(this.minute)
    sums = {
        name: pw.reducers.sum(pw.this.minute[place])
        for place, name in enumerate(("events", "stalls", "stall_ms", "playing_ms", "bits"), 1)
    }
    keyed = minutes.with_columns(at_minute=this.minute[0])
    rows = keyed.groupby(this.country, this.deviceType, this.at_minute).reduce(
        this.country, this.deviceType, this.at_minute, **sums
    )
    return rows.with_columns(
        place=pw.apply(lambda *parts: "/".join(map(str, parts)), this.country, this.deviceType, this.at_minute)
    )


def main() -> None:
    """Run until all events are in the rows."""
    asked = arguments()
    meter = Meter(asked.events)
    servers = {"bootstrap.servers": asked.bootstrap}
    events = pw.io.kafka.read(
        servers | {"group.id": asked.out, "auto.offset.reset": "earliest"},
        topic=asked.topic, schema=Events, format="json", autocommit_duration_ms=1000, name="events",
        max_backlog_size=50_000,
    )  # fmt: skip
    rows = rows_of(events)
    pw.io.kafka.write(rows, servers, asked.out, format="json", key=rows.place)
    done = 0

    def on_change(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        nonlocal done
        done += row["events"] if is_addition else -row["events"]

    pw.io.subscribe(rows, on_change, on_time_end=lambda _time: meter.reach(done))

    def end() -> None:
        meter.report()
        threading.Timer(SETTLE_S, os._exit, [0]).start()

    meter.through = end
    backend = pw.persistence.Backend.filesystem(str(Path(asked.home) / "persistence"))
    pw.run(
        monitoring_level=pw.MonitoringLevel.NONE,
        persistence_config=pw.persistence.Config(backend, snapshot_interval_ms=5_000),
    )


if __name__ == "__main__":
    main()
