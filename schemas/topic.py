"""What a Kafka topic is: its name, its layout and, for event topics, the events it carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Union

import msgspec

from schemas.event import Event, decode

DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Topic:
    """Layout of a topic. `partitions` 0 means: the setting `topic_partitions`."""

    name: str
    partitions: int = 0
    retention_ms: int = 7 * DAY_MS
    cleanup_policy: str = "delete"
    timestamp_type: str = "LogAppendTime"
    config: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EventTopic(Topic):
    """A topic of events. `table` names it in the lake: `bronze.<topic with _>`, `silver.<table>`."""

    table: str
    events: tuple[type[Event], ...]

    @property
    def bronze_table(self) -> str:
        """`user.ui.events` → `user_ui_events`."""
        return self.name.replace(".", "_")

    @cached_property
    def rank(self) -> dict[str, int]:
        """Event type → place in the vocabulary, which orders events of one millisecond."""
        return {str(event.__struct_config__.tag): place for place, event in enumerate(self.events)}

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[Any]:
        """Decoder of the union of the topic's events."""
        return msgspec.json.Decoder(Union[self.events])  # noqa: UP007 - a union of a runtime tuple

    def decode(self, raw: bytes | None) -> Any:
        """One record as one of the topic's events. Raises ContractError."""
        return decode(raw, self.decoder)
