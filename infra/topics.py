"""What we ask of Kafka's topics: that they are there, in the layout of their contract, and where they begin and end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from infra.errors import PositionRefused, ProcessError
from infra.kafka import client_config
from infra.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, TopicDescription

TIMEOUT_S = 30.0


class TopicLayout(Protocol):
    """What a topic is asked to be (`schemas.topic.Topic` is one). `partitions` 0: the setting `topic_partitions`."""

    @property
    def name(self) -> str: ...
    @property
    def partitions(self) -> int: ...
    @property
    def cleanup_policy(self) -> str: ...
    @property
    def retention_ms(self) -> int: ...
    @property
    def timestamp_type(self) -> str: ...
    @property
    def config(self) -> Mapping[str, str]: ...


def admin(settings: Settings) -> AdminClient:
    """A client for questions about the cluster; it must live until they are answered."""
    from confluent_kafka.admin import AdminClient

    return AdminClient(client_config(settings), logger=logging.getLogger("infra.kafka"))


def is_ready(settings: Settings, timeout_s: float = 2.0) -> bool:
    """Whether a broker answers a metadata request."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # A broker that is still starting is no news: each refused connection would be a line on stderr.
    client = AdminClient(client_config(settings), logger=_silent())
    try:
        return bool(client.list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return False


def wait_ready(settings: Settings, timeout_s: float = 60.0) -> None:
    """Return when a broker answers; raise ProcessError after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not is_ready(settings):
        if time.monotonic() > end:
            msg = f"no Kafka broker answered at {settings.bootstrap} within {timeout_s:.0f} s"
            raise ProcessError(msg)
        time.sleep(0.2)


def ensure_topics(settings: Settings, topics: Iterable[TopicLayout]) -> list[str]:
    """Create the topics that are missing and return their names.

    Raises PositionRefused when an existing topic has another number of partitions, clean-up policy or timestamp type:
    keys would move, state would be cut or the received time would be the client's.
    """
    from confluent_kafka.admin import NewTopic

    from infra.topic_check import differences

    layouts = {layout.name: layout for layout in topics}
    found = differences(settings, layouts.values())
    missing = [one.topic for one in found if one.is_missing]
    if wrong := [one for one in found if one.verdict == "bad" and not one.is_missing]:
        raise PositionRefused("\n".join(str(one) for one in wrong))
    new = [
        NewTopic(
            layout.name,
            num_partitions=partitions_of(settings, layout),
            replication_factor=settings.kafka_replication,
            config=config_of(layout),
        )
        for layout in map(layouts.__getitem__, missing)
    ]
    client = admin(settings)  # must outlive its answers
    if new:
        for future in client.create_topics(new, operation_timeout=TIMEOUT_S).values():
            future.result()
        wait_known(settings, missing)
    return missing


def wait_known(settings: Settings, names: Iterable[str], *, gone: bool = False) -> None:
    """Return when the brokers know the topics (or no longer do), which is a moment after they were made or deleted.

    Raises ProcessError when that takes longer than TIMEOUT_S.
    """
    client, asked, end = admin(settings), set(names), time.monotonic() + TIMEOUT_S
    while True:
        known = set(client.list_topics(timeout=TIMEOUT_S).topics)
        waiting = asked & known if gone else asked - known
        if not waiting:
            return
        if time.monotonic() > end:
            state = "there" if gone else "unknown"
            msg = f"topics {', '.join(sorted(waiting))} are still {state} at {settings.bootstrap}"
            raise ProcessError(msg)
        time.sleep(0.05)


def topic_id(settings: Settings, name: str) -> str:
    """The id that Kafka gave the topic when it was created: another one after deletion and re-creation."""
    return str(_describe(admin(settings), name).topic_id)


def partition_count(settings: Settings, name: str) -> int:
    return len(_describe(admin(settings), name).partitions)


def offsets(settings: Settings, names: Iterable[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """(topic, partition) → (first offset that is kept, offset after the last record)."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec

    client = admin(settings)
    pairs = [(name, p.id) for name in names for p in _describe(client, name).partitions]
    if not pairs:
        return {}
    ends: list[dict[tuple[str, int], int]] = []
    for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
        answers = client.list_offsets({TopicPartition(*pair): spec for pair in pairs}, request_timeout=TIMEOUT_S)
        ends.append({(tp.topic, tp.partition): answer.result().offset for tp, answer in answers.items()})
    return {pair: (ends[0][pair], ends[1][pair]) for pair in pairs}


def _describe(client: AdminClient, name: str) -> TopicDescription:
    from confluent_kafka import KafkaException, TopicCollection

    try:
        answer = client.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT_S)
        return answer[name].result()  # type: ignore[no-any-return]
    except KafkaException as error:
        msg = f"topic {name} can't be described: {error.args[0]}"
        raise PositionRefused(msg) from error


def partitions_of(settings: Settings, layout: TopicLayout) -> int:
    """How many partitions the topic is to have."""
    return layout.partitions or settings.topic_partitions


def config_of(layout: TopicLayout) -> dict[str, str]:
    """Kafka's settings of the topic, by their names there."""
    own = {
        "cleanup.policy": layout.cleanup_policy,
        "retention.ms": str(layout.retention_ms),
        "message.timestamp.type": layout.timestamp_type,
    }
    return own | dict(layout.config)


def _silent() -> Any:
    logger = logging.getLogger("librdkafka.probe")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
