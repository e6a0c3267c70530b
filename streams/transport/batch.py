"""What the agent gets: consecutive records of one partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faust


@dataclass(slots=True)
class Batch:
    """Consecutive records of one partition. The next batch of the partition starts where this one ends."""

    partition: int
    start: int | None
    """Offset from which the transport looked for records; None: from the topic's beginning."""
    end: int
    """Offset from which it will look next: after the last record and the control records behind it."""
    records: Any
    """What `prepare` made of the messages; by default the list of `confluent_kafka.Message`, all without errors.
    Whoever is done with them may set None: a batch lives until it is acknowledged."""
    count: int
    """How many records these are; 0: only the position moves, past control records."""
    stamp_ms: int
    """The broker's stamp of the last record (epoch milliseconds); -1 without records or stamp."""


class BatchSchema(faust.Schema):  # type: ignore[type-arg]
    """Hands the batch through as it is: decoding is the business of `prepare` and the agent."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        """Batches have no key."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> Batch:
        """The Batch itself."""
        return message.value  # type: ignore[no-any-return]
