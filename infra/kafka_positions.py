"""Where topics end and how far a consumer group has come, asked again and again by one client."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from infra.errors import ProcessError
from infra.kafka import client_config
from infra.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

SINK_GROUP = "playlake-bronze"
"""The group that the bronze sink shows its positions to, to be looked at: the truth is in the lake's log."""

Place = tuple[str, int]
"""Topic and partition."""


class Positions:
    """Not thread-safe. Asks for few seconds only: who looks on does not wait for a broker that is away."""

    def __init__(self, settings: Settings, timeout_s: float = 3.0) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._client: AdminClient | None = None

    def ends(self, topics: Sequence[str]) -> dict[Place, int]:
        """Offset after the last record, of the topics that are there. Raises ProcessError when no broker answers."""
        from confluent_kafka import KafkaException, TopicPartition
        from confluent_kafka.admin import OffsetSpec

        try:
            client = self._connected()
            known = client.list_topics(timeout=self._timeout_s).topics
            places = [(name, number) for name in topics if name in known for number in known[name].partitions]
            asked = {TopicPartition(*place): OffsetSpec.latest() for place in places}
            answers = client.list_offsets(asked, request_timeout=self._timeout_s) if asked else {}
            return {(one.topic, one.partition): answer.result().offset for one, answer in answers.items()}
        except KafkaException as error:
            raise self._away(error) from error

    def committed(self, group: str, places: Sequence[Place]) -> dict[Place, int]:
        """Next offset of the group, where it has said one. Raises ProcessError when no broker answers."""
        from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

        try:
            asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in places])]
            answers = self._connected().list_consumer_group_offsets(asked, request_timeout=self._timeout_s)
            said = answers[group].result().topic_partitions if places else []
            return {(one.topic, one.partition): one.offset for one in said if one.offset >= 0}
        except KafkaException as error:
            raise self._away(error) from error

    def close(self) -> None:
        """Let go of the connection."""
        self._client = None

    def _connected(self) -> AdminClient:
        from confluent_kafka.admin import AdminClient

        if self._client is None:
            self._client = AdminClient(client_config(self._settings), logger=logging.getLogger("infra.kafka"))
        return self._client

    def _away(self, error: KafkaException) -> ProcessError:
        self._client = None  # one that is kept goes on trying, with a line in the log for each try
        why = error.args[0].str() if error.args and hasattr(error.args[0], "str") else error
        msg = f"no Kafka broker answered at {self._settings.bootstrap} within {self._timeout_s:g} s ({why})"
        return ProcessError(msg)
