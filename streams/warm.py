"""Compile what the stream worker and the sink call: `python -m streams.warm`, once at set-up.

Compiled functions are kept on the disk (`infra/compiled.py`). Without this the first start of a worker does it, which
takes half a minute. A worker loads them before it says that it is well, so that no viewer's event waits for it.
"""

from __future__ import annotations

import time

import msgspec

from schemas.examples import typical
from schemas.registry import EVENT_TOPICS, PLAYBACK
from streams.bronze_rows import Decoder
from streams.live.partition import LivePartition, Rules
from streams.message import Message
from streams.sources import PLAYBACK_SOURCE

RULES = Rules(timeout_ms=1_800_000, freeze_after_ms=300_000)


def warm() -> None:
    """Run every compiled function once."""
    for topic in EVENT_TOPICS.values():
        Decoder(topic)
    warm_fold()


def warm_fold() -> None:
    """Run every compiled function of the stream worker once."""
    now_ms = time.time_ns() // 1_000_000
    raws = [msgspec.json.encode(typical(PLAYBACK, kind)) for kind in PLAYBACK.rank]
    # The second message comes when the minute of the first one is frozen.
    messages = [Message(0, n, now_ms + n * RULES.freeze_after_ms, raw) for n, raw in enumerate(raws)]
    stored: dict[bytes, bytes] = {}
    live = LivePartition(0, stored, "warm", 1, RULES)
    live.apply(None, len(messages), PLAYBACK_SOURCE.prepare(messages))
    *_, snapshot = live.snapshot(everything=True)
    assert snapshot
    stored |= {key: value for key, value in snapshot.records() if value is not None}
    live.sessions.grow()
    live.minutes.grow()
    again = LivePartition(0, stored, "warm", 1, RULES)
    again.sessions.drop(again.sessions.live())


if __name__ == "__main__":
    warm()
