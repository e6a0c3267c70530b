"""Bytewax: `stateful_map` by session, `stateful_batch` by minute row, recovery store on, one worker."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from work import PARTS, Brought, Event, Meter, arguments, decode, fold, row


class MinuteRow(StatefulBatchLogic[Brought, list[int], list[int]]):
    """Adds up what belongs to one row and gives its new value once a batch."""

    def __init__(self, resumed: list[int] | None, meter: Meter) -> None:
        self._parts = resumed or [0] * len(PARTS)
        self._meter = meter

    def on_batch(self, values: list[Brought]) -> tuple[list[list[int]], bool]:
        """The row's new value."""
        for value in values:
            self._parts = [a + b for a, b in zip(self._parts, value.parts, strict=True)]
        self._meter.add(len(values))
        return [self._parts], StatefulBatchLogic.RETAIN

    def snapshot(self) -> list[int]:
        """What recovery needs."""
        return list(self._parts)


def flow(asked: Any, meter: Meter) -> Dataflow:
    """Kafka → events → sessions → rows → Kafka."""
    flow = Dataflow("sessions")
    records = kop.input("in", flow, brokers=[asked.bootstrap], topics=[asked.topic], tail=False, batch_size=5_000)
    op.raises("errors", records.errs)

    def by_session(record: Any) -> tuple[str, Event]:
        meter.begin()
        event = decode(record.value)
        return event.session_id, event

    events = op.map("decode", records.oks, by_session)
    brought = op.stateful_map("fold", events, fold)
    placed = op.map("place", brought, lambda one: (one[1].place, one[1]))
    rows = op.stateful_batch("rows", placed, lambda resumed: MinuteRow(resumed, meter))
    out = op.map("encode", rows, lambda one: KafkaSinkMessage(one[0].encode(), row(one[1])))
    kop.output("out", out, brokers=[asked.bootstrap], topic=asked.out)
    return flow


def main() -> None:
    """Run until the end of the topic."""
    asked = arguments()
    meter = Meter(asked.events)
    store = Path(asked.home) / "recovery"
    store.mkdir()
    init_db_dir(store, 1)
    cli_main(flow(asked, meter), epoch_interval=timedelta(seconds=5), recovery_config=RecoveryConfig(str(store)))
    meter.report()


if __name__ == "__main__":
    main()
