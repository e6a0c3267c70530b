"""What one would write with deltalake: consume, decode, append, commit the offsets after. At least once."""

from __future__ import annotations

from datetime import datetime

import msgspec
import pyarrow as pa
from deltalake import write_deltalake
from work import Event, Meter, arguments, subscribed

COMMIT_ROWS = 100_000
DECODER = msgspec.json.Decoder(Event)
SCHEMA = pa.schema(
    [
        (name, {datetime: pa.timestamp("us", "UTC"), int: pa.int64()}.get(kind, pa.string()))
        for name, kind in ((field.name, field.type) for field in msgspec.structs.fields(Event))
    ]
)


def main() -> None:
    """Until the end of the topic."""
    asked = arguments()
    meter = Meter(asked.events)
    consumer = subscribed(asked)
    pending: list[Event] = []
    while meter.done < asked.events:
        messages = consumer.consume(10_000, 0.1)
        if messages:
            meter.begin()
        pending += [DECODER.decode(message.value()) for message in messages if message.error() is None]
        if len(pending) >= COMMIT_ROWS or meter.done + len(pending) >= asked.events:
            columns = zip(*(msgspec.structs.astuple(event) for event in pending), strict=True)
            arrays = [pa.array(column, kind.type) for column, kind in zip(columns, SCHEMA, strict=True)]
            write_deltalake(asked.home, pa.table(arrays, SCHEMA), mode="append")
            consumer.commit(asynchronous=False)
            meter.add(len(pending))
            pending = []
    meter.report()
    consumer.close()


if __name__ == "__main__":
    main()
