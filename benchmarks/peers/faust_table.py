"""Stock Faust: an agent, two tables with their changelogs, rows published by a timer. Runs in the main environment."""

from __future__ import annotations

import os
import signal
from typing import Any

import faust
from work import Meter, arguments, decode, fold, row


def build(asked: Any, meter: Meter) -> faust.App:
    """The app as Faust's documentation shows it."""
    app = faust.App(
        asked.out,
        broker=f"kafka://{asked.bootstrap}",
        datadir=asked.home,
        topic_partitions=4,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        stream_recovery_delay=0.0,
    )
    sessions = app.Table("sessions")
    rows = app.Table("rows")
    out = app.topic(asked.out, key_serializer="raw", value_serializer="raw")
    changed: set[str] = set()

    @app.agent(app.topic(asked.topic, key_serializer="raw", value_serializer="raw"))
    async def fold_sessions(stream: Any) -> None:
        async for record in stream.events():
            meter.begin()
            event = decode(record.value)
            sessions[event.session_id], brought = fold(sessions.get(event.session_id), event)
            # A table's key lives in the partition of the event, so each partition has rows of its own.
            place = f"{brought.place}/{record.message.partition}"
            before = rows.get(place)
            rows[place] = [a + b for a, b in zip(before, brought.parts, strict=True)] if before else list(brought.parts)
            changed.add(place)
            meter.add()

    @app.timer(1.0)
    async def publish() -> None:
        is_last = meter.done >= meter.events
        for place in tuple(changed):
            changed.discard(place)
            await out.send(key=place.encode(), value=row(rows[place]))
        if is_last:
            os.kill(os.getpid(), signal.SIGTERM)

    return app


def main() -> None:
    """Run until all events are in the rows."""
    asked = arguments()
    meter = Meter(asked.events)
    meter.through = meter.report
    faust.Worker(build(asked, meter), loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
