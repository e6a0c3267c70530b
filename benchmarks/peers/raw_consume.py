"""The limit: librdkafka's `consume()` and nothing else. No contestant that goes through it can be faster."""

from __future__ import annotations

from work import Meter, arguments, subscribed


def main() -> None:
    """Count the records of the topic."""
    asked = arguments()
    meter = Meter(asked.events)
    consumer = subscribed(asked, {"queued.max.messages.kbytes": 65_536, "fetch.message.max.bytes": 4_194_304})
    while meter.done < asked.events:
        messages = consumer.consume(10_000, 0.1)
        if messages:
            meter.begin()
        meter.add(sum(1 for message in messages if message.error() is None))
    meter.report()
    consumer.close()


if __name__ == "__main__":
    main()
