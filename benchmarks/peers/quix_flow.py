"""Quix Streams: stateful apply by viewer, `group_by` and a tumbling window; state in RocksDB with changelog topics."""

from __future__ import annotations

from typing import Any

from quixstreams import Application, State
from quixstreams.dataframe.windows import Sum
from quixstreams.models import Deserializer
from work import PARTS, Event, Meter, arguments, decode, fold


class Typed(Deserializer):
    """Bytes to Event, types checked."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter

    def __call__(self, value: bytes, ctx: Any) -> Event:
        self._meter.begin()
        return decode(value)


def event_ms(value: Event, _headers: Any, _timestamp: float, _type: Any) -> int:
    """The client's clock drives the windows."""
    return round(value.timestamp.timestamp() * 1000)


def add(event: Event, state: State) -> dict[str, Any]:
    """Fold into the viewer's session; what it brought goes on. Quix keeps state by key, and the key is the viewer."""
    folded, brought = fold(state.get(event.session_id), event)
    state.set(event.session_id, folded)
    return {"place": f"{event.country}/{event.device_type}", **dict(zip(PARTS, brought.parts, strict=True))}


def main() -> None:
    """Run until all events are in the rows."""
    asked = arguments()
    meter = Meter(asked.events)
    app = Application(
        broker_address=asked.bootstrap,
        consumer_group=asked.out,
        auto_offset_reset="earliest",
        state_dir=asked.home,
        loglevel="WARNING",
    )
    events = app.topic(asked.topic, value_deserializer=Typed(meter), timestamp_extractor=event_ms)
    minutes = app.dataframe(events).apply(add, stateful=True).group_by("place")
    # Partitions are read at different speeds: nothing may count as late.
    windows = minutes.tumbling_window(60_000, grace_ms=3_600_000)
    rows = windows.agg(**{part: Sum(part) for part in PARTS}).current()
    rows.update(lambda _row: meter.add()).to_topic(app.topic(asked.out))
    meter.through = app.stop
    app.run()
    meter.report()


if __name__ == "__main__":
    main()
