"""What a Kafka topic is: its name, its layout and, for event topics, the events it carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from infra.errors import ContractError
from schemas.event import Event, decode

DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Topic:
    """Layout of a topic. `partitions` 0 means: the setting `topic_partitions`."""

    name: str
    partitions: int = 0
    retention_ms: int = 7 * DAY_MS
    cleanup_policy: str = "delete"
    timestamp_type: str = "LogAppendTime"
    config: dict[str, str] = field(default_factory=dict)


class _Never(Event, frozen=True, kw_only=True, tag="never"):
    """No event: it makes a union of a single one."""

    def __post_init__(self) -> None:
        msg = "Invalid value 'never' - at `$.eventType`"
        raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, eq=False)
class EventTopic(Topic):
    """A topic of events. `table` names it in the lake: `bronze.<topic with _>`, `silver.<table>`."""

    table: str
    events: tuple[type[Event], ...]
    marker: str = ""
    """Wire field that all its events have and those of other topics have not. Where another topic knows the same
    `eventType`, a collector goes by it."""

    @property
    def bronze_table(self) -> str:
        """`user.ui.events` → `user_ui_events`."""
        return self.name.replace(".", "_")

    @property
    def key_fields(self) -> tuple[str, ...]:
        """Fields of which the first that has a value is the record's key."""
        return self.events[0].key_fields

    @property
    def is_compacted(self) -> bool:
        """Whether Kafka drops records of which a newer one with the same key is there."""
        return "compact" in self.cleanup_policy

    @cached_property
    def rank(self) -> dict[str, int]:
        """Event type → place in the vocabulary, which orders events of one millisecond."""
        return {str(event.__struct_config__.tag): place for place, event in enumerate(self.events)}

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[Any]:
        """Decoder of the union of the topic's events."""
        # Of a single struct msgspec does not ask for the tag, so that a record without `eventType` would pass.
        kinds = self.events if len(self.events) > 1 else (*self.events, _Never)
        return msgspec.json.Decoder(Union[kinds])  # noqa: UP007 - a union of a runtime tuple

    def decode(self, raw: bytes | None) -> Any:
        """One record as one of the topic's events. Raises ContractError."""
        try:
            return decode(raw, self.decoder)
        except ContractError as error:
            raise self._explained(error) from None

    def _explained(self, error: ContractError) -> ContractError:
        """With the values that were expected, where a value is not one of a list."""
        if error.reason == "unknown_event_type":
            expected = list(self.rank)
        elif error.field and error.detail.startswith("Invalid enum value"):
            expected = self._listed.get(error.field, [])
        else:
            return error
        return ContractError(error.reason, f"{error.detail}; expected {', '.join(expected)}", error.field)

    @cached_property
    def _listed(self) -> dict[str, list[str]]:
        """Wire field with a list of values → what it takes, in all events of the topic."""
        found: dict[str, dict[str, None]] = {}
        for event in self.events:
            hints = get_type_hints(event)
            for one in msgspec.structs.fields(event):
                arms = (hints[one.name], *get_args(hints[one.name]))
                values = [str(value) for arm in arms if get_origin(arm) is Literal for value in get_args(arm)]
                found.setdefault(one.encode_name, {}).update(dict.fromkeys(values))
        return {name: list(values) for name, values in found.items() if values}
