"""A Faust transport whose unit of work is a partition batch.

Faust keeps what it is good at: group membership, assignment, commits, recovery of tables. The records of *batch
topics* are fetched by librdkafka in a thread of its own (about thirty times cheaper a record than aiokafka's) and reach
the agent as one `Batch` a partition.

    app = faust.App(..., broker="batch://127.0.0.1:19092")
    transport = cast(BatchTransport, app.transport)
    transport.serve("clicks", {"bootstrap.servers": "127.0.0.1:19092"}, start_of, prepare)

    @app.agent(app.topic("clicks", schema=BatchSchema()), concurrency=1)
    async def clicks(stream):
        async for event in stream.noack().events():   # noack: Faust acknowledges also what the agent failed at
            apply(event.value)
            event.ack()

What it promises:

- **Continuity.** Where fetching starts is asked of `start_of` after each assignment, when the tables have recovered,
  and never of the group's offsets: position and state are one record, and it is the agent that knows it. From there
  each batch starts where the one before it ended. Offsets may have holes (control records of transactions,
  compaction); a batch spans them, and one without records moves the position past those at the end of a partition.
- **Generations.** What was fetched or prepared under an assignment that has ended never reaches the agent. Whether the
  batch that the agent is at work on still counts, `BatchTransport.is_current` tells it.
- **Order of acknowledgements** does not matter: the group's offset moves over what is acknowledged without a gap.
- **Latency first.** A record is handed over at once; batches grow only while the agent is busy, up to `Limits`.
- **Bounded memory** a topic, whatever the agent does: `Limits.ahead_*` and one fetch more ahead of it, 64 MB in
  librdkafka's own queue, and `stream_buffer_maxsize` + 2 batches of `Limits.batch_*` in Faust, between the two.
- **Loud failure.** What `prepare` or `start_of` raises, a position outside the topic, a topic that is gone or forbidden
  end the worker with a message; nothing of it is acknowledged, so that the next start gets the same records. A broker
  that is away is waited for.

Modules, in the order in which records go: `fetcher` (thread and librdkafka), `fetch_errors`, `backlog` (what waits
between thread and event loop), `consumer` (Faust's side), `deliveries` (what is acknowledged), `membership` (the
group), `transport` (what an application sees).
"""

from __future__ import annotations

from faust.transport.drivers import TRANSPORTS

from streams.transport.backlog import Limits
from streams.transport.batch import Batch, BatchSchema
from streams.transport.consumer import BatchConsumer
from streams.transport.transport import BatchTransport

__all__ = ["Batch", "BatchConsumer", "BatchSchema", "BatchTransport", "Limits"]

TRANSPORTS.aliases["batch"] = f"{__name__}:BatchTransport"
