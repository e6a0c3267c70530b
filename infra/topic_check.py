"""Are Kafka's topics what their contracts ask of them? What is not, why it matters, and how to put it right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from infra.settings import Settings
from infra.topics import TIMEOUT_S, TopicLayout, admin, config_of, partitions_of

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

HARM = {
    "partitions": "a key would be in another partition than before",
    "cleanup.policy": "records go that are to stay, or stay that are to go",
    "message.timestamp.type": "received_at would be the client's time",
    "retention.ms": "records may be gone before they are read",
    "min.compaction.lag.ms": "records may be compacted away before they are read",
}
"""Setting → what comes of another value; nothing is said of the others."""
REFUSED = ("partitions", "cleanup.policy", "message.timestamp.type")
"""With another value of these no part of the platform goes to work."""
AT_LEAST = ("retention.ms", "min.compaction.lag.ms", "max.message.bytes")
"""More of these does no harm."""
REPAIR = "`playlake topics --repair` sets it"


@dataclass(frozen=True)
class Difference:
    """One thing in which a topic is not as its contract says. `bad`: the platform refuses to work with it."""

    topic: str
    verdict: Literal["bad", "warning"]
    what: str
    found: str
    expected: str
    remedy: str

    @property
    def is_missing(self) -> bool:
        return self.what == "missing"

    def __str__(self) -> str:
        if self.is_missing:
            return f"topic {self.topic} is missing; {self.remedy}"
        harm = f" ({HARM[self.what]})" if self.what in HARM else ""
        return f"topic {self.topic} has {self.what} {self.found}, expected {self.expected}{harm}; {self.remedy}"


def differences(settings: Settings, topics: Iterable[TopicLayout]) -> list[Difference]:
    """All of them, in the order of `topics`; two questions to the broker, however many topics there are."""
    layouts = list(topics)
    client = admin(settings)
    known = client.list_topics(timeout=TIMEOUT_S).topics
    there = [layout for layout in layouts if layout.name in known]
    configs = _configs(client, [layout.name for layout in there])
    found = []
    for layout in layouts:
        if layout.name not in known:
            found.append(Difference(layout.name, "bad", "missing", "", "", "`playlake topics` creates it"))
            continue
        count, wanted = len(known[layout.name].partitions), partitions_of(settings, layout)
        if count != wanted:
            remedy = _remedy_of_partitions(settings, layout, count)
            found.append(Difference(layout.name, "bad", "partitions", str(count), str(wanted), remedy))
        found += _of_config(layout, configs[layout.name])
    return found


def repair(settings: Settings, wrong: Iterable[Difference]) -> list[Difference]:
    """Set the topics' settings as their contracts say; returns what was set. Records that are there stay as they are.

    A number of partitions is not changed, and a topic that is missing is not made.
    """
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

    settable = [one for one in wrong if one.remedy == REPAIR]
    resources: dict[str, Any] = {}
    for one in settable:
        resource = resources.setdefault(one.topic, ConfigResource(ConfigResource.Type.TOPIC, one.topic))
        entry = ConfigEntry(one.what, one.expected, incremental_operation=AlterConfigOpType.SET)
        resource.add_incremental_config(entry)
    if resources:
        client = admin(settings)
        for future in client.incremental_alter_configs([*resources.values()], request_timeout=TIMEOUT_S).values():
            future.result()
    return settable


def _of_config(layout: TopicLayout, config: dict[str, str]) -> Iterable[Difference]:
    for name, expected in config_of(layout).items():
        found = config[name]
        if name == "retention.ms" and "delete" not in layout.cleanup_policy:
            continue  # nothing goes by age
        if name in AT_LEAST and _amount(found) >= _amount(expected):
            continue
        if set(found.split(",")) != set(expected.split(",")):  # clean-up policies are a set
            yield Difference(layout.name, "bad" if name in REFUSED else "warning", name, found, expected, REPAIR)


def _amount(text: str) -> float:
    """-1 stands for no limit."""
    return float("inf") if text == "-1" else float(text)


def _remedy_of_partitions(settings: Settings, layout: TopicLayout, found: int) -> str:
    move = "move the records to a new topic; it can't be changed in place"
    if layout.partitions:
        return move
    setting = f"set PLAYLAKE_TOPIC_PARTITIONS={found} if all topics have {found} (it is {settings.topic_partitions})"
    return f"{setting}, or {move}"


def _configs(client: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Topic → its settings, those of the broker included where it has none of its own."""
    from confluent_kafka.admin import ConfigResource

    if not names:
        return {}
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    answers = client.describe_configs(resources, request_timeout=TIMEOUT_S)
    return {
        resource.name: {name: str(entry.value) for name, entry in future.result().items()}
        for resource, future in answers.items()
    }
