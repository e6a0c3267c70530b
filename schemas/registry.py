"""All contracts: the listing of `schemas/events/` is the registry."""

from __future__ import annotations

import importlib
import pkgutil

from schemas import events
from schemas.topic import DAY_MS, EventTopic, Topic

EVENT_TOPICS: dict[str, EventTopic] = {
    module.TOPIC.name: module.TOPIC
    for module in (
        importlib.import_module(f"{events.__name__}.{info.name}") for info in pkgutil.iter_modules(events.__path__)
    )
}
"""Topic name → topic, for every file in `schemas/events/`."""

PLAYBACK = EVENT_TOPICS["user.playback.events"]
CMCD = EVENT_TOPICS["player.cmcd.reports"]
SESSION_TOPICS = (PLAYBACK, CMCD)
"""The topics that viewing sessions are made of."""

LIVE_QUALITY = Topic(
    name="live.quality",
    partitions=1,
    cleanup_policy="compact,delete",
    retention_ms=2 * DAY_MS,
    timestamp_type="CreateTime",
    config={"segment.ms": "600000", "min.cleanable.dirty.ratio": "0.2", "min.compaction.lag.ms": "3600000"},
)
"""Live numbers: key → absolute value, so that whoever joins late reads the same. Of two values of a key the one with
the higher `position` counts; the lag keeps it readable while a zombie may still write an older one."""

LIVE_ALERTS = Topic(
    name="live.alerts",
    partitions=1,
    cleanup_policy="compact,delete",
    retention_ms=30 * DAY_MS,
    timestamp_type="CreateTime",
    config={"segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.2"},
)
"""Alerts (`schemas/alert.py`) as they are now by id, and the evaluator's own state. One partition, one writer."""

DEAD_LETTER_TOPIC = Topic(name="dead.letters", partitions=1, retention_ms=14 * DAY_MS, timestamp_type="CreateTime")
"""Records that broke their contract, announced for alerting; the Delta table of the same name is the truth."""


STATE_LAG_MS = 1_200_000
"""How long a record of state stays although a newer one with its key is there. A zombie may write an old record after
its successor wrote a newer one; of the two the one with the higher offset counts, as long as both can be read. The
successor writes every record again several times within this lag, changed or not, so that a newer one follows."""
MAX_RECORD_BYTES = 8_388_608


def _stream_state(app_id: str) -> Topic:
    """State of a stream worker."""
    return Topic(
        name=f"{app_id}-buckets-changelog",
        cleanup_policy="compact",
        retention_ms=-1,
        config={
            "min.compaction.lag.ms": str(STATE_LAG_MS),
            "max.message.bytes": str(MAX_RECORD_BYTES),
            # What a recovery reads is the state, what was written within the lag, and the open segment.
            "segment.ms": "600000",
            "segment.bytes": str(64 * 1024 * 1024),
            "min.cleanable.dirty.ratio": "0.2",
        },
    )


STREAM_STATE = _stream_state("playlake-stream")
CMCD_STREAM_STATE = _stream_state("playlake-cmcd")

TOPICS: tuple[Topic, ...] = (
    *EVENT_TOPICS.values(),
    LIVE_QUALITY,
    LIVE_ALERTS,
    DEAD_LETTER_TOPIC,
    STREAM_STATE,
    CMCD_STREAM_STATE,
)
