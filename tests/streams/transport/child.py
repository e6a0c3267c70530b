"""A small app under Faust's own worker, in a process of its own: what ends it, and how it waits.

`python -m tests.streams.transport.child TOPIC BEHAVIOUR`, settings in the environment. Prints `{values, at, gaps}` of
each batch; an agent of the behaviour `busy` computes in a thread, one that `blocks` holds the event loop.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import faust

from infra import log as logs
from infra.settings import Settings
from streams.transport import Batch
from tests.streams.transport.world import SmallApp

BUSY_S = 20.0
BLOCKED_S = 5.0


def compute(seconds: float) -> None:
    """Uses the processor, and so the GIL."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(10_000))


def main(topic: str, behaviour: str) -> None:
    """Run until a signal, or until something ends the worker."""
    settings = Settings.from_env()
    logs.setup("small-app")

    async def on_batch(batch: Batch) -> None:
        if behaviour == "busy" and b"slow" in batch.records:
            await asyncio.to_thread(compute, BUSY_S)
        if behaviour == "blocks" and b"slow" in batch.records:
            time.sleep(BLOCKED_S)
        if behaviour == "never":
            await asyncio.sleep(3600)
        if b"poison-agent" in batch.records:
            msg = "this can't be applied"
            raise ValueError(msg)
        said = {"partition": batch.partition, "start": batch.start, "end": batch.end, "count": batch.count}
        print(json.dumps(said | {"gaps": small.gaps}), flush=True)

    def prepare(messages: list[Any]) -> list[bytes]:
        values = [message.value() for message in messages]
        if b"poison" in values:
            msg = "this can't be decoded"
            raise ValueError(msg)
        return values if behaviour == "keeps" else [value[:20] for value in values]

    small = SmallApp(settings, topic, f"g-{topic}", prepare=prepare, on_batch=on_batch, broker_max_poll_interval=8.0)
    worker = faust.Worker(small.app, loglevel="INFO", override_logging=False, quiet=True, redirect_stdouts=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
